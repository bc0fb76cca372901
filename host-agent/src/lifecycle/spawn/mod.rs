//! `spawn`: from a repository's name to a drone that people can get into. A file a step; each step
//! takes what the one before it made. What fails is undone from record and labels alone, as it
//! would be after the host agent was killed.

mod boot;
mod build;
mod clone;
mod compose;
mod create;
mod hooks;
mod inspect;
mod pin;
mod policy;
mod reserve;
mod resolve;

use std::collections::BTreeMap;

use hatchery_protocol::DroneName;

pub(super) use build::Built;
pub(super) use clone::stage_failure;
use create::remote_user;
pub(super) use reserve::within;

use super::engine::{ContainerEngine, EngineError};
use super::failure::{Failure, FailureKind};
use super::request::SpawnRequest;
use super::stage::{Extras, Stage, remove_tree};
use super::telling::{LogFile, Telling};
use super::view::{DroneState, DroneStatus, EventKind, Step};
use super::{Lifecycle, blocking};
use crate::credentials::Forge;
use crate::policy::{Form, Plan};
use crate::records::{OperationKind, Record};
use resolve::Resolved;

/// What was made so far: what the policy left, and the image.
pub(super) type Made<'a> = (&'a Plan, &'a Built);

/// Steps after whose failure there is a container to look into.
const KEEPABLE: [Step; 3] = [Step::Boot, Step::Hooks, Step::Ready];

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    /// The whole of a spawn, rollback included.
    pub(super) async fn spawn_drone(
        &self,
        request: SpawnRequest,
        telling: Telling,
    ) -> Result<Option<DroneStatus>, Failure> {
        let repo = self.parse_repo(&request.repo)?;
        let resolved =
            self.or_interrupted(&telling, telling.step(Step::Resolve, self.resolve(&repo))).await?;
        let reserving = telling.step(Step::Reserve, async {
            if !request.dry_run {
                self.can_confine(&request.choices).await?;
            }
            self.reserve(&resolved, &request.choices).await
        });
        // Not interruptible: it takes milliseconds, and knows what to undo only at its end.
        let (record, claimed) = reserving.await?;
        let drone = record.drone.clone();
        if request.dry_run {
            return self.dry_run(&record, &resolved, telling.about(&drone, None)).await;
        }
        let telling = telling.about(&drone, self.log_file(&drone, true));
        telling.tell(EventKind::State { state: DroneState::Spawning }).await;
        let made = self.or_interrupted(&telling, self.make(&record, &resolved, &telling)).await;
        let made = match made {
            Ok(references) => self.spawned(&drone, references).await,
            Err(failure) => Err(failure),
        };
        let made = match made {
            Ok(status) => Ok(status),
            Err(failure) => {
                let keep = request.keep_failed && failure.kind != FailureKind::Interrupted;
                Err(self.after_failure(&drone, failure, keep, &telling).await)
            }
        };
        self.drop_stage(&drone).await;
        drop(claimed);
        made.map(Some)
    }

    /// Goes as far as the policy, and back: the record makes it safe to be killed on the way.
    async fn dry_run(
        &self,
        record: &Record,
        resolved: &Resolved,
        telling: Telling,
    ) -> Result<Option<DroneStatus>, Failure> {
        let drone = &record.drone;
        let judging = async {
            let stage = Stage::new(&self.config.paths, drone, &record.repo.name);
            telling.step(Step::Grant, self.grant_primary(drone, resolved)).await?;
            let cloning = self.clone_into(&stage, record, &telling);
            telling.step(Step::Clone, cloning).await?;
            telling.step(Step::Policy, self.judge(&stage, record, &telling)).await
        };
        let judged = self.or_interrupted(&telling, judging).await;
        // Whether or not this is complete, the next start goes on with it.
        let undone = self.undo(drone, &telling).await;
        judged?;
        undone.map(|_| None)
    }

    /// Does `work` unless the user or the shutdown interrupts it.
    pub(super) async fn or_interrupted<T>(
        &self,
        telling: &Telling,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            // Before the user's own: whoever stops us cancels every operation, too.
            () = self.stopping.cancelled() => {
                Err(Failure::new(FailureKind::Interrupted, "interrupted: the host agent is stopping")
                    .hint("try again when it runs: `systemctl start hatchery`, or `hatchery serve`"))
            }
            () = telling.cancelled() => {
                Err(Failure::new(FailureKind::Interrupted, "interrupted"))
            }
            done = work => done,
        }
    }

    /// Every step from the grant on; returns what the drone was made from.
    async fn make(
        &self,
        record: &Record,
        resolved: &Resolved,
        telling: &Telling,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let drone = &record.drone;
        let stage = Stage::new(&self.config.paths, drone, &record.repo.name);
        self.at(drone, Step::Grant).await?;
        for notice in telling.step(Step::Grant, self.grant(drone, resolved)).await? {
            telling.notice(notice).await;
        }
        self.at(drone, Step::Clone).await?;
        let cloning = self.clone_into(&stage, record, telling);
        let extras = telling.step(Step::Clone, cloning).await?;
        let planning = self.plan(&stage, record, telling);
        let plan = telling.step(Step::Policy, planning).await?;
        self.at(drone, Step::Build).await?;
        let building = Box::pin(self.build(&stage, record, &plan, telling));
        let built = telling.step(Step::Build, building).await?;
        self.at(drone, Step::Create).await?;
        let creating = self.create_drone(&stage, record, (&plan, &built), telling);
        let id = telling.step(Step::Create, creating).await?;
        telling.step(Step::Inspect, self.inspect(drone, &id, &plan, &built)).await?;
        self.bring_up(&stage, record, (&id, extras), (&plan, &built), telling).await?;
        Ok(plan.pins.references())
    }

    async fn create_drone(
        &self,
        stage: &Stage,
        record: &Record,
        (plan, built): Made<'_>,
        telling: &Telling,
    ) -> Result<String, Failure> {
        self.fill_volumes(stage, record, plan, built).await?;
        match &plan.form {
            Form::Image { .. } | Form::Dockerfile { .. } => {
                self.create_container(stage, record, plan, built).await
            }
            Form::Compose(compose) => {
                self.compose_up(stage, record, (plan, compose), built, telling).await
            }
        }
    }

    /// From a created container to a drone: start, boot, what the clone lacks, hooks.
    pub(super) async fn bring_up(
        &self,
        stage: &Stage,
        record: &Record,
        (id, extras): (&str, Extras),
        made: Made<'_>,
        telling: &Telling,
    ) -> Result<(), Failure> {
        let drone = &record.drone;
        self.at(drone, Step::Boot).await?;
        let user = remote_user(made.1);
        let place = (made.0.workspace.clone.as_str(), user.as_str());
        let booting = async {
            self.engine.start(id).await?;
            self.boot(id, place.0, place.1).await?;
            self.fetch_extras(drone, id, place, extras, telling).await
        };
        telling.step(Step::Boot, booting).await?;
        self.at(drone, Step::Hooks).await?;
        let hooks = self.run_hooks(stage, record, id, made, telling);
        telling.step(Step::Hooks, hooks).await?;
        telling.step(Step::Ready, self.still_runs(id)).await?;
        match &made.0.form {
            Form::Image { .. } | Form::Dockerfile { .. } => Ok(()),
            Form::Compose(compose) => self.keep_memo(stage, drone, compose).await,
        }
    }

    /// A container that ended meanwhile is no drone.
    async fn still_runs(&self, id: &str) -> Result<(), Failure> {
        let detail = self.engine.container(id).await?;
        if detail.as_ref().is_some_and(|detail| detail.pid.is_some()) {
            return Ok(());
        }
        let output = self.engine.output(id, 20).await.unwrap_or_default();
        let killed = detail.is_some_and(|detail| detail.out_of_memory);
        let failure = if killed {
            Failure::new(FailureKind::OutOfMemory, "the container was killed for memory")
                .hint("give it more: `--memory 16GiB`")
        } else {
            Failure::new(FailureKind::Engine, "the container ended by itself")
        };
        Err(failure.details(output.lines().map(str::to_owned)))
    }

    async fn spawned(
        &self,
        drone: &DroneName,
        references: BTreeMap<String, String>,
    ) -> Result<DroneStatus, Failure> {
        self.update_record(drone, |record| {
            record.operation = None;
            record.references = references;
        })
        .await?;
        self.status_of(drone).await
    }

    /// Undoes a failed spawn, or keeps it for a look; adds to the failure what came of that.
    async fn after_failure(
        &self,
        drone: &DroneName,
        failure: Failure,
        keep: bool,
        telling: &Telling,
    ) -> Failure {
        let failure = self.or_engine_away(failure).await;
        if keep && self.keep(drone, &failure, telling).await {
            return failure;
        }
        match self.undo(drone, telling).await {
            Ok(_) if !keep && is_keepable(&failure) => {
                failure.hint("everything was undone; with --keep-failed the drone stays for a look")
            }
            Ok(_) => failure,
            Err(left) => {
                tracing::error!(%drone, error = %left, "the rollback is not complete");
                telling.notice(format!("the rollback is not complete: {left}")).await;
                failure.hint(format!(
                    "not everything could be undone: that goes on when Docker answers again, or \
                     with `hatchery slay --force {drone}`"
                ))
            }
        }
    }

    /// Marks a failed spawn as kept; whether that went well.
    async fn keep(&self, drone: &DroneName, failure: &Failure, telling: &Telling) -> bool {
        let step = failure.step.clone().unwrap_or_default();
        let kept = self
            .update_record(drone, move |record| {
                if let Some(operation) = &mut record.operation {
                    operation.kind = OperationKind::Kept;
                    operation.step = step;
                }
            })
            .await;
        if kept.is_ok() {
            telling.tell(EventKind::State { state: DroneState::Failed }).await;
            telling.notice(format!("kept as asked: `hatchery exec {drone} sh`")).await;
        }
        kept.is_ok()
    }

    /// The devcontainer CLI does not say so when Docker is the reason why it failed.
    async fn or_engine_away(&self, failure: Failure) -> Failure {
        if failure.kind != FailureKind::Engine {
            return failure;
        }
        match self.engine.facts().await {
            Err(error @ EngineError::Unreachable { .. }) => {
                let Failure { message, details, step, log_file, .. } = failure;
                let mut away = Failure::from(error).details(details);
                away.causes.push(message);
                Failure { step, log_file, ..away }
            }
            Ok(_) | Err(_) => failure,
        }
    }

    /// Notes the step for whoever finds the record after a crash.
    pub(super) async fn at(&self, drone: &DroneName, step: Step) -> Result<(), Failure> {
        let name = step.name();
        self.update_record(drone, move |record| {
            if let Some(operation) = &mut record.operation {
                name.clone_into(&mut operation.step);
            }
        })
        .await
        .map(|_| ())
    }

    /// The drone's log file; without one an operation goes on.
    pub(super) fn log_file(&self, drone: &DroneName, anew: bool) -> Option<LogFile> {
        let opened = LogFile::open(&self.config.paths.logs(), drone, anew);
        opened.inspect_err(|error| tracing::warn!(%drone, %error, "no log file")).ok()
    }

    /// Removes what was staged, and what a build left that was cut off.
    pub(super) async fn drop_stage(&self, drone: &DroneName) {
        self.engine.sweep(&Stage::notes(&self.config.paths, drone)).await;
        let root = Stage::root(&self.config.paths, drone);
        if let Err(error) = blocking(move || remove_tree(&root)).await {
            tracing::warn!(%drone, %error, "the stage is not removed");
        }
    }
}

/// Whether a failure left a container to look into.
fn is_keepable(failure: &Failure) -> bool {
    KEEPABLE.iter().any(|step| failure.step.as_deref() == Some(step.name()))
}
