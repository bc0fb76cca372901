//! `inspect`: the last net. What the container really has, against what was allowed.

use hatchery_protocol::DroneName;

use super::super::engine::ContainerEngine;
use super::super::failure::{Failure, FailureKind};
use super::super::{Lifecycle, labels, network};
use super::build::Built;
use super::create;
use crate::credentials::Forge;
use crate::policy::{self, Allowed, Form, Mount, Plan};

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(in crate::lifecycle) async fn inspect(
        &self,
        drone: &DroneName,
        id: &str,
        plan: &Plan,
        built: &Built,
    ) -> Result<(), Failure> {
        let containers = self.containers_of(drone).await?;
        let siblings: Vec<String> = containers.into_iter().map(|found| found.id).collect();
        let gone = || Failure::new(FailureKind::Engine, format!("container {drone} is gone again"));
        if !siblings.iter().any(|sibling| sibling == id) {
            return Err(gone());
        }
        // Compose names a container's network by its id.
        let networks = self.engine.networks(Some(&labels::id_label(drone))).await?;
        let mut deviations = vec![];
        for sibling in &siblings {
            let detail = self.engine.container(sibling).await?.ok_or_else(gone)?;
            let mut allowed = self.allowed(drone, plan, built);
            if let Form::Compose(_) = plan.form {
                // The text of the files was judged; what it may add is theirs to say. The rest of
                // the net holds for every service.
                allowed.siblings.clone_from(&siblings);
                allowed.networks.extend(networks.iter().map(|network| network.id.clone()));
                allowed.cap_add.clone_from(&detail.observed.cap_add);
                allowed.security_opt.clone_from(&detail.observed.security_opt);
                if sibling != id {
                    allowed.hatchery_labels = labels::OF_SIBLING.map(str::to_owned).into();
                }
            }
            deviations.extend(policy::deviations(&detail.observed, &allowed));
        }
        if deviations.is_empty() {
            return Ok(());
        }
        let message = format!("container {drone} has what the policy did not allow");
        Err(Failure::new(FailureKind::Refused, message).details(deviations))
    }

    fn allowed(&self, drone: &DroneName, plan: &Plan, built: &Built) -> Allowed {
        let (effective, run) = (&built.effective, &plan.run);
        let socket = self.socket_mount(drone);
        let permitted = effective.mounts.iter().filter_map(|mount| match mount {
            Mount::Bind { source, .. } => Some(source.clone()),
            Mount::Workspace { .. } | Mount::Volume { .. } | Mount::Tmpfs { .. } => None,
        });
        let ours = [labels::workspace_volume(drone), labels::state_volume(drone)];
        let network = match plan.form {
            _ if run.host_network => "host".to_owned(),
            Form::Compose(_) => network::name(drone),
            Form::Image { .. } | Form::Dockerfile { .. } => {
                network::segment(drone, &create::tuning(plan, effective))
            }
        };
        Allowed {
            privileged: effective.privileged || run.privileged,
            cap_add: effective.cap_add.iter().chain(&run.cap_add).cloned().collect(),
            security_opt: effective.security_opt.iter().chain(&run.security_opt).cloned().collect(),
            binds: permitted.chain([socket]).collect(),
            volumes: effective.volumes.iter().cloned().chain(ours).collect(),
            devices: run.devices.clone(),
            networks: vec![network],
            siblings: vec![],
            host_namespaces: run.host_namespaces.clone(),
            hatchery_labels: labels::OF_DRONE.map(str::to_owned).into(),
        }
    }
}
