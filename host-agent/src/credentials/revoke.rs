//! Taking tokens back: only their holder can, so each is kept until the forge has done it or it
//! has ended by itself.

use std::sync::Arc;
use std::time::Duration;

use hatchery_protocol::DroneName;
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::audit::{Audit, Event, Line};
use super::forge::{Forge, ForgeError};
use super::token::Live;
use super::vault::Vault;

/// First wait after a failed attempt; doubled up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_secs(2);
/// Longest wait between attempts.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// Owner of every revocation under way.
pub struct Revoker<F> {
    forge: Arc<F>,
    audit: Arc<Audit>,
    tasks: TaskTracker,
    stop: CancellationToken,
    vault: Arc<Vault>,
}

impl<F: Forge> Revoker<F> {
    /// Idle. `tasks` waits for what it does, `stop` ends the waits between attempts.
    pub fn new(
        forge: Arc<F>,
        audit: Arc<Audit>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self { forge, audit, tasks, stop, vault: Arc::default() }
    }

    /// Has it tell the vault what ends.
    #[must_use]
    pub fn with_vault(mut self, vault: Arc<Vault>) -> Self {
        self.vault = vault;
        self
    }

    /// Takes a token back, and goes on in the background until it is done or the token has ended.
    pub fn revoke(&self, drone: DroneName, live: Arc<Live>) -> JoinHandle<()> {
        let (forge, audit, stop) =
            (Arc::clone(&self.forge), Arc::clone(&self.audit), self.stop.clone());
        let vault = Arc::clone(&self.vault);
        self.tasks.spawn(async move {
            vault.end(&drone, &live.sha256).await;
            let reason = attempts(&*forge, &live, &stop).await;
            let over = reason.is_none() || OffsetDateTime::now_utc() >= live.expires_at;
            let mut line = Line::new(Event::Revoke, &drone).token(&live.sha256);
            line.repository = Some(live.repository_list());
            line.reason = reason;
            audit.write(line).await;
            // Cut off by the end of this host agent, it goes on in the next one; last, so that one
            // that is killed here says it twice and not never.
            if over {
                vault.remove(&drone, &live.sha256).await;
            }
        })
    }
}

/// How long the forge wants to be left alone.
fn told(error: &ForgeError) -> Duration {
    match error {
        ForgeError::RateLimited { retry_after, .. } => *retry_after,
        _ => Duration::ZERO,
    }
}

/// Tries until it worked (`None`) or there is no point any more (why).
async fn attempts<F: Forge>(forge: &F, live: &Live, stop: &CancellationToken) -> Option<String> {
    let mut wait = WAIT_FIRST;
    while OffsetDateTime::now_utc() < live.expires_at {
        let error = forge.revoke(&live.host, &live.token).await.err()?;
        tracing::warn!(host = %live.host, %error, "a token could not be taken back yet");
        tokio::select! {
            () = stop.cancelled() => {
                return Some(format!("not taken back: the host agent ends, and {error}"));
            }
            () = tokio::time::sleep(wait.max(told(&error))) => wait = (wait * 2).min(WAIT_MAX),
        }
    }
    Some("it had ended by itself".to_owned())
}
