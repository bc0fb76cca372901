//! `resolve`: the repository as the forge knows it now.

use hatchery_protocol::RepoId;

use super::super::engine::ContainerEngine;
use super::super::failure::{Failure, FailureKind};
use super::super::{Lifecycle, explain};
use crate::credentials::{Forge, ForgeRepository};
use crate::records::Record;

/// A repository that exists and that the App is installed on.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    /// Spelled as the forge does, under its name of now.
    pub(super) repo: RepoId,
    /// Id, installation, default branch.
    pub(super) found: ForgeRepository,
}

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    /// The repository that a user names.
    ///
    /// # Errors
    /// `Usage` when it is not one.
    pub(super) fn parse_repo(&self, text: &str) -> Result<RepoId, Failure> {
        let usage = |message: String| Failure::new(FailureKind::Usage, message);
        let Some(forge) = self.config.forges.first() else {
            return Err(usage("no [[forge]] is configured".to_owned()));
        };
        RepoId::parse(text, &forge.host).map_err(|error| {
            usage(error.to_string())
                .hint("name it as owner/repo, HOST/owner/repo, or by its https or git@ address")
        })
    }

    pub(super) async fn resolve(&self, repo: &RepoId) -> Result<Resolved, Failure> {
        // Before the forge is asked: it may be down, and the answer would not change.
        if let Some(record) = self.records.all().iter().find(|record| record.repo == *repo) {
            return Err(explain::exists(record));
        }
        let found = self.credentials.resolve(repo).await?;
        let repo = RepoId { host: repo.host.clone(), name: found.name.clone() };
        let resolved = Resolved { repo, found };
        self.has_no_drone(&resolved)?;
        Ok(resolved)
    }

    /// Refuses a repository that has a drone, whatever its name was when that was spawned.
    ///
    /// # Errors
    /// `Exists`.
    pub(super) fn has_no_drone(&self, resolved: &Resolved) -> Result<(), Failure> {
        let same = |record: &Record| {
            record.repo.host == resolved.repo.host && record.repo_id == resolved.found.id
        };
        match self.records.all().iter().find(|record| same(record)) {
            Some(record) => Err(explain::exists(record)),
            None => Ok(()),
        }
    }
}
