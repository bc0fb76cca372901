//! `inspect`: the last net. What the container really has, against what was allowed.

use hatchery_protocol::DroneName;

use super::super::engine::ContainerEngine;
use super::super::failure::{Failure, FailureKind};
use super::super::network::SHARED_NETWORK;
use super::super::{Lifecycle, labels};
use super::build::Built;
use crate::credentials::Forge;
use crate::policy::{self, Allowed, Mount, Plan};

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(in crate::lifecycle) async fn inspect(
        &self,
        drone: &DroneName,
        id: &str,
        plan: &Plan,
        built: &Built,
    ) -> Result<(), Failure> {
        let detail = self.engine.container(id).await?.ok_or_else(|| {
            Failure::new(FailureKind::Engine, format!("container {drone} is gone again"))
        })?;
        let deviations = policy::deviations(&detail.observed, &self.allowed(drone, plan, built));
        if deviations.is_empty() {
            return Ok(());
        }
        let message = format!("container {drone} has what the policy did not allow");
        Err(Failure::new(FailureKind::Refused, message).details(deviations))
    }

    fn allowed(&self, drone: &DroneName, plan: &Plan, built: &Built) -> Allowed {
        let (effective, run) = (&built.effective, &plan.run);
        let socket = self.config.paths.sockets().join(drone.as_str()).display().to_string();
        let permitted = effective.mounts.iter().filter_map(|mount| match mount {
            Mount::Bind { source, .. } => Some(source.clone()),
            Mount::Workspace { .. } | Mount::Volume { .. } | Mount::Tmpfs { .. } => None,
        });
        let ours = [labels::workspace_volume(drone), labels::state_volume(drone)];
        let network = if run.host_network { "host" } else { SHARED_NETWORK };
        Allowed {
            privileged: effective.privileged || run.privileged,
            cap_add: effective.cap_add.iter().chain(&run.cap_add).cloned().collect(),
            security_opt: effective.security_opt.iter().chain(&run.security_opt).cloned().collect(),
            binds: permitted.chain([socket]).collect(),
            volumes: effective.volumes.iter().cloned().chain(ours).collect(),
            devices: run.devices.clone(),
            networks: vec![network.to_owned()],
            siblings: vec![],
            host_namespaces: run.host_namespaces.clone(),
            hatchery_labels: labels::OURS.map(str::to_owned).into(),
        }
    }
}
