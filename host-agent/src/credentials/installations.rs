//! Which installation covers a repository, and what repositories are called now: discovered when
//! first needed and kept for an hour, so that adding an organisation needs no restart.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hatchery_protocol::{ForgeHost, RepoId, RepoName};

use super::forge::{Forge, ForgeError, Installation};
use crate::records::{ForgeRepoId, Grant};

/// How long what was found is believed: without webhooks, permissions that an owner accepted or a
/// repository taken away are noticed by asking again, or by the forge refusing.
const BELIEVED: Duration = Duration::from_secs(3600);

type Key = (ForgeHost, ForgeRepoId);

#[derive(Default)]
struct Known {
    installations: HashMap<Key, (Installation, Instant)>,
    names: HashMap<Key, RepoName>,
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
        let name = {
            let known = self.lock();
            if let Some((installation, found_at)) = known.installations.get(&key)
                && found_at.elapsed() < BELIEVED
            {
                return Ok(installation.clone());
            }
            known.names.get(&key).unwrap_or(&grant.name).clone()
        };
        let found = self.forge.installation(&RepoId { host: host.clone(), name }).await?;
        self.lock().installations.insert(key, (found.clone(), Instant::now()));
        Ok(found)
    }

    /// Forgets where these are: the forge said that it was wrong.
    pub fn forget<'a>(&self, host: &ForgeHost, grants: impl IntoIterator<Item = &'a Grant>) {
        let mut known = self.lock();
        for grant in grants {
            let key = (host.clone(), grant.repo_id);
            known.installations.remove(&key);
            known.names.remove(&key);
        }
    }

    /// Notes what the forge calls these now.
    pub fn learn(&self, host: &ForgeHost, names: &BTreeMap<ForgeRepoId, RepoName>) {
        let mut known = self.lock();
        for (id, name) in names {
            known.names.insert((host.clone(), *id), name.clone());
        }
    }

    /// What a repository is called now, where a mint has told.
    pub fn name_now(&self, host: &ForgeHost, id: ForgeRepoId) -> Option<RepoName> {
        self.lock().names.get(&(host.clone(), id)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
