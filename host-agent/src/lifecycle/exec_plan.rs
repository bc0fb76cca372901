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
        let detail = self.engine.container(&container.id).await?;
        let plan = self.plan_for(&container, &detail.map(|one| one.env).unwrap_or_default());
        self.known.keep_plan(drone, &plan);
        Ok(plan)
    }

    fn plan_for(&self, container: &Container, own: &[String]) -> ExecPlan {
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
                .filter_map(|(name, value)| Some(format!("{name}={}", filled(&value?, own)?)))
                .collect(),
            docker: self.config.programs.docker.display().to_string(),
            docker_socket: self.config.programs.docker_socket.display().to_string(),
        }
    }
}

/// `text` with each `${containerEnv:NAME}` or `${containerEnv:NAME:default}` as the container's own
/// environment has it. `None` when it refers to anything else.
fn filled(text: &str, own: &[String]) -> Option<String> {
    const OPENING: &str = "${containerEnv:";
    let (mut done, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(OPENING) {
        let (inside, behind) = after.split_once('}')?;
        let (name, fallback) = inside.split_once(':').unwrap_or((inside, ""));
        let value = own.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        done.push_str(before);
        done.push_str(value.unwrap_or(fallback));
        rest = behind;
    }
    done.push_str(rest);
    // Only what the configuration itself says is looked at: a value may well contain these.
    (!rest.contains("${")).then_some(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_own_environment_is_filled_in() {
        let own = ["PATH=/bin".to_owned(), "ODD=${x}".to_owned(), "PATHS=no".to_owned()];
        for (text, wanted) in [
            ("plain", Some("plain")),
            ("${containerEnv:PATH}:/b", Some("/bin:/b")),
            ("${containerEnv:GONE:there}-${containerEnv:GONE}", Some("there-")),
            ("${containerEnv:ODD}", Some("${x}")),
            ("${localEnv:HOME}", None),
            ("${containerEnv:PATH", None),
        ] {
            assert_eq!(filled(text, &own).as_deref(), wanted, "{text}");
        }
    }
}
