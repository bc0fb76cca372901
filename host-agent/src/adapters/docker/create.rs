//! Creating a container from a [`ContainerSpec`].

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, HostConfig, HostConfigCgroupnsModeEnum,
    Mount as DockerMount, MountTmpfsOptions, MountType, MountVolumeOptions, ResourcesUlimits,
};
use bollard::query_parameters as query;

use super::Machine;
use super::containers::{labels, restart_policy};
use crate::lifecycle::engine::{ContainerSpec, EngineError, Tuning};
use crate::policy::Mount;

impl Machine {
    pub(super) async fn engine_create(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        let options =
            query::CreateContainerOptions { name: Some(spec.name.clone()), ..Default::default() };
        let (docker, body) = (self.docker()?.clone(), body(spec));
        let call = async move { docker.create_container(Some(options), body).await };
        Ok(self.make(&format!("create container {}", spec.name), call).await?.id)
    }
}

fn body(spec: &ContainerSpec) -> ContainerCreateBody {
    ContainerCreateBody {
        hostname: Some(spec.hostname.clone()),
        user: spec.user.clone(),
        env: Some(spec.env.clone()),
        cmd: spec.command.clone(),
        entrypoint: spec.entrypoint.clone(),
        image: Some(spec.image.clone()),
        labels: Some(labels(&spec.labels)),
        stop_signal: spec.tuning.stop_signal.clone(),
        stop_timeout: spec.tuning.stop_timeout_seconds,
        network_disabled: spec.network.is_none().then_some(true),
        host_config: Some(host(spec)),
        ..Default::default()
    }
}

fn host(spec: &ContainerSpec) -> HostConfig {
    let tuning = &spec.tuning;
    let has = |kind: &str| tuning.host_namespaces.iter().any(|name| name == kind);
    let shared = |kind: &str| has(kind).then(|| "host".to_owned());
    let cap_drop =
        if spec.no_capabilities { vec!["ALL".to_owned()] } else { tuning.cap_drop.clone() };
    HostConfig {
        mounts: Some(spec.mounts.iter().map(|one| mount(one, &spec.workspace_volume)).collect()),
        network_mode: Some(spec.network.clone().unwrap_or_else(|| "none".to_owned())),
        extra_hosts: Some(spec.extra_hosts.clone()),
        dns: Some(spec.dns.iter().map(ToString::to_string).collect()),
        memory: spec.limits.and_then(|limits| i64::try_from(limits.memory_bytes).ok()),
        // The limit holds for memory and swap together: no drone swaps the host to death.
        memory_swap: spec.limits.and_then(|limits| i64::try_from(limits.memory_bytes).ok()),
        #[expect(clippy::cast_possible_truncation, reason = "CPUs are few, nano-CPUs fit")]
        nano_cpus: spec.limits.map(|limits| (limits.cpus * 1e9) as i64),
        pids_limit: spec.limits.map(|limits| limits.pids).filter(|&pids| pids > 0),
        restart_policy: Some(restart_policy(spec.restarts)),
        init: Some(spec.init),
        privileged: Some(tuning.privileged),
        cap_add: Some(tuning.cap_add.clone()),
        cap_drop: Some(cap_drop),
        security_opt: Some(tuning.security_opt.clone()),
        shm_size: tuning.shm_size_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
        ulimits: Some(tuning.ulimits.iter().map(ulimit).collect()),
        group_add: Some(tuning.group_add.clone()),
        sysctls: Some(tuning.sysctls.clone().into_iter().collect()),
        devices: Some(tuning.devices.iter().map(|device| device_mapping(device)).collect()),
        device_requests: tuning.gpus.then(|| vec![all_gpus()]),
        pid_mode: shared("pid"),
        ipc_mode: shared("ipc"),
        uts_mode: shared("uts"),
        userns_mode: shared("userns"),
        // With version 1 of cgroups the engine's own default is the host's.
        cgroupns_mode: Some(if has("cgroupns") {
            HostConfigCgroupnsModeEnum::HOST
        } else {
            HostConfigCgroupnsModeEnum::PRIVATE
        }),
        ..hardening(tuning)
    }
}

/// What no repository can tune.
fn hardening(_: &Tuning) -> HostConfig {
    HostConfig { publish_all_ports: Some(false), oom_score_adj: Some(0), ..Default::default() }
}

fn ulimit(limit: &crate::policy::Ulimit) -> ResourcesUlimits {
    ResourcesUlimits {
        name: Some(limit.name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    }
}

/// `source[:target[:permissions]]`.
fn device_mapping(text: &str) -> DeviceMapping {
    let mut parts = text.splitn(3, ':');
    let source = parts.next().unwrap_or(text);
    DeviceMapping {
        path_on_host: Some(source.to_owned()),
        path_in_container: Some(parts.next().unwrap_or(source).to_owned()),
        cgroup_permissions: Some(parts.next().unwrap_or("rwm").to_owned()),
    }
}

fn all_gpus() -> DeviceRequest {
    DeviceRequest {
        count: Some(-1),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..Default::default()
    }
}

fn mount(mount: &Mount, workspace: &str) -> DockerMount {
    let base = |kind, source: Option<String>, read_only: bool| DockerMount {
        typ: Some(kind),
        source,
        target: Some(mount.target().to_owned()),
        read_only: Some(read_only),
        ..Default::default()
    };
    match mount {
        Mount::Workspace { subpath, read_only, .. } => DockerMount {
            // Without the copy: an image's own /workspaces is no part of the repository.
            volume_options: Some(MountVolumeOptions {
                no_copy: Some(true),
                subpath: subpath.clone(),
                ..Default::default()
            }),
            ..base(MountType::VOLUME, Some(workspace.to_owned()), *read_only)
        },
        Mount::Volume { name, read_only, .. } => base(MountType::VOLUME, name.clone(), *read_only),
        Mount::Bind { source, read_only, .. } => {
            base(MountType::BIND, Some(source.clone()), *read_only)
        }
        Mount::Tmpfs { size_bytes, mode, .. } => DockerMount {
            tmpfs_options: Some(MountTmpfsOptions {
                size_bytes: size_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
                mode: mode.map(i64::from),
                options: None,
            }),
            ..base(MountType::TMPFS, None, false)
        },
    }
}
