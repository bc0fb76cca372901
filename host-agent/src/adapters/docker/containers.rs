//! Containers: list, look at, start, stop, remove.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ContainerUpdateBody, HostConfig, RestartPolicy,
    RestartPolicyNameEnum,
};
use bollard::query_parameters as query;
use futures_util::StreamExt as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{CALL, KEPT_MAX, Machine, filter, gone_is_fine};
use crate::lifecycle::engine::{Container, ContainerDetail, EngineError, RunState};
use crate::policy::{Observed, ObservedMount};

/// How long a kill may take on a busy machine.
const STOP: Duration = Duration::from_secs(80);

impl Machine {
    pub(super) async fn engine_containers(
        &self,
        labels: &[String],
    ) -> Result<Vec<Container>, EngineError> {
        let options = query::ListContainersOptions {
            all: true,
            filters: filter("label", labels.to_vec()),
            ..Default::default()
        };
        let call = self.docker()?.list_containers(Some(options));
        let list = self.call("list containers", CALL, call).await?;
        Ok(list.into_iter().map(summary).collect())
    }

    pub(super) async fn engine_container(
        &self,
        id: &str,
    ) -> Result<Option<ContainerDetail>, EngineError> {
        let call = self.docker()?.inspect_container(id, None);
        match self.call(&format!("inspect container {id}"), CALL, call).await {
            Ok(inspected) => Ok(Some(detail(inspected))),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn engine_start(&self, id: &str) -> Result<(), EngineError> {
        let call = self.docker()?.start_container(id, None);
        self.call(&format!("start container {id}"), CALL, call).await
    }

    pub(super) async fn engine_stop(&self, id: &str, grace: Duration) -> Result<(), EngineError> {
        let seconds = i32::try_from(grace.as_secs()).ok();
        let options = query::StopContainerOptions { t: seconds, ..Default::default() };
        let call = self.docker()?.stop_container(id, Some(options));
        gone_is_fine(self.call(&format!("stop container {id}"), grace + STOP, call).await)
    }

    pub(super) async fn engine_wait(&self, id: &str, limit: Duration) -> Result<i64, EngineError> {
        let mut ends = Box::pin(self.docker()?.wait_container(id, None));
        let call = async {
            match ends.next().await {
                Some(Ok(end)) => Ok(end.status_code),
                Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => {
                    Ok(code)
                }
                Some(Err(error)) => Err(error),
                None => Ok(-1),
            }
        };
        self.call(&format!("wait for container {id}"), limit, call).await
    }

    pub(super) async fn engine_remove(&self, id: &str) -> Result<(), EngineError> {
        let options = query::RemoveContainerOptions { v: true, force: true, link: false };
        let action = format!("remove container {id}");
        let call = self.docker()?.remove_container(id, Some(options));
        match gone_is_fine(self.call(&action, STOP, call).await) {
            // Somebody else removes it right now: done when it is gone.
            Err(EngineError::Conflict { message, .. }) if message.contains("in progress") => {
                let options = query::WaitContainerOptions { condition: "removed".to_owned() };
                let mut ends = Box::pin(self.docker()?.wait_container(id, Some(options)));
                let _ = tokio::time::timeout(STOP, ends.next()).await;
                Ok(())
            }
            other => other,
        }
    }

    pub(super) async fn engine_rename(&self, id: &str, name: &str) -> Result<(), EngineError> {
        let options = query::RenameContainerOptions { name: name.to_owned() };
        let call = self.docker()?.rename_container(id, options);
        self.call(&format!("rename container {id} to {name}"), CALL, call).await
    }

    pub(super) async fn engine_set_restarts(
        &self,
        id: &str,
        restarts: bool,
    ) -> Result<(), EngineError> {
        let change = ContainerUpdateBody {
            restart_policy: Some(restart_policy(restarts)),
            ..Default::default()
        };
        let call = self.docker()?.update_container(id, change);
        self.call(&format!("change the restart policy of container {id}"), CALL, call).await
    }

    pub(super) async fn engine_output(
        &self,
        id: &str,
        lines: usize,
    ) -> Result<String, EngineError> {
        let options = query::LogsOptions {
            stdout: true,
            stderr: true,
            tail: lines.to_string(),
            ..Default::default()
        };
        let mut stream = Box::pin(self.docker()?.logs(id, Some(options)));
        let read = async {
            let mut text = Vec::new();
            while let Some(chunk) = stream.next().await {
                text.extend_from_slice(&chunk?.into_bytes());
                if text.len() > KEPT_MAX {
                    break;
                }
            }
            Ok(String::from_utf8_lossy(&text).into_owned())
        };
        self.call(&format!("read the output of container {id}"), CALL, read).await
    }
}

/// Started again by the engine after a reboot, or not.
pub(super) fn restart_policy(restarts: bool) -> RestartPolicy {
    let name =
        if restarts { RestartPolicyNameEnum::UNLESS_STOPPED } else { RestartPolicyNameEnum::NO };
    RestartPolicy { name: Some(name), maximum_retry_count: None }
}

fn summary(summary: ContainerSummary) -> Container {
    let names = summary.names.unwrap_or_default();
    Container {
        id: summary.id.unwrap_or_default(),
        name: names.first().map_or("", |name| name.trim_start_matches('/')).to_owned(),
        labels: summary.labels.unwrap_or_default().into_iter().collect(),
        state: summary.state.map_or(RunState::Exited, |state| run_state(state.as_ref())),
        image: summary.image.unwrap_or_default(),
    }
}

/// Docker's status, of which paused and restarting count as running: their processes exist.
fn run_state(status: &str) -> RunState {
    match status {
        "created" => RunState::Created,
        "running" | "paused" | "restarting" => RunState::Running,
        _ => RunState::Exited,
    }
}

fn detail(inspected: ContainerInspectResponse) -> ContainerDetail {
    let observed = observed(&inspected);
    let host = inspected.host_config.unwrap_or_default();
    let config = inspected.config.unwrap_or_default();
    let state = inspected.state.unwrap_or_default();
    let run = state.status.map_or(RunState::Exited, |status| run_state(status.as_ref()));
    let up = run == RunState::Running;
    let started =
        state.started_at.as_deref().and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
    let restart = host.restart_policy.and_then(|policy| policy.name);
    ContainerDetail {
        container: Container {
            id: inspected.id.unwrap_or_default(),
            name: inspected.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            labels: config.labels.unwrap_or_default().into_iter().collect(),
            state: run,
            image: config.image.unwrap_or_default(),
        },
        image_id: inspected.image.unwrap_or_default(),
        up_since: started.filter(|_| up),
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid > 0),
        out_of_memory: state.oom_killed.unwrap_or(false),
        exit_code: state.exit_code.unwrap_or(0),
        user: config.user.unwrap_or_default(),
        env: config.env.unwrap_or_default(),
        memory_limit: host.memory.and_then(|bytes| u64::try_from(bytes).ok()).filter(|&b| b > 0),
        restarts: matches!(
            restart,
            Some(RestartPolicyNameEnum::UNLESS_STOPPED | RestartPolicyNameEnum::ALWAYS)
        ),
        observed,
    }
}

fn observed(inspected: &ContainerInspectResponse) -> Observed {
    let host = inspected.host_config.clone().unwrap_or_default();
    let labels = inspected.config.as_ref().and_then(|config| config.labels.as_ref());
    let networks = inspected.network_settings.as_ref().and_then(|set| set.networks.as_ref());
    let ports = host.port_bindings.iter().flatten();
    Observed {
        privileged: host.privileged.unwrap_or(false),
        mounts: inspected.mounts.iter().flatten().map(mount).collect(),
        networks: networks.into_iter().flat_map(|map| map.keys().cloned()).collect(),
        published_ports: ports.map(|(port, _)| port.clone()).collect(),
        hatchery_labels: labels
            .into_iter()
            .flat_map(|map| map.keys())
            .filter(|name| name.starts_with("hatchery."))
            .cloned()
            .collect(),
        devices: devices(&host),
        cap_add: host.cap_add.unwrap_or_default(),
        security_opt: host.security_opt.unwrap_or_default(),
        network_mode: host.network_mode.unwrap_or_default(),
        pid_mode: host.pid_mode.unwrap_or_default(),
        ipc_mode: host.ipc_mode.unwrap_or_default(),
        uts_mode: host.uts_mode.unwrap_or_default(),
        userns_mode: host.userns_mode.unwrap_or_default(),
        cgroupns_mode: host.cgroupns_mode.map(|mode| mode.to_string()).unwrap_or_default(),
        cgroup_parent: host.cgroup_parent.unwrap_or_default(),
        volumes_from: host.volumes_from.unwrap_or_default(),
        oom_score_adj: host.oom_score_adj.unwrap_or(0),
        oom_kill_disable: host.oom_kill_disable.unwrap_or(false),
    }
}

fn mount(mount: &bollard::models::MountPoint) -> ObservedMount {
    let kind = mount.typ.clone().unwrap_or_default();
    let source = if kind == "volume" { mount.name.clone() } else { mount.source.clone() };
    ObservedMount {
        kind,
        source: source.unwrap_or_default(),
        target: mount.destination.clone().unwrap_or_default(),
        writable: mount.rw.unwrap_or(true),
        driver: mount.driver.clone().unwrap_or_default(),
    }
}

fn devices(host: &HostConfig) -> Vec<String> {
    let paths = host.devices.iter().flatten().filter_map(|device| device.path_on_host.clone());
    let requests = host.device_requests.iter().flatten().map(|request| format!("{request:?}"));
    let rules = host.device_cgroup_rules.iter().flatten().cloned();
    paths.chain(requests).chain(rules).collect()
}

/// Labels as Docker takes them.
pub(super) fn labels(
    labels: &BTreeMap<String, String>,
) -> std::collections::HashMap<String, String> {
    labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}
