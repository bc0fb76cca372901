//! `exec`: how to run something in a drone, from memory where nothing happened since.

use std::collections::BTreeMap;

use hatchery_protocol::DroneName;

use super::engine::{Container, ContainerEngine, RunState};
use super::failure::{Failure, FailureKind};
use super::view::ExecPlan;
use super::{Lifecycle, labels};
use crate::credentials::Forge;

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(super) async fn plan_exec(&self, drone: &DroneName) -> Result<ExecPlan, Failure> {
        if let Some(plan) = self.known.plan(drone) {
            return Ok(plan);
        }
        let container = self.container_of(drone).await?;
        if container.state != RunState::Running {
            let message = format!("{drone} does not run");
            return Err(Failure::new(FailureKind::Failed, message)
                .hint(format!("start it: `hatchery unburrow {drone}`")));
        }
        let plan = self.plan_for(&container);
        self.known.keep_plan(drone, &plan);
        Ok(plan)
    }

    fn plan_for(&self, container: &Container) -> ExecPlan {
        let label = |name: &str| container.labels.get(name).cloned();
        let env: BTreeMap<String, Option<String>> = label(labels::REMOTE_ENV)
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        ExecPlan {
            container_id: container.id.clone(),
            user: label(labels::USER).unwrap_or_default(),
            workdir: label(labels::FOLDER).unwrap_or_default(),
            env: env
                .into_iter()
                // What refers to the container's own environment is for a shell in it.
                .filter_map(|(name, value)| Some((name, value.filter(|one| !one.contains("${"))?)))
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            docker: self.config.programs.docker.display().to_string(),
            docker_socket: self.config.programs.docker_socket.display().to_string(),
        }
    }
}
