//! The container engine: Docker's API over its Unix socket.

mod archive;
mod containers;
mod create;
mod events;
mod exec;
mod images;
mod networks;
pub mod usage;
mod volumes;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as Bollard;
use bollard::models::{SystemInfo, SystemInfoCgroupDriverEnum, SystemVersion};
use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::sync::mpsc;

use super::Machine;
use crate::lifecycle::engine::{
    Container, ContainerDetail, ContainerEngine, ContainerSpec, EngineError, EngineEvent,
    EngineFacts, Exec, ExecOutcome, Holds, Image, Network, NetworkSpec, Usage,
};

/// How long one call may take that does not wait for anything in a container.
pub(super) const CALL: Duration = Duration::from_secs(60);

/// How long the engine may take to answer that it is there.
const PING: Duration = Duration::from_secs(5);

/// bollard's own limit, in seconds: never before ours.
const BOLLARD_LIMIT: u64 = 24 * 60 * 60;

/// What Podman calls itself among its parts, and an engine without root among its options.
const PODMAN: &str = "Podman Engine";
const ROOTLESS: &str = "name=rootless";

/// Most that is kept of anything read from a container, in bytes.
const KEPT_MAX: usize = 1024 * 1024;

impl Machine {
    /// The client, made when the socket is there. A new engine version is noticed by `facts`.
    pub(super) fn docker(&self) -> Result<&Docker, EngineError> {
        if let Some(docker) = self.docker.get() {
            return Ok(docker);
        }
        let socket = &self.programs.docker_socket;
        let made = Docker::connect_with_unix(
            &socket.to_string_lossy(),
            BOLLARD_LIMIT,
            API_DEFAULT_VERSION,
        )
        .map_err(|error| self.unreachable(error))?;
        Ok(self.docker.get_or_init(|| made))
    }

    fn unreachable(&self, error: Bollard) -> EngineError {
        EngineError::Unreachable {
            socket: self.programs.docker_socket.clone(),
            source: Box::new(error),
        }
    }

    /// Says what was attempted when the engine failed to do it.
    fn explain(&self, action: &str, error: Bollard) -> EngineError {
        let action = action.to_owned();
        match error {
            Bollard::DockerResponseServerError { status_code: 404, message }
                if !message.contains("No such image") =>
            {
                EngineError::Absent { action }
            }
            Bollard::DockerResponseServerError { status_code: 409, message } => {
                EngineError::Conflict { action, message }
            }
            Bollard::DockerResponseServerError { message, .. } => {
                EngineError::Refused { action, message: message.trim().to_owned() }
            }
            Bollard::DockerStreamError { error } => {
                EngineError::Refused { action, message: error.trim().to_owned() }
            }
            error @ (Bollard::HyperResponseError { .. }
            | Bollard::HyperLegacyError { .. }
            | Bollard::IOError { .. }
            | Bollard::SocketNotFoundError(_)) => self.unreachable(error),
            other => EngineError::Refused { action, message: other.to_string() },
        }
    }

    /// One call within `limit`.
    pub(super) async fn call<T>(
        &self,
        action: &str,
        limit: Duration,
        call: impl Future<Output = Result<T, Bollard>> + Send,
    ) -> Result<T, EngineError> {
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer.map_err(|error| self.explain(action, error)),
            Err(_) => Err(EngineError::Deadline { action: action.to_owned(), limit }),
        }
    }

    /// A call that makes something. Whoever waits for it may be interrupted; it goes on to its end
    /// then, as the engine would: [`ContainerEngine::settled`] waits for it.
    async fn make<T: Send + 'static>(
        &self,
        action: &str,
        call: impl Future<Output = Result<T, Bollard>> + Send + 'static,
    ) -> Result<T, EngineError> {
        let under_way = Arc::clone(&self.making).read_owned().await;
        let making = tokio::spawn(async move {
            let answer = tokio::time::timeout(CALL, call).await;
            drop(under_way);
            answer
        });
        let action = action.to_owned();
        match making.await {
            Ok(Ok(answer)) => answer.map_err(|error| self.explain(&action, error)),
            Ok(Err(_)) => Err(EngineError::Deadline { action, limit: CALL }),
            Err(error) => Err(EngineError::Refused { action, message: error.to_string() }),
        }
    }

    async fn engine_facts(&self) -> Result<EngineFacts, EngineError> {
        let docker = self.docker()?.clone();
        let docker = self.call("say its version", PING, docker.negotiate_version()).await?;
        let version = self.call("say its version", PING, docker.version()).await?;
        let info = self.call("describe itself", CALL, docker.info()).await?;
        Ok(facts(version, info))
    }
}

/// What the engine on `socket` is, for whoever has no [`Machine`].
///
/// # Errors
/// When it does not answer.
pub async fn facts_at(socket: &Path) -> Result<EngineFacts, Bollard> {
    let asking = async {
        let docker = Docker::connect_with_unix(
            &socket.to_string_lossy(),
            BOLLARD_LIMIT,
            API_DEFAULT_VERSION,
        )?;
        let docker = docker.negotiate_version().await?;
        Ok(facts(docker.version().await?, docker.info().await?))
    };
    tokio::time::timeout(CALL, asking).await.unwrap_or(Err(Bollard::RequestTimeoutError))
}

fn facts(version: SystemVersion, info: SystemInfo) -> EngineFacts {
    let numbers = |text: Option<String>| {
        let text = text.unwrap_or_default();
        let mut parts = text.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    };
    let options = info.security_options.unwrap_or_default();
    let components = version.components.unwrap_or_default();
    EngineFacts {
        major: numbers(version.version).0,
        api: numbers(version.api_version),
        #[expect(clippy::cast_precision_loss, reason = "no machine has 2^52 CPUs")]
        cpus: info.ncpu.unwrap_or(1).max(1) as f64,
        root_dir: PathBuf::from(info.docker_root_dir.unwrap_or_default()),
        podman: components.iter().any(|component| component.name == PODMAN),
        rootless: options.iter().any(|option| option == ROOTLESS),
        holds: Holds {
            // Engines that do not say so are older than all that cannot.
            cgroups: info.cgroup_driver != Some(SystemInfoCgroupDriverEnum::NONE),
            memory: info.memory_limit != Some(false),
            cpus: info.cpu_cfs_quota != Some(false),
            pids: info.pids_limit != Some(false),
        },
    }
}

/// A filter with one key.
fn filter(
    key: &str,
    values: Vec<String>,
) -> Option<std::collections::HashMap<String, Vec<String>>> {
    Some([(key.to_owned(), values)].into_iter().collect())
}

/// Absence is what was wanted.
fn gone_is_fine(result: Result<(), EngineError>) -> Result<(), EngineError> {
    match result {
        Err(error) if error.is_absent() => Ok(()),
        other => other,
    }
}

impl ContainerEngine for Machine {
    async fn settled(&self) {
        drop(self.making.write().await);
        super::cut_off::settled(&self.cut_off).await;
    }

    async fn facts(&self) -> Result<EngineFacts, EngineError> {
        self.engine_facts().await
    }

    async fn containers(&self, labels: &[String]) -> Result<Vec<Container>, EngineError> {
        self.engine_containers(labels).await
    }

    async fn container(&self, id: &str) -> Result<Option<ContainerDetail>, EngineError> {
        self.engine_container(id).await
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        self.engine_create(spec).await
    }

    async fn start(&self, id: &str) -> Result<(), EngineError> {
        self.engine_start(id).await
    }

    async fn stop(&self, id: &str, grace: Duration) -> Result<(), EngineError> {
        self.engine_stop(id, grace).await
    }

    async fn wait(&self, id: &str, limit: Duration) -> Result<i64, EngineError> {
        self.engine_wait(id, limit).await
    }

    async fn remove(&self, id: &str) -> Result<(), EngineError> {
        self.engine_remove(id).await
    }

    async fn rename(&self, id: &str, name: &str) -> Result<(), EngineError> {
        self.engine_rename(id, name).await
    }

    async fn set_restarts(&self, id: &str, restarts: bool) -> Result<(), EngineError> {
        self.engine_set_restarts(id, restarts).await
    }

    async fn output(&self, id: &str, lines: usize) -> Result<String, EngineError> {
        self.engine_output(id, lines).await
    }

    async fn exec(
        &self,
        id: &str,
        exec: &Exec,
        lines: Option<mpsc::UnboundedSender<String>>,
    ) -> Result<ExecOutcome, EngineError> {
        self.engine_exec(id, exec, lines).await
    }

    async fn read_file(&self, id: &str, path: &str) -> Result<Option<Vec<u8>>, EngineError> {
        self.engine_read_file(id, path).await
    }

    async fn upload(
        &self,
        id: &str,
        source: PathBuf,
        target: &str,
        owner: (u64, u64),
    ) -> Result<(), EngineError> {
        self.engine_upload(id, source, target, owner).await
    }

    async fn download(&self, id: &str, source: &str, target: PathBuf) -> Result<(), EngineError> {
        self.engine_download(id, source, target).await
    }

    async fn usage(&self, ids: &[String]) -> Vec<Usage> {
        self.engine_usage(ids).await
    }

    async fn listening_ports(&self, pid: u32) -> Vec<u16> {
        self.engine_listening_ports(pid).await
    }

    async fn create_volume(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), EngineError> {
        self.engine_create_volume(name, labels).await
    }

    async fn volumes(&self, label: Option<&str>) -> Result<Vec<String>, EngineError> {
        self.engine_volumes(label).await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        self.engine_remove_volume(name).await
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>, EngineError> {
        self.engine_image(reference).await
    }

    async fn image_names(&self) -> Result<Vec<String>, EngineError> {
        self.engine_image_names().await
    }

    async fn relabel(
        &self,
        base: &str,
        labels: &BTreeMap<String, String>,
        name: &str,
    ) -> Result<String, EngineError> {
        self.engine_relabel(base, labels, name).await
    }

    async fn remove_image(&self, name: &str) -> Result<(), EngineError> {
        self.engine_remove_image(name).await
    }

    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<(), EngineError> {
        self.engine_ensure_network(spec).await
    }

    async fn networks(&self, label: Option<&str>) -> Result<Vec<Network>, EngineError> {
        self.engine_networks(label).await
    }

    async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        self.engine_remove_network(name).await
    }

    async fn follow(&self, events: mpsc::Sender<EngineEvent>) -> EngineError {
        self.engine_follow(events).await
    }
}
