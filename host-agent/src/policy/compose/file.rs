//! One Compose file: its top level, and what its services need of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::checkout::{ReadError, resolve};
use super::super::ledger::{Ledger, Place};
use super::super::mount::{MountContext, judge_volume_name};
use super::super::node::{Data, Member, Node};
use super::super::plan::{Mount, StagedFile};
use super::super::{privilege, yaml};
use super::interpolate::{escape, interpolate, parse_env};
use super::service::{judge_service, long_form};
use super::{Project, grants};

/// What the workspace volume is called within a staged file.
pub const WORKSPACE_KEY: &str = "hatchery-workspace";

/// A Compose file under judgement.
pub struct File<'p, 'a> {
    /// The project it belongs to.
    pub project: &'p mut Project<'a>,
    /// Folder that its relative paths start from.
    pub base: String,
    /// Values for interpolation.
    pub values: BTreeMap<String, String>,
    /// Its own path.
    pub path: String,
    /// How it belongs to the project.
    pub role: Role,
    /// Its content, interpolated.
    pub document: Node,
    /// Volumes used, by their name in the file.
    pub volumes: Map<String, Value>,
    /// What is left of each service that was judged.
    services: Map<String, Value>,
    /// Services whose judgement waits for one that they extend.
    under_way: Vec<String>,
}

/// How a file belongs to the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `dockerComposeFile` names it.
    Main,
    /// Another one includes it: its services are the project's.
    Included,
    /// A service extends one of its services, which are none of the project's.
    Extended,
}

/// Judges the file at `path`, whose relative paths start from `base`, and stages what is left.
/// A file that was judged already is not judged again.
#[expect(clippy::too_many_arguments, reason = "a file's role, folder and values are independent")]
pub fn judge_file(
    path: &str,
    base: &str,
    values: BTreeMap<String, String>,
    role: Role,
    place: &Place,
    project: &mut Project<'_>,
    ledger: &mut Ledger<'_>,
) {
    if let Some((known, before)) = project.bases.get(path) {
        if known != base {
            let reason = format!("{path} is used with paths that start from two folders");
            ledger.refuse_whole(place, reason);
        } else if *before == Role::Extended && role != Role::Extended {
            project.bases.insert(path.to_owned(), (base.to_owned(), role));
            project.adopt(path);
        }
        return;
    }
    project.bases.insert(path.to_owned(), (base.to_owned(), role));
    let Some(document) = read(path, place, project, ledger) else { return };
    let document = interpolated(&document, path, &values, ledger);
    let file = File {
        project,
        base: base.to_owned(),
        values,
        path: path.to_owned(),
        role,
        document,
        volumes: Map::new(),
        services: Map::new(),
        under_way: vec![],
    };
    file.judge(ledger);
}

/// Reads and parses a Compose file.
pub fn read(
    path: &str,
    place: &Place,
    project: &Project<'_>,
    ledger: &mut Ledger<'_>,
) -> Option<Node> {
    let text = match project.build.checkout.read(path) {
        Ok(text) => text,
        Err(error) => {
            ledger.unreadable(place, &error);
            return None;
        }
    };
    match yaml::parse(&text) {
        Ok(document) if document.is_map() => Some(document),
        Ok(document) => {
            let place = Place::new(path, document.line, "services");
            ledger.broken(&place, "an object is expected");
            None
        }
        Err(flaw) => {
            ledger.flaw(path, &flaw);
            None
        }
    }
}

/// Values of the `.env` in `base`, over what the server lets through.
pub fn project_values(
    base: &str,
    place: &Place,
    project: &Project<'_>,
    ledger: &mut Ledger<'_>,
) -> BTreeMap<String, String> {
    let path = resolve(base, ".env").unwrap_or_default();
    let mut values = ledger.scope.local_env.clone();
    // Editors set it for Compose; the CLI does not.
    let name = ledger.scope.repo.repo().to_owned();
    values.insert("localWorkspaceFolderBasename".to_owned(), name);
    match project.build.checkout.read(&path) {
        Ok(text) => values.extend(parse_env(&text)),
        Err(ReadError::Missing(_)) => {}
        Err(error) => ledger.unreadable(place, &error),
    }
    // The host names the project; what its name is for in the files, the drone's does.
    values.insert("COMPOSE_PROJECT_NAME".to_owned(), ledger.scope.drone.to_string());
    values
}

fn interpolated(
    node: &Node,
    path: &str,
    values: &BTreeMap<String, String>,
    ledger: &mut Ledger<'_>,
) -> Node {
    node.map_text(&mut |text, line| {
        interpolate(text, values).unwrap_or_else(|reason| {
            ledger.broken(&Place::new(path, line, "variables"), &reason);
            String::new()
        })
    })
}

impl File<'_, '_> {
    fn judge(mut self, ledger: &mut Ledger<'_>) {
        let document = self.document.clone();
        let mut kept = Map::new();
        for member in document.members() {
            let place = Place::new(&self.path, member.line, member.name.clone());
            match member.name.as_str() {
                "version" | "secrets" => {}
                "name" => ledger.strip(&place, "the host names the project"),
                "services" => self.services(member, ledger),
                "volumes" => self.declared_volumes(member, &place, ledger),
                "networks" => networks(member, &place, ledger),
                "configs" => {
                    kept.insert(member.name.clone(), grants::inline_configs(&member.value));
                }
                "include" => {
                    let included = self.include(&member.value, &place, ledger);
                    kept.insert(member.name.clone(), Value::Array(included));
                }
                name if name.starts_with("x-") => {}
                _ => ledger.refuse(&place, "not a key that the policy knows"),
            }
        }
        if !self.services.is_empty() {
            kept.insert("services".to_owned(), Value::Object(self.services));
        }
        if !self.volumes.is_empty() {
            kept.insert("volumes".to_owned(), Value::Object(self.volumes.clone()));
        }
        self.project.volumes_of.insert(self.path.clone(), self.volumes);
        let whole = escaped(Value::Object(kept));
        self.project.files.push(StagedFile { path: self.path, text: format!("{whole:#}\n") });
    }

    fn services(&mut self, member: &Member, ledger: &mut Ledger<'_>) {
        for service in member.value.members() {
            self.service(&service.name, ledger);
        }
    }

    /// Judges a service of this file, once; one that another extends before its turn.
    pub fn service(&mut self, name: &str, ledger: &mut Ledger<'_>) {
        let services = self.document.value("services");
        let Some(service) = services.and_then(|services| services.member(name)).cloned() else {
            return;
        };
        if self.services.contains_key(name) {
            return;
        }
        let place = Place::new(&self.path, service.line, format!("services.{name}"));
        if self.under_way.iter().any(|known| known == name) {
            ledger.broken(&place, "it extends itself");
            return;
        }
        self.under_way.push(name.to_owned());
        let value = judge_service(name, &service.value, &place, self, ledger);
        self.under_way.pop();
        self.services.insert(name.to_owned(), value);
    }

    /// `volumes` of the top level: each becomes one of the drone's own.
    fn declared_volumes(&mut self, member: &Member, place: &Place, ledger: &mut Ledger<'_>) {
        for volume in member.value.members() {
            let place = place.inner(volume.line, &volume.name);
            for option in volume.value.members() {
                let place = place.inner(option.line, &option.name);
                match option.name.as_str() {
                    "name" => {
                        judge_volume_name(
                            &option.value.scalar().unwrap_or_default(),
                            &place,
                            ledger,
                        );
                    }
                    "external" if option.value.bool() == Some(false) => {}
                    "external" => ledger.strip(&place, "the drone gets a volume of its own"),
                    "driver" if option.value.text() == Some("local") => {}
                    "labels" => {}
                    "driver_opts" if is_tmpfs(&option.value) => {
                        ledger.strip(&place, "the drone gets a volume of its own");
                    }
                    "driver" | "driver_opts" => ledger.refuse(
                        &place,
                        "a volume driver or its options can name any path of the host",
                    ),
                    name if name.starts_with("x-") => {}
                    _ => ledger.refuse(&place, "not a key that the policy knows"),
                }
            }
            if let Some(name) = judge_volume_name(&volume.name, &place, ledger) {
                self.use_volume(&volume.name, &name);
            }
        }
    }

    fn use_volume(&mut self, key: &str, name: &str) {
        self.volumes.insert(key.to_owned(), json!({"name": name, "external": true}));
        if key != WORKSPACE_KEY && !self.project.volumes.iter().any(|known| known == name) {
            self.project.volumes.push(name.to_owned());
        }
    }

    /// What this file's mounts are judged against.
    pub fn mount_context(&self) -> MountContext<'_> {
        MountContext {
            checkout: Some(self.project.build.checkout),
            base: &self.base,
            workspace_folder: &self.project.workspace_folder,
            clone_is_root: self.project.clone_is_root,
        }
    }

    /// A mount in the long form, its volume declared.
    pub fn staged_mount(&mut self, mount: &Mount, key: &str) -> Value {
        match mount {
            Mount::Volume { name: Some(name), .. } => self.use_volume(key, name),
            Mount::Workspace { .. } => {
                let name = self.project.workspace_volume.clone();
                self.use_volume(WORKSPACE_KEY, &name);
            }
            Mount::Volume { name: None, .. } | Mount::Tmpfs { .. } | Mount::Bind { .. } => {}
        }
        long_form(mount, key)
    }
}

/// Options of a volume that make it a tmpfs and nothing else.
fn is_tmpfs(options: &Node) -> bool {
    let is = |name: &str| options.value(name).and_then(Node::text) == Some("tmpfs");
    is("type") && is("device")
}

/// `networks` of the top level: a drone has one, which the host makes.
fn networks(member: &Member, place: &Place, ledger: &mut Ledger<'_>) {
    for network in member.value.members() {
        let place = place.inner(network.line, &network.name);
        let driver = network.value.value("driver").and_then(Node::text);
        let external = network.value.value("external").is_some_and(privilege::is_wanted);
        let name = network.value.value("name").and_then(Node::scalar).unwrap_or_default();
        if external || name.to_ascii_lowercase().starts_with("hatchery") {
            ledger.refuse(&place, "a network that is not the drone's own");
        } else if !matches!(driver, None | Some("bridge" | "default")) {
            ledger.refuse(&place, "a network driver can join the host's network");
        } else {
            ledger.strip(&place, "every service of a drone is on the drone's one network");
        }
    }
}

/// Every string as Compose has to read it to get it.
fn escaped(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(escape(&text)),
        Value::Array(list) => Value::Array(list.into_iter().map(escaped).collect()),
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(name, value)| (name, escaped(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// Whether any service of `document` binds the checkout's parent.
pub fn binds_parent(document: &Node, climbs: impl Fn(&str) -> bool) -> bool {
    let services = document.value("services").map_or(&[][..], Node::members);
    let volumes = services.iter().filter_map(|service| service.value.value("volumes")?.list());
    volumes.flatten().any(|volume| match &volume.data {
        Data::Text(text) => text.split(':').next().is_some_and(&climbs),
        _ => volume.value("source").and_then(Node::text).is_some_and(&climbs),
    })
}
