//! `clone`: the repository into the stage, by the host, with a token of its own.

use std::time::Duration;

use super::super::checkouts::CloneRequest;
use super::super::engine::ContainerEngine;
use super::super::failure::{Failure, FailureKind};
use super::super::stage::{Extras, Stage};
use super::super::telling::Telling;
use super::super::view::Step;
use super::super::{Lifecycle, blocking};
use crate::config::ForgeConfig;
use crate::credentials::{Forge, ForgeError};
use crate::records::Record;

/// How long a clone may take.
const CLONE: Duration = Duration::from_secs(60 * 60);

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(super) async fn clone_into(
        &self,
        stage: &Stage,
        record: &Record,
        telling: &Telling,
    ) -> Result<Extras, Failure> {
        let forge = self.forge_of(record)?;
        let token = self.credentials.clone_token(&record.drone).await?;
        blocking({
            let stage = stage.clone();
            move || stage.make()
        })
        .await
        .map_err(|error| stage_failure(&error))?;
        let request = CloneRequest {
            url: format!("{}/{}.git", forge.git_url, record.repo.name),
            branch: record.choices.branch.clone(),
            target: stage.clone_dir(),
            token,
            ca_file: forge.ca_file.clone(),
            address: forge.address,
            limit: CLONE,
        };
        let engine = &self.engine;
        telling
            .with_output(Step::Clone, async |output| {
                engine.clone_repository(&request, output).await
            })
            .await?;
        blocking({
            let stage = stage.clone();
            move || stage.copy_clone()
        })
        .await
        .map_err(|error| stage_failure(&error))
    }

    /// The forge that a drone's repository is on.
    ///
    /// # Errors
    /// `Usage` when it was taken out of the configuration.
    pub(in crate::lifecycle) fn forge_of(&self, record: &Record) -> Result<&ForgeConfig, Failure> {
        let host = &record.repo.host;
        self.config
            .forge(host)
            .ok_or_else(|| ForgeError::NotConfigured { host: host.clone() }.into())
    }
}

/// The stage cannot be written.
pub(in crate::lifecycle) fn stage_failure(error: &std::io::Error) -> Failure {
    let failure =
        Failure::new(FailureKind::Failed, "cannot write the staged checkout").caused_by(error);
    match error.kind() {
        std::io::ErrorKind::StorageFull => {
            failure.hint("the disk of the state directory is full: free some of it")
        }
        _ => failure,
    }
}
