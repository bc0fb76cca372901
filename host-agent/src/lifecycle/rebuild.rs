//! `rebuild`: build first; only then does the old container stop, and it comes back when the new
//! one does not work. The container of before is called `<drone>.old` meanwhile: whoever finds one
//! after a crash knows which of both to keep.

use std::collections::BTreeMap;

use hatchery_protocol::DroneName;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::burrow::GRACE;
use super::compose_memo::ComposeMemo;
use super::engine::{Container, ContainerEngine};
use super::failure::{Failure, FailureKind};
use super::progress::Progress;
use super::spawn::{Built, stage_failure};
use super::stage::{Extras, Stage};
use super::telling::Telling;
use super::view::{DroneState, DroneStatus, EventKind, Step};
use super::{Lifecycle, blocking, labels};
use crate::credentials::Forge;
use crate::policy::Form;
use crate::records::{Desired, Operation, OperationKind, Record};

/// Behind a drone's name: the container that its workspace is read through.
const READING: &str = "read";

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(super) async fn rebuild_drone(
        &self,
        drone: &DroneName,
        telling: Telling,
    ) -> Result<DroneStatus, Failure> {
        let record = self.record_of(drone)?;
        let claimed = self.operations.begin(drone, "rebuild").await?;
        self.can_confine(&record.choices).await?;
        let telling = telling.about(drone, self.log_file(drone, false));
        let operation = Operation {
            kind: OperationKind::Rebuild,
            step: Step::Clone.name().to_owned(),
            started_at: OffsetDateTime::now_utc(),
        };
        self.update_record(drone, move |record| record.operation = Some(operation)).await?;
        telling.tell(EventKind::State { state: DroneState::Spawning }).await;
        let before = self.images_of(drone).await?;
        let made = self.or_interrupted(&telling, self.replace(&record, &telling)).await;
        self.drop_stage(drone).await;
        let done = match made {
            Ok(references) => {
                self.update_record(drone, |record| {
                    record.operation = None;
                    record.references = references;
                    record.desired = Desired::Running;
                })
                .await?;
                self.status_of(drone).await
            }
            Err(failure) => {
                let failure = self.back_to_old(drone, failure).await;
                self.keep_images(drone, &before).await;
                Err(failure)
            }
        };
        drop(claimed);
        done
    }

    /// Brings the container of before back, and says so.
    async fn back_to_old(&self, drone: &DroneName, failure: Failure) -> Failure {
        self.engine.end_orphans(&Stage::root(&self.config.paths, drone)).await;
        self.engine.settled().await;
        match self.heal_rebuild(drone).await {
            Ok(true) => failure.hint("the drone runs as it was before"),
            Ok(false) => failure,
            Err(left) => {
                tracing::error!(%drone, %left, "the container of before is not back");
                failure.details([format!("the container of before is not back yet: {left}")])
            }
        }
    }

    /// Returns what the new one was made from.
    async fn replace(
        &self,
        record: &Record,
        telling: &Telling,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let drone = &record.drone;
        let stage = Stage::new(&self.config.paths, drone, &record.repo.name);
        let old = self.find_container(drone).await?;
        let fetching = self.fetch_workspace(&stage, record, old.as_ref());
        telling.step(Step::Clone, fetching).await?;
        let plan = telling.step(Step::Policy, self.plan(&stage, record, telling)).await?;
        self.at(drone, Step::Build).await?;
        let building = Box::pin(self.build(&stage, record, &plan, telling));
        let built = telling.step(Step::Build, building).await?;
        self.at(drone, Step::Stop).await?;
        telling.step(Step::Stop, self.make_way(drone, &plan.form, old.as_ref())).await?;
        self.at(drone, Step::Create).await?;
        let creating = async {
            self.create_volumes(record, &built).await?;
            self.add_directories(&stage, record, &plan, &built).await?;
            match &plan.form {
                Form::Image { .. } | Form::Dockerfile { .. } => {
                    self.create_container(&stage, record, &plan, &built).await
                }
                Form::Compose(compose) => {
                    let compose = (&plan, compose);
                    self.compose_up(&stage, record, compose, &built, telling).await
                }
            }
        };
        let id = telling.step(Step::Create, creating).await?;
        telling.step(Step::Inspect, self.inspect(drone, &id, &plan, &built)).await?;
        let made = (&plan, &built);
        self.bring_up(&stage, record, (&id, Extras::default()), made, telling).await?;
        self.drop_old(drone, &built).await?;
        Ok(plan.pins.references())
    }

    /// Copies the working tree out of the volume, without following what the drone wrote there.
    async fn fetch_workspace(
        &self,
        stage: &Stage,
        record: &Record,
        old: Option<&Container>,
    ) -> Result<(), Failure> {
        let drone = &record.drone;
        blocking({
            let stage = stage.clone();
            move || stage.make()
        })
        .await
        .map_err(|error| stage_failure(&error))?;
        let labelled = old.and_then(|found| found.labels.get(labels::CLONE).cloned());
        let clone = labelled.unwrap_or_else(|| {
            format!("{}/{}", hatchery_protocol::paths::WORKSPACES, record.repo.name.repo())
        });
        if let Some(old) = old {
            return Ok(self.engine.download(&old.id, &clone, stage.checkout()).await?);
        }
        let image = self.any_image(drone).await.ok_or_else(|| {
            let message = format!("neither a container nor an image of {drone} is left");
            Failure::new(FailureKind::Engine, message)
                .hint("its volume is still there; ask `docker volume ls`")
        })?;
        let reading = self.looker(drone, READING, &image, true);
        let id = self.engine.create(&reading).await?;
        let read = self.engine.download(&id, &clone, stage.checkout()).await;
        self.engine.remove(&id).await?;
        Ok(read?)
    }

    async fn make_way(
        &self,
        drone: &DroneName,
        form: &Form,
        old: Option<&Container>,
    ) -> Result<(), Failure> {
        match form {
            Form::Image { .. } | Form::Dockerfile { .. } => self.set_aside(drone, old).await,
            Form::Compose(_) => self.take_away(old).await,
        }
    }

    /// Stops the container of before and calls it `<drone>.old`; the engine leaves it alone.
    async fn set_aside(&self, drone: &DroneName, old: Option<&Container>) -> Result<(), Failure> {
        let Some(old) = old else { return Ok(()) };
        self.engine.stop(&old.id, GRACE).await?;
        self.engine.set_restarts(&old.id, false).await?;
        self.engine.rename(&old.id, &labels::old_container(drone)).await?;
        self.known.forget_container(&old.id);
        Ok(())
    }

    /// Removes the container of a Compose drone: Compose would find and start it by its project,
    /// whatever its name. What it was made from is kept.
    async fn take_away(&self, old: Option<&Container>) -> Result<(), Failure> {
        let Some(old) = old else { return Ok(()) };
        self.engine.stop(&old.id, GRACE).await?;
        self.engine.remove(&old.id).await?;
        self.known.forget_container(&old.id);
        Ok(())
    }

    /// The new one works: nothing of the one before is needed any more.
    async fn drop_old(&self, drone: &DroneName, built: &Built) -> Result<(), Failure> {
        self.engine.remove(&labels::old_container(drone)).await?;
        self.keep_images(drone, &[built.name.clone(), built.base.clone()]).await;
        Ok(())
    }

    /// Names of a drone's images.
    async fn images_of(&self, drone: &DroneName) -> Result<Vec<String>, Failure> {
        let mut names = self.engine.image_names().await?;
        names.retain(|name| labels::is_image_of(name, drone));
        Ok(names)
    }

    /// Removes a drone's images but these. One that stays is a nuisance, no failure.
    async fn keep_images(&self, drone: &DroneName, kept: &[String]) {
        let names = self.images_of(drone).await.unwrap_or_default();
        let of_sibling = |name: &str| name.contains(labels::SIBLING_TAG);
        for name in names.into_iter().filter(|name| !kept.contains(name) && !of_sibling(name)) {
            if let Err(error) = self.engine.remove_image(&name).await {
                tracing::warn!(%drone, image = name, %error, "an old image is not removed");
            }
        }
    }

    /// Brings the container of before back, where there is one; says whether there was. Also for a
    /// rebuild whose host agent was killed.
    pub(super) async fn heal_rebuild(&self, drone: &DroneName) -> Result<bool, Failure> {
        let old = self.engine.container(&labels::old_container(drone)).await?;
        if let Some(old) = &old {
            if let Some(new) = self.engine.container(drone.as_str()).await? {
                self.engine.remove(&new.container.id).await?;
                self.known.forget_container(&new.container.id);
            }
            self.engine.rename(&old.container.id, drone.as_str()).await?;
        }
        let project = if old.is_some() { false } else { self.project_back(drone).await? };
        let found = self.find_container(drone).await?.map(|found| found.id);
        let record = self
            .update_record(drone, move |record| {
                record.container_id = found;
                record.operation = None;
            })
            .await?;
        let back = old.is_some() || project;
        if back && record.desired == Desired::Running {
            self.start_all(drone).await?;
        }
        Ok(back)
    }

    /// Brings a Compose project back as it last worked, where a rebuild had begun to replace it.
    async fn project_back(&self, drone: &DroneName) -> Result<bool, Failure> {
        let record = self.record_of(drone)?;
        let replaced = record.operation.as_ref().is_some_and(|operation| {
            ![Step::Clone, Step::Build].iter().any(|step| step.name() == operation.step)
        });
        let (paths, name) = (self.config.paths.clone(), drone.clone());
        let memo = blocking(move || ComposeMemo::load(&paths, &name)).await;
        let Some(memo) = memo.ok().filter(|_| replaced) else { return Ok(false) };
        self.take_away(self.find_container(drone).await?.as_ref()).await?;
        let stage = Stage::new(&self.config.paths, drone, &record.repo.name);
        let target = stage.clone();
        blocking(move || memo.put(&target)).await.map_err(|error| stage_failure(&error))?;
        // Nobody listens: the receiver is dropped, and telling goes on without it.
        let (progress, _) = Progress::new(CancellationToken::new());
        let telling =
            Telling::new(progress, self.journal.clone()).about(drone, self.log_file(drone, false));
        self.up(&stage, drone, &telling).await?;
        self.drop_stage(drone).await;
        Ok(true)
    }
}
