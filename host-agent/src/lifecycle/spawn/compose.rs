//! `create` for Compose: the devcontainer CLI brings the project up, from the repository's files as
//! the policy left them and one of ours, which gives every service its limits, labels, restart
//! policy and the drone's one network, and the drone its image, socket and state.

use std::collections::BTreeMap;
use std::time::Duration;

use hatchery_protocol::{DroneName, paths};
use serde_json::{Map, Value, json};

use super::super::compose_memo::ComposeMemo;
use super::super::devcontainers::UpRequest;
use super::super::engine::{ContainerEngine, Limits};
use super::super::failure::Failure;
use super::super::network;
use super::super::stage::Stage;
use super::super::telling::Telling;
use super::super::view::Step;
use super::super::{Lifecycle, blocking, labels};
use super::build::Built;
use super::clone::stage_failure;
use crate::credentials::Forge;
use crate::policy::{Compose, Plan, StagedFile};
use crate::records::Record;

/// How long a project may take to come up, with siblings' images to pull or build.
const UP: Duration = Duration::from_secs(60 * 60);

/// The keys of the state volume and of the workspace's in our file.
const STATE: &str = "hatchery-state";
const WORKSPACE: &str = "hatchery-workspace";

/// Our Compose file, and the configuration that names it.
const OURS: &str = "hatchery.compose.json";
const CONFIG: &str = "up.json";

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    /// Brings the project up, hooks aside; returns the drone's container. It runs then.
    pub(in crate::lifecycle) async fn compose_up(
        &self,
        stage: &Stage,
        record: &Record,
        (plan, compose): (&Plan, &Compose),
        built: &Built,
        telling: &Telling,
    ) -> Result<String, Failure> {
        self.ready_drone_network(&record.drone).await?;
        let facts = self.engine.facts().await?;
        let ours = self.compose_file(stage, record, (plan, compose), built, facts.cpus);
        let config = up_configuration(stage, plan, compose);
        let memo = ComposeMemo {
            repository: without_build(compose),
            ours: vec![
                (OURS.to_owned(), ours.to_string()),
                (CONFIG.to_owned(), config.to_string()),
            ],
        };
        let target = stage.clone();
        blocking(move || memo.put(&target)).await.map_err(|error| stage_failure(&error))?;
        self.up(stage, &record.drone, telling).await
    }

    /// Runs `up` on what lies in the stage; the record knows the container then.
    pub(in crate::lifecycle) async fn up(
        &self,
        stage: &Stage,
        drone: &DroneName,
        telling: &Telling,
    ) -> Result<String, Failure> {
        let request = UpRequest {
            workspace: stage.checkout(),
            config: stage.file(CONFIG),
            id_label: labels::id_label(drone),
            project: labels::project(drone),
            limit: UP,
        };
        let engine = &self.engine;
        let id = telling
            .with_output(Step::Create, async |output| engine.up(&request, output).await)
            .await?;
        let known = id.clone();
        self.update_record(drone, move |record| record.container_id = Some(known)).await?;
        Ok(id)
    }

    /// The project works as it is: what a later rebuild goes back to.
    pub(in crate::lifecycle) async fn keep_memo(
        &self,
        stage: &Stage,
        drone: &DroneName,
        compose: &Compose,
    ) -> Result<(), Failure> {
        let (paths, drone, stage) = (self.config.paths.clone(), drone.clone(), stage.clone());
        let repository = without_build(compose);
        blocking(move || {
            let read =
                |name: &str| Ok((name.to_owned(), std::fs::read_to_string(stage.file(name))?));
            let ours = [OURS, CONFIG].map(read).into_iter().collect::<std::io::Result<_>>()?;
            ComposeMemo { repository, ours }.keep(&paths, &drone)
        })
        .await
        .map_err(|error| stage_failure(&error))
    }

    fn compose_file(
        &self,
        stage: &Stage,
        record: &Record,
        (plan, compose): (&Plan, &Compose),
        built: &Built,
        cpus: f64,
    ) -> Value {
        let drone = &record.drone;
        let siblings = compose.services.len().saturating_sub(1);
        let (own, sibling) = split(self.limits_of(&record.choices, cpus), siblings);
        let shares = compose.services.get(&compose.service);
        let shares = shares.and_then(|service| service.network_of.as_ref());
        let named = shares.unwrap_or(&compose.service);
        let mut services = Map::new();
        for (name, service) in &compose.services {
            let of_drone = *name == compose.service;
            let mut set = every_service(record, if of_drone { own } else { sibling });
            if service.network_of.is_none() {
                set.extend(self.of_network_owner());
            }
            if name == named {
                set.insert("hostname".to_owned(), json!(drone));
            }
            if of_drone {
                let labels = escaped(self.container_labels(stage, record, plan, built));
                set.extend(self.of_drone(drone, plan, built, labels));
            } else if service.builds {
                let image = labels::sibling_image(drone, name);
                set.insert("image".to_owned(), json!(image));
            }
            services.insert(name.clone(), Value::Object(set));
        }
        json!({
            "services": services,
            "networks": {"default": {"name": network::name(drone), "external": true}},
            "volumes": {
                STATE: {"name": labels::state_volume(drone), "external": true},
                WORKSPACE: {"name": labels::workspace_volume(drone), "external": true},
            },
        })
    }

    /// Where a service shares another's network, these are the other's to have.
    fn of_network_owner(&self) -> Map<String, Value> {
        let mut set = object(json!({"extra_hosts": self.extra_hosts()}));
        if !self.config.network.dns.is_empty() {
            set.insert("dns".to_owned(), json!(self.config.network.dns));
        }
        set
    }

    fn of_drone(
        &self,
        drone: &DroneName,
        plan: &Plan,
        built: &Built,
        labels: BTreeMap<String, String>,
    ) -> Map<String, Value> {
        let mut volumes = vec![
            json!({"type": "volume", "source": STATE, "target": paths::STATE_DIR}),
            json!({"type": "bind", "source": self.socket_mount(drone), "target": paths::DRONE_DIR,
                   "read_only": true}),
        ];
        // A service that mounts no part of its checkout has the workspace at the usual place.
        volumes.extend(
            plan.workspace.mounts.iter().map(
                |mount| json!({"type": "volume", "source": WORKSPACE, "target": mount.target()}),
            ),
        );
        object(json!({
            "image": built.name,
            "pull_policy": "never",
            "container_name": drone,
            "labels": labels,
            "volumes": volumes,
        }))
    }

    /// The drone's socket directory on the host.
    pub(super) fn socket_mount(&self, drone: &DroneName) -> String {
        self.config.paths.sockets().join(drone.as_str()).display().to_string()
    }
}

/// A drone's limits hold for all of its services together: what the drone's own gets, and each of its
/// siblings. A sibling gets a quarter, all of them half at most.
fn split(limits: Limits, siblings: usize) -> (Limits, Limits) {
    let count = u32::try_from(siblings.max(1)).unwrap_or(u32::MAX);
    let parts = count.saturating_mul(2).max(4);
    let each = Limits {
        memory_bytes: limits.memory_bytes / u64::from(parts),
        cpus: limits.cpus / f64::from(parts),
        // Nothing would be no limit.
        pids: (limits.pids / i64::from(parts)).max(i64::from(limits.pids > 0)),
    };
    let taken = u32::try_from(siblings).unwrap_or(u32::MAX);
    let own = Limits {
        memory_bytes: limits.memory_bytes - each.memory_bytes * u64::from(taken),
        cpus: limits.cpus - each.cpus * f64::from(taken),
        pids: (limits.pids - each.pids * i64::from(taken)).max(i64::from(limits.pids > 0)),
    };
    (own, each)
}

/// What every service gets, the drone's own among them.
fn every_service(record: &Record, limits: Limits) -> Map<String, Value> {
    let mut set = object(json!({
        "labels": sibling_labels(record),
        "restart": "unless-stopped",
        "cgroup": "private",
    }));
    let limits = [
        ("mem_limit", limits.memory_bytes > 0, json!(limits.memory_bytes)),
        ("memswap_limit", limits.memory_bytes > 0, json!(limits.memory_bytes)),
        ("cpus", limits.cpus > 0.0, json!(limits.cpus)),
        ("pids_limit", limits.pids > 0, json!(limits.pids)),
    ];
    let limits = limits.into_iter().filter(|(_, limited, _)| *limited);
    set.extend(limits.map(|(name, _, value)| (name.to_owned(), value)));
    set
}

/// The members of an object written down here.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Siblings are found by their project; the drone's own label is the drone's container's alone.
fn sibling_labels(record: &Record) -> BTreeMap<String, String> {
    [(labels::MANAGED, "true"), (labels::SIBLING, record.drone.as_str())]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// Compose interpolates `$` in values.
fn escaped(labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.into_iter().map(|(name, value)| (name, value.replace('$', "$$"))).collect()
}

/// What stands in for devcontainer.json: users, hooks and features are in the image's label.
fn up_configuration(stage: &Stage, plan: &Plan, compose: &Compose) -> Value {
    let mut files: Vec<String> = compose
        .paths
        .iter()
        .map(|path| stage.checkout().join(path).display().to_string())
        .collect();
    files.push(stage.file(OURS).display().to_string());
    let mut config = json!({
        "dockerComposeFile": files,
        "service": compose.service,
        "workspaceFolder": plan.workspace.folder,
    });
    if let Some(config) = config.as_object_mut().filter(|_| !compose.run_services.is_empty()) {
        config.insert("runServices".to_owned(), json!(compose.run_services));
    }
    config
}

/// The files for a build: what is built for the drone has a name that is the drone's alone. Without
/// one, Compose makes a name of the folder's and the service's, and drones build each other's.
pub(super) fn for_build(compose: &Compose, drone: &DroneName) -> Vec<(String, String)> {
    let image = own_build(compose, drone);
    let named = |file: &StagedFile| {
        let mut content: Value = serde_json::from_str(&file.text).ok()?;
        let service = content.get_mut("services")?.get_mut(&compose.service)?;
        service.as_object_mut()?.insert("image".to_owned(), json!(image.as_ref()?));
        Some(content.to_string())
    };
    let text = |file: &StagedFile| named(file).unwrap_or_else(|| file.text.clone());
    compose.files.iter().map(|file| (file.path.clone(), text(file))).collect()
}

/// Name of what is built for the drone's own service, where it is built.
pub(super) fn own_build(compose: &Compose, drone: &DroneName) -> Option<String> {
    let service = compose.services.get(&compose.service)?;
    service.builds.then(|| labels::sibling_image(drone, &compose.service))
}

/// Path and text of each file, without the drone's own `build`: its image is made, and not to be
/// made again.
fn without_build(compose: &Compose) -> Vec<(String, String)> {
    let unbuilt = |file: &StagedFile| {
        let mut content: Value = serde_json::from_str(&file.text).ok()?;
        let service = content.get_mut("services")?.get_mut(&compose.service)?;
        service.as_object_mut()?.remove("build")?;
        Some(content.to_string())
    };
    let text = |file: &StagedFile| unbuilt(file).unwrap_or_else(|| file.text.clone());
    compose.files.iter().map(|file| (file.path.clone(), text(file))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::policy::Service;

    fn compose(text: &str, builds: bool) -> Compose {
        Compose {
            paths: vec!["c.yml".into()],
            files: vec![StagedFile { path: "c.yml".into(), text: text.into() }],
            service: "app".into(),
            run_services: vec![],
            services: [("app".to_owned(), Service { builds, ..Service::default() })].into(),
        }
    }

    #[test]
    fn all_services_together_have_the_drones_limits() {
        let limits = Limits { memory_bytes: 8 << 30, cpus: 4.0, pids: 4096 };
        for (siblings, own, each) in [(0, 8, 2), (1, 6, 2), (2, 4, 2), (4, 4, 1)] {
            let (of_drone, of_sibling) = split(limits, siblings);
            assert_eq!((of_drone.memory_bytes, of_sibling.memory_bytes), (own << 30, each << 30));
            let count = i64::try_from(siblings).expect("few");
            assert_eq!(of_drone.pids + of_sibling.pids * count, 4096);
            let cpus =
                of_drone.cpus + of_sibling.cpus * f64::from(u8::try_from(count).expect("few"));
            assert!((cpus - 4.0).abs() < 1e-9, "{cpus}");
        }
    }

    #[test]
    fn only_the_drones_own_build_is_taken_out() {
        let text = r#"{"services":{"app":{"build":".","x":1},"db":{"build":"db"}}}"#;
        let files = without_build(&compose(text, true));
        assert_eq!(files[0].1, r#"{"services":{"app":{"x":1},"db":{"build":"db"}}}"#);
    }

    #[test]
    fn what_is_built_for_a_drone_has_its_name() {
        let drone: DroneName = "acme-web".parse().expect("a name");
        let text = r#"{"services":{"app":{"build":"."},"db":{"build":"db"}}}"#;
        let files = for_build(&compose(text, true), &drone);
        let app = r#"{"build":".","image":"hatchery/acme-web:service-app"}"#;
        assert_eq!(files[0].1, format!(r#"{{"services":{{"app":{app},"db":{{"build":"db"}}}}}}"#));
        let text = r#"{"services":{"app":{"image":"debian"}}}"#;
        assert_eq!(for_build(&compose(text, false), &drone)[0].1, text);
    }
}
