//! Removing everything that a drone had, found by record and label alone: the rollback of a spawn,
//! also of one whose host agent was killed, and the second half of a slay.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hatchery_protocol::DroneName;

use super::compose_memo::ComposeMemo;
use super::engine::{Container, ContainerEngine};
use super::failure::{Failure, FailureKind};
use super::stage::Stage;
use super::telling::Telling;
use super::{Lifecycle, blocking, labels};
use crate::credentials::Forge;
use crate::records::Record;

/// How often everything is looked for: a create that was cut off may end after a look, and holds its
/// volumes until then. It copies what the image has at their places, which may take it seconds.
const LOOKS: usize = 50;

/// Pause before the next look when something could not be removed.
const PAUSE: Duration = Duration::from_millis(300);

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    /// Removes everything of `drone` but its log. Returns what was removed, a line each.
    ///
    /// # Errors
    /// What could not be removed; the record stays, so that the next start goes on with it.
    pub(super) async fn undo(
        &self,
        drone: &DroneName,
        telling: &Telling,
    ) -> Result<Vec<String>, Failure> {
        self.credentials.close_drone(drone).await;
        self.credentials.revoke_drone(drone).await;
        // What was cut off: programs first, then what the engine is doing for them still.
        self.engine.end_orphans(&Stage::root(&self.config.paths, drone)).await;
        self.engine.settled().await;
        let mut removed = vec![];
        for look in 1..=LOOKS {
            let before = removed.len();
            match self.remove_from_engine(drone, &mut removed).await {
                Ok(()) if removed.len() == before => break,
                Ok(()) => {}
                Err(failure) if look == LOOKS => return Err(failure),
                // Nobody is there who could be asked again.
                Err(failure) if self.engine.facts().await.is_err() => return Err(failure),
                // As a volume is in use by a container that was not there yet when it was looked for.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        self.drop_stage(drone).await;
        let (paths, name) = (self.config.paths.clone(), drone.clone());
        let forgotten = blocking(move || ComposeMemo::forget(&paths, &name)).await;
        forgotten.map_err(|error| super::spawn::stage_failure(&error))?;
        self.credentials.remove_drone(drone).await.map_err(|error| {
            let message = format!("cannot remove the socket directory of {drone}");
            Failure::new(FailureKind::Failed, message).caused_by(&error)
        })?;
        removed.push("its socket and tokens".to_owned());
        let name = drone.clone();
        self.change_records(move |records| records.remove(&name)).await?;
        self.known.forget_drone(drone);
        for line in &removed {
            telling.write(&format!("removed {line}"));
        }
        Ok(removed)
    }

    async fn remove_from_engine(
        &self,
        drone: &DroneName,
        removed: &mut Vec<String>,
    ) -> Result<(), Failure> {
        for container in self.containers_of(drone).await? {
            self.engine.remove(&container.id).await?;
            self.known.forget_container(&container.id);
            removed.push(format!("container {}", container.name));
        }
        for volume in self.volumes_of(drone).await? {
            self.engine.remove_volume(&volume).await?;
            removed.push(format!("volume {volume}"));
        }
        for label in [labels::id_label(drone), labels::project_label(drone)] {
            for network in self.engine.networks(Some(&label)).await? {
                self.engine.remove_network(&network.id).await?;
                removed.push(format!("network {}", network.name));
            }
        }
        self.remove_images(drone, removed).await
    }

    /// Every volume of a drone, by label, and by name too: a container that is created late makes
    /// those that are gone already anew, without a label.
    async fn volumes_of(&self, drone: &DroneName) -> Result<BTreeSet<String>, Failure> {
        let all = self.engine.volumes(None).await?;
        let mut own: BTreeSet<String> =
            all.into_iter().filter(|name| labels::is_volume_of(name, drone)).collect();
        for label in [labels::id_label(drone), labels::project_label(drone)] {
            own.extend(self.engine.volumes(Some(&label)).await?);
        }
        Ok(own)
    }

    /// The drone's own images: their names carry its name, or that of its stage, so no other drone
    /// uses them.
    async fn remove_images(
        &self,
        drone: &DroneName,
        removed: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let mut names = self.engine.image_names().await?;
        let stage = |record: Arc<Record>| Stage::new(&self.config.paths, drone, &record.repo.name);
        let checkout = self.records.find(drone).map(|record| stage(record).checkout());
        let of_stage = |name: &str| match &checkout {
            Some(checkout) => self.engine.is_byproduct(name, checkout),
            None => false,
        };
        names.retain(|name| labels::is_image_of(name, drone) || of_stage(name));
        // The final image goes before the one that it was made from.
        names.sort_by_key(|name| !name.ends_with("-final"));
        for name in names {
            self.engine.remove_image(&name).await?;
            removed.push(format!("image {name}"));
        }
        Ok(())
    }

    /// Every container of a drone: its own, those that look, and its Compose siblings.
    pub(super) async fn containers_of(&self, drone: &DroneName) -> Result<Vec<Container>, Failure> {
        let mut all = self.engine.containers(&[labels::id_label(drone)]).await?;
        for sibling in self.engine.containers(&[labels::project_label(drone)]).await? {
            if !all.iter().any(|known| known.id == sibling.id) {
                all.push(sibling);
            }
        }
        Ok(all)
    }

    /// Removes a drone's log; none is fine.
    pub(super) async fn drop_log(&self, drone: &DroneName) {
        let path = super::telling::LogFile::path(&self.config.paths.logs(), drone);
        let removed = blocking(move || std::fs::remove_file(path)).await;
        if let Err(error) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%drone, %error, "the log is not removed");
        }
    }
}
