//! What the lifecycle needs of a container engine, in its own words; `adapters::docker` implements
//! it. None of Docker's types pass through here.
//!
//! Every call has a deadline of the implementation's; every name and id comes from Hatchery or from
//! the engine itself, never from a repository.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::checkouts::Checkouts;
use super::devcontainers::Devcontainers;
pub use super::engine_facts::{EngineFacts, Holds};
use super::network::NetworkGuard;
use super::registries::Registries;
use crate::policy::{Mount, Observed, Ulimit};

/// Why the engine did not do it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nothing answers on its socket.
    #[error("Docker does not answer on {socket}")]
    Unreachable {
        /// The engine's socket.
        socket: PathBuf,
        /// What the connection said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answers, but not in time.
    #[error("Docker did not {action} within {} s", limit.as_secs())]
    Deadline {
        /// What it was asked for.
        action: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// What was asked about does not exist.
    #[error("Docker cannot {action}: it does not exist")]
    Absent {
        /// What it was asked for.
        action: String,
    },
    /// It is in use or exists already.
    #[error("Docker cannot {action}: {message}")]
    Conflict {
        /// What it was asked for.
        action: String,
        /// The engine's words.
        message: String,
    },
    /// It refused or failed.
    #[error("Docker failed to {action}: {message}")]
    Refused {
        /// What it was asked for.
        action: String,
        /// The engine's words.
        message: String,
    },
}

impl EngineError {
    /// Whether it only says that the thing is gone.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. })
    }
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It never ran.
    Created,
    /// It runs (paused counts: its processes exist).
    Running,
    /// It ran.
    Exited,
}

/// A container in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Full id.
    pub id: String,
    /// Name without the slash.
    pub name: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// What it does.
    pub state: RunState,
    /// Image reference as it was created from.
    pub image: String,
}

/// One container in detail.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerDetail {
    /// As in the list.
    pub container: Container,
    /// Id of its image.
    pub image_id: String,
    /// Since when it runs; `None` when it does not.
    pub up_since: Option<OffsetDateTime>,
    /// Pid of its first process on the host; `None` when it does not run.
    pub pid: Option<u32>,
    /// The engine saw it killed for memory.
    pub out_of_memory: bool,
    /// Exit code of its last run.
    pub exit_code: i64,
    /// `user[:group]` of its main process; empty: root.
    pub user: String,
    /// Its environment, `NAME=value`.
    pub env: Vec<String>,
    /// Memory limit in bytes; `None`: no limit.
    pub memory_limit: Option<u64>,
    /// Whether the engine starts it again by itself after a reboot.
    pub restarts: bool,
    /// For the comparison with what the policy allowed.
    pub observed: Observed,
}

/// An image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// `sha256:...`.
    pub id: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// `user[:group]`; empty: root.
    pub user: String,
    /// Its entrypoint.
    pub entrypoint: Vec<String>,
    /// Its command.
    pub command: Vec<String>,
    /// Its environment, `NAME=value`.
    pub env: Vec<String>,
    /// `repository:tag` names of it.
    pub tags: Vec<String>,
    /// `repository@sha256:...` names of it.
    pub digests: Vec<String>,
}

/// How much a container may use; 0 each: as much as there is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// CPUs.
    pub cpus: f64,
    /// Processes and threads.
    pub pids: i64,
}

/// A container to create.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// Its host name.
    pub hostname: String,
    /// Image by id or name; never pulled.
    pub image: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// `user[:group]`; `None`: the image's.
    pub user: Option<String>,
    /// Entrypoint; `None`: the image's.
    pub entrypoint: Option<Vec<String>>,
    /// Command; `None`: the image's.
    pub command: Option<Vec<String>>,
    /// Mounts; [`Mount::Workspace`] is `workspace_volume`.
    pub mounts: Vec<Mount>,
    /// The volume that [`Mount::Workspace`] means.
    pub workspace_volume: String,
    /// Network it is on; `None`: no network at all.
    pub network: Option<String>,
    /// `name:address`.
    pub extra_hosts: Vec<String>,
    /// Resolvers; empty: the engine's.
    pub dns: Vec<IpAddr>,
    /// Limits; `None` for a container that lives for seconds.
    pub limits: Option<Limits>,
    /// Started again by the engine after a reboot.
    pub restarts: bool,
    /// A reaping pid 1.
    pub init: bool,
    /// Every capability dropped; for containers that only look.
    pub no_capabilities: bool,
    /// What a repository may tune.
    pub tuning: Tuning,
}

/// What a repository may tune of its container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tuning {
    /// Only where a policy rule permits it.
    pub privileged: bool,
    /// Capabilities added.
    pub cap_add: Vec<String>,
    /// Capabilities dropped.
    pub cap_drop: Vec<String>,
    /// Security options.
    pub security_opt: Vec<String>,
    /// Size of /dev/shm.
    pub shm_size_bytes: Option<u64>,
    /// Limits of processes.
    pub ulimits: Vec<Ulimit>,
    /// Groups added.
    pub group_add: Vec<String>,
    /// Kernel settings of its own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// The signal that stops it.
    pub stop_signal: Option<String>,
    /// Seconds before it is killed.
    pub stop_timeout_seconds: Option<i64>,
    /// Devices, `source[:target[:permissions]]`.
    pub devices: Vec<String>,
    /// All GPUs.
    pub gpus: bool,
    /// Host namespaces: `pid`, `ipc`, `uts`, `userns`, `cgroupns`.
    pub host_namespaces: Vec<String>,
}

/// Something to run in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// `user[:group]`, name or number.
    pub user: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// `NAME=value`, added to the container's.
    pub env: Vec<String>,
    /// Working directory; `None`: the image's.
    pub workdir: Option<String>,
    /// How long it may take. Its process is not ended with it: the engine cannot.
    pub limit: Duration,
}

/// What a run in a container left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutcome {
    /// Exit code.
    pub code: i64,
    /// Standard output, cut at 1 MiB.
    pub stdout: String,
    /// Standard error, cut at 1 MiB.
    pub stderr: String,
}

/// A container's use of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// 100 is one CPU, since the previous look at it.
    pub cpu_percent: Option<f64>,
    /// Without the page cache.
    pub memory_bytes: Option<u64>,
}

/// What happened to a container, as far as anybody here cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineEvent {
    /// Full id of the container.
    pub container: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What happened.
    pub kind: EngineEventKind,
}

/// What happened to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineEventKind {
    /// It was started.
    Started,
    /// Its main process ended.
    Died,
    /// Somebody asked the engine to stop it, and it did.
    Stopped,
    /// It was removed.
    Removed,
    /// Something in it was killed for memory.
    OutOfMemory,
}

/// A bridge network of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Its name.
    pub name: String,
    /// Name of its interface on the host.
    pub interface: String,
    /// `address/bits`; `None`: the engine chooses.
    pub subnet: Option<String>,
    /// Whether containers on it reach each other.
    pub containers_talk: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A network that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `address/bits`.
    pub subnets: Vec<String>,
}

/// A container engine.
pub trait ContainerEngine:
    Devcontainers + Registries + Checkouts + NetworkGuard + Send + Sync + 'static
{
    /// Waits until nothing is being made any more: an interrupted operation may have left the
    /// making of a volume or a container under way, which a clean-up would not see yet.
    fn settled(&self) -> impl Future<Output = ()> + Send;

    /// The engine itself.
    fn facts(&self) -> impl Future<Output = Result<EngineFacts, EngineError>> + Send;

    /// Every container, running or not, with all of these labels (`name` or `name=value`).
    fn containers(
        &self,
        labels: &[String],
    ) -> impl Future<Output = Result<Vec<Container>, EngineError>> + Send;

    /// One container by id or name; `None` when there is none.
    fn container(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Option<ContainerDetail>, EngineError>> + Send;

    /// Creates a container and returns its id.
    fn create(
        &self,
        spec: &ContainerSpec,
    ) -> impl Future<Output = Result<String, EngineError>> + Send;

    /// Starts a container; one that runs already is fine.
    fn start(&self, id: &str) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Stops a container; after `grace` it is killed. One that does not run is fine.
    fn stop(
        &self,
        id: &str,
        grace: Duration,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Waits for a container's end and returns its exit code.
    fn wait(
        &self,
        id: &str,
        limit: Duration,
    ) -> impl Future<Output = Result<i64, EngineError>> + Send;

    /// Removes a container and its anonymous volumes, running or not; one that is gone is fine.
    fn remove(&self, id: &str) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Gives a container another name.
    fn rename(&self, id: &str, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Whether the engine starts it again by itself after a reboot.
    fn set_restarts(
        &self,
        id: &str,
        restarts: bool,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// The container's own output so far, its last `lines` lines.
    fn output(
        &self,
        id: &str,
        lines: usize,
    ) -> impl Future<Output = Result<String, EngineError>> + Send;

    /// Runs something in a running container; its output lines also go to `lines`, as they come.
    fn exec(
        &self,
        id: &str,
        exec: &Exec,
        lines: Option<mpsc::UnboundedSender<String>>,
    ) -> impl Future<Output = Result<ExecOutcome, EngineError>> + Send;

    /// A file of a container, running or not; `None` when there is none. At most 1 MiB.
    fn read_file(
        &self,
        id: &str,
        path: &str,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, EngineError>> + Send;

    /// Copies the directory `source` of the host to `target` in a container, running or not, owned
    /// by `owner` (uid, gid); symbolic links are copied as such, never followed.
    fn upload(
        &self,
        id: &str,
        source: PathBuf,
        target: &str,
        owner: (u64, u64),
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Copies the directory `source` of a container, running or not, to `target` on the host, which
    /// does not exist yet: without what lies in its `.git`, owners, devices or set-uid bits, and
    /// never through a link.
    fn download(
        &self,
        id: &str,
        source: &str,
        target: PathBuf,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Use of the machine by running containers, in the order asked for.
    fn usage(&self, ids: &[String]) -> impl Future<Output = Vec<Usage>> + Send;

    /// TCP ports on which something in a running container listens.
    fn listening_ports(&self, pid: u32) -> impl Future<Output = Vec<u16>> + Send;

    /// Makes a volume; one of that name and these labels is fine.
    fn create_volume(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Names of all volumes, or of those with this label (`name=value`).
    fn volumes(
        &self,
        label: Option<&str>,
    ) -> impl Future<Output = Result<Vec<String>, EngineError>> + Send;

    /// Removes a volume; one that is gone is fine.
    fn remove_volume(&self, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// An image by name or id; `None` when the engine does not have it.
    fn image(
        &self,
        reference: &str,
    ) -> impl Future<Output = Result<Option<Image>, EngineError>> + Send;

    /// Names `repository:tag` of every image.
    fn image_names(&self) -> impl Future<Output = Result<Vec<String>, EngineError>> + Send;

    /// Makes image `name` from image `base` (an id) with labels set; returns its id.
    fn relabel(
        &self,
        base: &str,
        labels: &BTreeMap<String, String>,
        name: &str,
    ) -> impl Future<Output = Result<String, EngineError>> + Send;

    /// Removes a name of an image, and the image with its last one; one that is gone is fine.
    fn remove_image(&self, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Makes a bridge network; one of that name is fine.
    fn ensure_network(
        &self,
        spec: &NetworkSpec,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Networks with this label (`name=value`), or all.
    fn networks(
        &self,
        label: Option<&str>,
    ) -> impl Future<Output = Result<Vec<Network>, EngineError>> + Send;

    /// Removes a network; one that is gone is fine.
    fn remove_network(&self, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Sends what happens to containers until the engine stops talking; then returns why.
    fn follow(&self, events: mpsc::Sender<EngineEvent>)
    -> impl Future<Output = EngineError> + Send;
}
