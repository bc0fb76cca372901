//! Which installation covers a repository: discovered by its id when first needed and kept for an
//! hour, so that adding an organisation needs no restart. And when the forge last told its name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hatchery_protocol::ForgeHost;

use super::forge::{Forge, ForgeError, ForgeRepository, Installation};
use crate::records::{ForgeRepoId, Grant};

/// How long what was found is believed: without webhooks, permissions that an owner accepted or a
/// repository taken away are noticed by asking again, or by the forge refusing.
const BELIEVED: Duration = Duration::from_secs(3600);

type Key = (ForgeHost, ForgeRepoId);

#[derive(Default)]
struct Known {
    installations: HashMap<Key, (Installation, Instant)>,
    named: HashMap<Key, Instant>,
    /// Not found when last looked for.
    lost: HashMap<Key, Instant>,
}

/// What was found, by repository id.
pub struct Installations<F> {
    forge: Arc<F>,
    known: Mutex<Known>,
}

impl<F: Forge> Installations<F> {
    /// Knows nothing yet.
    pub fn new(forge: Arc<F>) -> Self {
        Self { forge, known: Mutex::default() }
    }

    /// The installation that covers a granted repository.
    ///
    /// # Errors
    /// As [`Forge::installation`].
    pub async fn of(&self, host: &ForgeHost, grant: &Grant) -> Result<Installation, ForgeError> {
        let key = (host.clone(), grant.repo_id);
        if let Some((installation, found_at)) = self.lock().installations.get(&key)
            && found_at.elapsed() < BELIEVED
        {
            return Ok(installation.clone());
        }
        let found = self.forge.installation(host, grant.repo_id, &grant.name).await?;
        self.lock().installations.insert(key, (found.clone(), Instant::now()));
        Ok(found)
    }

    /// The installation that was found to cover a repository when it was last looked for.
    pub fn known(&self, host: &ForgeHost, id: ForgeRepoId) -> Option<Installation> {
        let known = self.lock();
        known.installations.get(&(host.clone(), id)).map(|(installation, _)| installation.clone())
    }

    /// Notes what a search found.
    pub fn found(&self, host: &ForgeHost, repository: &ForgeRepository) {
        let key = (host.clone(), repository.id);
        let id = repository.installation;
        let permissions = repository.installation_permissions.clone();
        let mut known = self.lock();
        known.installations.insert(key.clone(), (Installation { id, permissions }, Instant::now()));
        known.lost.remove(&key);
        known.named.insert(key, Instant::now());
    }

    /// Notes that this was looked for in vain.
    pub fn lost(&self, host: &ForgeHost, id: ForgeRepoId) {
        self.lock().lost.insert((host.clone(), id), Instant::now());
    }

    /// Forgets where these are: the forge said that it was wrong.
    pub fn forget<'a>(&self, host: &ForgeHost, grants: impl IntoIterator<Item = &'a Grant>) {
        let mut known = self.lock();
        for grant in grants {
            known.installations.remove(&(host.clone(), grant.repo_id));
        }
    }

    /// Notes that the forge just told the names of these.
    pub fn named(&self, host: &ForgeHost, ids: impl IntoIterator<Item = ForgeRepoId>) {
        let mut known = self.lock();
        for id in ids {
            let key = (host.clone(), id);
            known.lost.remove(&key);
            known.named.insert(key, Instant::now());
        }
    }

    /// Whether the forge did not tell a repository's name for so long, and may tell it now.
    pub fn may_be_renamed(&self, host: &ForgeHost, grant: &Grant, fresh: Duration) -> bool {
        let key = (host.clone(), grant.repo_id);
        let known = self.lock();
        let within = |moments: &HashMap<Key, Instant>, limit| {
            moments.get(&key).is_some_and(|at| at.elapsed() < limit)
        };
        !within(&known.named, fresh) && !within(&known.lost, BELIEVED)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
