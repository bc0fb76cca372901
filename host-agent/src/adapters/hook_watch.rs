//! Which lifecycle hook runs, by the devcontainer CLI's own progress lines, and since when: each has
//! its time, however many there are.

use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// What the CLI says of a hook: `{"type":"progress","name":"Running postCreateCommand...",
/// "status":"running"}`, again for each part of it, and once more with its end.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    status: String,
}

/// What goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Phase {
    /// `postCreateCommand`; `None` before, between and after hooks.
    hook: Option<String>,
    since: Instant,
}

/// Listens to the CLI.
#[derive(Debug)]
pub struct HookWatch(watch::Sender<Phase>);

impl HookWatch {
    /// No hook runs yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(Phase { hook: None, since: Instant::now() }))
    }

    /// A line of the CLI's log.
    pub fn hear(&self, line: &str) {
        let Ok(line) = serde_json::from_str::<Line>(line) else { return };
        if line.kind != "progress" {
            return;
        }
        let hook = line.name.strip_prefix("Running ").and_then(|name| name.strip_suffix("..."));
        let hook = hook.filter(|_| line.status == "running").map(str::to_owned);
        self.0.send_if_modified(|phase| {
            let other = phase.hook != hook;
            if other {
                *phase = Phase { hook, since: Instant::now() };
            }
            other
        });
    }

    /// Ends when a hook took longer than `limit`, with its name, or when it was as long between two
    /// of them.
    pub async fn overdue(&self, limit: Duration) -> Option<String> {
        let mut changes = self.0.subscribe();
        loop {
            let phase = changes.borrow_and_update().clone();
            // A limit beyond the clock's range is none.
            let Some(end) = phase.since.checked_add(limit) else {
                return std::future::pending().await;
            };
            if timeout_at(end, changes.changed()).await.is_err() {
                return phase.hook;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(hook: &str, status: &str) -> String {
        serde_json::json!({"type": "progress", "name": format!("Running {hook}..."),
                           "status": status, "stepDetail": "make"})
        .to_string()
    }

    #[tokio::test]
    async fn each_hook_has_its_own_time() {
        let watch = HookWatch::new();
        let mut phases = watch.0.subscribe();
        let mut hears = |line: &str| {
            phases.mark_unchanged();
            watch.hear(line);
            let news = phases.has_changed().expect("the watch is here");
            (news, phases.borrow().hook.clone())
        };
        let post = || Some("postCreateCommand".to_owned());
        assert_eq!(hears(&progress("postCreateCommand", "running")), (true, post()));
        // A part of it begins: its time goes on.
        assert_eq!(hears(&progress("postCreateCommand", "running")), (false, post()));
        let text = r#"{"type":"text","name":"Running x...","status":"running","text":"y"}"#;
        assert_eq!(hears(text), (false, post()));
        assert_eq!(hears("plain text"), (false, post()));
        assert_eq!(hears(&progress("postCreateCommand", "succeeded")), (true, None));
        // The repository's, after a feature's.
        assert_eq!(hears(&progress("postCreateCommand", "running")), (true, post()));
    }

    #[tokio::test]
    async fn who_is_overdue_is_named() {
        let watch = HookWatch::new();
        assert_eq!(watch.overdue(Duration::ZERO).await, None, "a silent CLI");
        watch.hear(&progress("postStartCommand", "running"));
        assert_eq!(watch.overdue(Duration::ZERO).await.as_deref(), Some("postStartCommand"));
    }
}
