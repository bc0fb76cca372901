//! `create`: volumes, the clone in its volume, the container, and its start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hatchery_protocol::{DroneName, paths};

use super::super::engine::{ContainerEngine, ContainerSpec, Image, Tuning};
use super::super::failure::Failure;
use super::super::network;
use super::super::passwd::{self, Account};
use super::super::stage::Stage;
use super::super::{Lifecycle, blocking, labels};
use super::build::Built;
use super::clone::stage_failure;
use crate::credentials::Forge;
use crate::policy::{Mount, Plan};
use crate::records::Record;

/// Behind a drone's name: the container that its volume is filled through.
const FILLING: &str = "fill";

/// What the shell of a container does whose command is overridden: the features' entrypoints, the
/// command, and then wait, as the reference CLI has it (with a sleep that wakes hourly).
const WAIT: &str = "exec \"$@\"\nwhile sleep 3600 & wait $!; do :; done";

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    /// Makes every volume, and puts the clone into its own, owned by the remote user.
    pub(super) async fn fill_volumes(
        &self,
        stage: &Stage,
        record: &Record,
        plan: &Plan,
        built: &Built,
    ) -> Result<(), Failure> {
        self.create_volumes(record, built).await?;
        let filling = self.looker(&record.drone, FILLING, &built.image.id, false);
        let id = self.engine.create(&filling).await?;
        let account = self.remote_account(&id, built).await?;
        // With the clone as the volume's root there is no directory between.
        let source = if plan.workspace.clone_is_root { stage.clone_dir() } else { stage.clones() };
        let owner = (account.uid, account.gid);
        self.engine.upload(&id, source, paths::WORKSPACES, owner).await?;
        if let Some(added) = stage_directories(stage, record, plan, built).await? {
            self.engine.upload(&id, added, paths::WORKSPACES, owner).await?;
        }
        self.engine.remove(&id).await?;
        Ok(())
    }

    /// Makes the directories that mounts of an existing workspace need and that are not in it.
    pub(in crate::lifecycle) async fn add_directories(
        &self,
        stage: &Stage,
        record: &Record,
        plan: &Plan,
        built: &Built,
    ) -> Result<(), Failure> {
        let Some(added) = stage_directories(stage, record, plan, built).await? else {
            return Ok(());
        };
        let filling = self.looker(&record.drone, FILLING, &built.image.id, false);
        let id = self.engine.create(&filling).await?;
        let account = self.remote_account(&id, built).await?;
        let owner = (account.uid, account.gid);
        self.engine.upload(&id, added, paths::WORKSPACES, owner).await?;
        Ok(self.engine.remove(&id).await?)
    }

    pub(in crate::lifecycle) async fn create_volumes(
        &self,
        record: &Record,
        built: &Built,
    ) -> Result<(), Failure> {
        let labels = labels::of(record, &self.seal);
        let ours = [labels::workspace_volume(&record.drone), labels::state_volume(&record.drone)];
        // A rebuild finds them, labelled by the version that made them.
        let existing = self.engine.volumes(Some(&labels::id_label(&record.drone))).await?;
        for name in ours.iter().chain(&built.effective.volumes) {
            if !existing.contains(name) {
                self.engine.create_volume(name, &labels).await?;
            }
        }
        Ok(())
    }

    /// A container that only looks at, or fills, a drone's volumes: no network, no capability.
    pub(in crate::lifecycle) fn looker(
        &self,
        drone: &DroneName,
        purpose: &str,
        image: &str,
        read_only: bool,
    ) -> ContainerSpec {
        ContainerSpec {
            name: format!("{drone}.{purpose}"),
            hostname: drone.to_string(),
            image: image.to_owned(),
            labels: labels::owned(drone),
            env: vec![],
            user: None,
            entrypoint: Some(vec!["/bin/sh".to_owned()]),
            command: Some(vec![]),
            mounts: vec![Mount::Workspace {
                subpath: None,
                target: paths::WORKSPACES.to_owned(),
                read_only,
            }],
            workspace_volume: labels::workspace_volume(drone),
            network: None,
            extra_hosts: vec![],
            dns: vec![],
            limits: None,
            restarts: false,
            init: false,
            no_capabilities: true,
            tuning: Tuning::default(),
        }
    }

    /// The remote user as the image's own account files know it.
    async fn remote_account(&self, id: &str, built: &Built) -> Result<Account, Failure> {
        let text = self.engine.read_file(id, "/etc/passwd").await?.unwrap_or_default();
        let user = remote_user(built);
        Ok(passwd::find(&String::from_utf8_lossy(&text), &user).unwrap_or_default())
    }

    /// Creates the drone's container; it does not run yet, and the record knows it already: what
    /// runs in it may ask for a token at once.
    pub(in crate::lifecycle) async fn create_container(
        &self,
        stage: &Stage,
        record: &Record,
        plan: &Plan,
        built: &Built,
    ) -> Result<String, Failure> {
        let facts = self.engine.facts().await?;
        let spec = self.spec(stage, record, plan, built, facts.cpus);
        let network = spec.network.as_deref().unwrap_or_default();
        self.ready_segment(&record.drone, network).await?;
        let id = self.engine.create(&spec).await?;
        let known = id.clone();
        self.update_record(&record.drone, move |record| record.container_id = Some(known)).await?;
        Ok(id)
    }

    fn spec(
        &self,
        stage: &Stage,
        record: &Record,
        plan: &Plan,
        built: &Built,
        cpus: f64,
    ) -> ContainerSpec {
        let (effective, run, drone) = (&built.effective, &plan.run, &record.drone);
        let (entrypoint, command) = command(&built.image, effective);
        let mut env = effective.container_env.clone();
        env.extend(run.env.clone());
        let mut tuning = tuning(plan, effective);
        let host_network = run.host_network.then(|| "host".to_owned());
        let network = host_network.unwrap_or_else(|| network::segment(drone, &tuning));
        tuning.cap_drop.extend(network::forgone(&network));
        let mut labels = self.container_labels(stage, record, plan, built);
        if built.image.labels.contains_key(labels::COMPOSE_PROJECT) {
            // It would be taken for a sibling of a Compose drone.
            labels.insert(labels::COMPOSE_PROJECT.to_owned(), String::new());
        }
        ContainerSpec {
            name: drone.to_string(),
            hostname: drone.to_string(),
            image: built.image.id.clone(),
            labels,
            env: env.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
            user: effective.container_user.clone().or_else(|| run.user.clone()),
            entrypoint: Some(entrypoint),
            command: Some(command),
            mounts: self.mounts(drone, effective),
            workspace_volume: labels::workspace_volume(drone),
            network: Some(network),
            extra_hosts: self.extra_hosts().into_iter().chain(run.extra_hosts.clone()).collect(),
            dns: self.config.network.dns.clone(),
            limits: Some(self.limits_of(&record.choices, cpus)),
            restarts: true,
            init: effective.init || run.init,
            no_capabilities: false,
            tuning,
        }
    }

    fn mounts(&self, drone: &DroneName, effective: &crate::policy::Effective) -> Vec<Mount> {
        let state = Mount::Volume {
            name: Some(labels::state_volume(drone)),
            target: paths::STATE_DIR.to_owned(),
            read_only: false,
        };
        let socket = Mount::Bind {
            source: self.socket_mount(drone),
            target: paths::DRONE_DIR.to_owned(),
            read_only: true,
        };
        effective.mounts.iter().cloned().chain([state, socket]).collect()
    }

    /// Hosts of forges that DNS does not know.
    pub(in crate::lifecycle) fn extra_hosts(&self) -> Vec<String> {
        let known =
            |forge: &crate::config::ForgeConfig| Some(format!("{}:{}", forge.host, forge.address?));
        self.config.forges.iter().filter_map(known).collect()
    }

    /// Ours over whatever an image carries.
    pub(in crate::lifecycle) fn container_labels(
        &self,
        stage: &Stage,
        record: &Record,
        plan: &Plan,
        built: &Built,
    ) -> BTreeMap<String, String> {
        let mut all = plan.run.labels.clone();
        all.extend(labels::of(record, &self.seal));
        let remote_env = serde_json::to_string(&built.effective.remote_env).unwrap_or_default();
        let checkout = stage.checkout();
        let config = checkout.join(&plan.config_path);
        all.extend(
            [
                (labels::USER, remote_user(built)),
                (labels::FOLDER, plan.workspace.folder.clone()),
                (labels::CLONE, plan.workspace.clone.clone()),
                (labels::REMOTE_ENV, remote_env),
                (labels::LOCAL_FOLDER, checkout.display().to_string()),
                (labels::CONFIG_FILE, config.display().to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        all
    }
}

/// A tree of nothing but the directories that mounts name and that the checkout does not have;
/// `None`: there are none.
async fn stage_directories(
    stage: &Stage,
    record: &Record,
    plan: &Plan,
    built: &Built,
) -> Result<Option<PathBuf>, Failure> {
    let below = format!("{}/", record.repo.name.repo());
    let mounted = built.effective.mounts.iter().filter_map(|mount| match mount {
        Mount::Workspace { subpath, .. } => subpath.as_deref()?.strip_prefix(&below),
        Mount::Volume { .. } | Mount::Tmpfs { .. } | Mount::Bind { .. } => None,
    });
    let wanted = plan.directories.iter().map(String::as_str).chain(mounted);
    let (stage, wanted) = (stage.clone(), wanted.map(str::to_owned).collect::<Vec<_>>());
    blocking(move || stage.add_directories(&wanted)).await.map_err(|error| stage_failure(&error))
}

/// The user of hooks, `exec` and editors, by the specification's order.
pub(in crate::lifecycle) fn remote_user(built: &Built) -> String {
    let named = [&built.effective.remote_user, &built.effective.container_user];
    let user = named.into_iter().flatten().find(|user| !user.is_empty());
    let user = user.unwrap_or(&built.image.user);
    if user.is_empty() { "root".to_owned() } else { user.clone() }
}

fn command(image: &Image, effective: &crate::policy::Effective) -> (Vec<String>, Vec<String>) {
    let mut script = vec!["echo Container started", "trap \"exit 0\" 15"];
    script.extend(effective.entrypoints.iter().map(String::as_str));
    script.push(WAIT);
    let mut command = vec!["-c".to_owned(), script.join("\n"), "-".to_owned()];
    if !effective.override_command {
        command.extend(image.entrypoint.iter().chain(&image.command).cloned());
    }
    (vec!["/bin/sh".to_owned()], command)
}

pub(super) fn tuning(plan: &Plan, effective: &crate::policy::Effective) -> Tuning {
    let run = &plan.run;
    let union = |one: &[String], other: &[String]| {
        let mut all: Vec<String> = one.iter().chain(other).cloned().collect();
        all.sort();
        all.dedup();
        all
    };
    Tuning {
        privileged: effective.privileged || run.privileged,
        cap_add: union(&effective.cap_add, &run.cap_add),
        cap_drop: run.cap_drop.clone(),
        security_opt: union(&effective.security_opt, &run.security_opt),
        shm_size_bytes: run.shm_size_bytes,
        ulimits: run.ulimits.clone(),
        group_add: run.group_add.clone(),
        sysctls: run.sysctls.clone(),
        stop_signal: run.stop_signal.clone(),
        stop_timeout_seconds: run.stop_timeout_seconds,
        devices: run.devices.clone(),
        gpus: run.gpus.is_some(),
        host_namespaces: run.host_namespaces.clone(),
    }
}
