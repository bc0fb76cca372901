//! Faults that tests switch on: what an outage, a slow link or a rate limit looks like from
//! outside.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// Answer with this status instead of doing anything.
    Status {
        /// The status.
        status: u16,
        /// `message` of the body; GitHub's usual one when absent.
        #[serde(default)]
        message: Option<String>,
    },
    /// Wait before going on normally.
    Delay {
        /// How long.
        milliseconds: u64,
    },
    /// Close the connection without an answer.
    Cut,
    /// Do what was asked, then close the connection after this many bytes of the answer's body.
    CutAfter {
        /// Bytes that still arrive.
        bytes: u64,
    },
    /// Answer 403 (or 429) as when the limit is used up.
    RateLimit {
        /// Seconds in `retry-after` (a secondary limit); without it `x-ratelimit-remaining: 0`
        /// and `x-ratelimit-reset` in `reset_seconds` are sent (the primary limit).
        #[serde(default)]
        retry_after: Option<u64>,
        /// Seconds until the limit is reset.
        #[serde(default = "minute")]
        reset_seconds: u64,
        /// 403 or 429.
        #[serde(default = "forbidden")]
        status: u16,
    },
    /// Answer that the credentials are bad (401), as tokens seconds old may get.
    BadCredentials,
    /// Mint: cover every repository of the installation, whatever was asked for, and leave the
    /// list out of the answer.
    WidenMint,
    /// Mint: answer with all the installation's permissions, whatever was asked for.
    WidenPermissions,
}

/// A fault and where it strikes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// Method it strikes; any when absent.
    #[serde(default)]
    pub method: Option<String>,
    /// Start of the paths it strikes, without the `/api/v3` mount; all when absent.
    #[serde(default)]
    pub path: String,
    /// How many calls it strikes before it is spent; without end when absent.
    #[serde(default)]
    pub times: Option<u64>,
    /// Calls it lets pass first.
    #[serde(default)]
    pub skip: u64,
    /// What goes wrong.
    pub fault: FaultKind,
}

impl FaultSpec {
    /// A fault on every call until it is cleared.
    pub fn everywhere(fault: FaultKind) -> Self {
        Self { method: None, path: String::new(), times: None, skip: 0, fault }
    }

    /// The same, on paths that begin so only.
    #[must_use]
    pub fn on(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// The same, for so many calls only.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    fn strikes(&self, method: &str, path: &str) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && path.starts_with(&self.path)
    }
}

/// A fault that is switched on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    /// Names it when it is cleared.
    pub id: u64,
    /// What and where.
    #[serde(flatten)]
    pub spec: FaultSpec,
}

/// The switchboard.
#[derive(Debug, Default)]
pub struct Faults {
    inner: Mutex<Switched>,
}

#[derive(Debug, Default)]
struct Switched {
    last_id: u64,
    on: Vec<Fault>,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Switched> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Switches a fault on; the id clears it.
    pub fn add(&self, spec: FaultSpec) -> u64 {
        let mut inner = self.lock();
        inner.last_id += 1;
        let id = inner.last_id;
        inner.on.push(Fault { id, spec });
        id
    }

    /// Clears one fault; false when it was not on.
    pub fn clear(&self, id: u64) -> bool {
        let mut inner = self.lock();
        let before = inner.on.len();
        inner.on.retain(|fault| fault.id != id);
        inner.on.len() < before
    }

    /// Clears them all.
    pub fn clear_all(&self) {
        self.lock().on.clear();
    }

    /// Those that are on.
    pub fn list(&self) -> Vec<Fault> {
        self.lock().on.clone()
    }

    /// Those that strike this call, in the order they were switched on; counts them.
    pub fn strike(&self, method: &str, path: &str) -> Vec<FaultKind> {
        self.spend(|spec| !spec.fault.widens() && spec.strikes(method, path))
    }

    /// Those that widen a mint; counts them.
    pub fn strike_mint(&self) -> Vec<FaultKind> {
        self.spend(|spec| spec.fault.widens())
    }

    fn spend(&self, strikes: impl Fn(&FaultSpec) -> bool) -> Vec<FaultKind> {
        let mut inner = self.lock();
        let mut struck = Vec::new();
        for fault in &mut inner.on {
            if !strikes(&fault.spec) {
                continue;
            }
            if fault.spec.skip > 0 {
                fault.spec.skip -= 1;
                continue;
            }
            if let Some(times) = &mut fault.spec.times {
                if *times == 0 {
                    continue;
                }
                *times -= 1;
            }
            struck.push(fault.spec.fault.clone());
        }
        inner.on.retain(|fault| fault.spec.times != Some(0));
        struck
    }
}

impl FaultKind {
    /// True for what only a mint can suffer; method and path do not matter there.
    fn widens(&self) -> bool {
        matches!(self, Self::WidenMint | Self::WidenPermissions)
    }
}

fn minute() -> u64 {
    60
}

fn forbidden() -> u16 {
    403
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_fault_is_spent() {
        let faults = Faults::default();
        faults.add(FaultSpec::everywhere(FaultKind::Cut).on("/app").times(2));
        assert!(faults.strike("GET", "/repos/a/b").is_empty());
        assert_eq!(faults.strike("GET", "/app"), [FaultKind::Cut]);
        assert_eq!(faults.strike("POST", "/app/installations/1/access_tokens"), [FaultKind::Cut]);
        assert!(faults.strike("GET", "/app").is_empty());
        assert!(faults.list().is_empty());
    }

    #[test]
    fn the_wire_form_is_flat() {
        let spec: FaultSpec =
            serde_json::from_str(r#"{"path":"/app","fault":{"kind":"status","status":500}}"#)
                .unwrap();
        assert_eq!(spec.fault, FaultKind::Status { status: 500, message: None });
    }
}
