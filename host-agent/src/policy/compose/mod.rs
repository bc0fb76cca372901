//! Compose: every file, every service, everything that `extends` and `include` bring in.
//!
//! What is left is staged as files of our own making, interpolated, with each volume the drone's
//! own and each path of the checkout a part of the workspace volume.

mod build;
mod environment;
mod file;
mod grants;
mod include;
mod interpolate;
mod keys;
mod service;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::build::BuildContext;
use super::checkout::{parent, resolve};
use super::ledger::{Ledger, Place};
use super::mount::climbs_to_parent;
use super::node::Node;
use super::plan::{Compose, Mount, Reference, Service, StagedFile, Workspace};
use super::workspace::{WORKSPACES, clean_folder, default_clone, is_within};
use file::{Role, binds_parent, judge_file, project_values, read};

/// What devcontainer.json says about Compose.
pub struct Asked<'a> {
    /// `dockerComposeFile`.
    pub files: &'a Node,
    /// Where that stands.
    pub place: &'a Place,
    /// `service`.
    pub service: Option<(&'a Node, &'a Place)>,
    /// `runServices`.
    pub run_services: Option<&'a Node>,
    /// `workspaceFolder`.
    pub folder: Option<(&'a str, &'a Place)>,
    /// The same, or where it would be.
    pub workspace_folder: &'a str,
}

/// What is left of a Compose project, for the plan.
pub struct Judged {
    /// Its files and services.
    pub compose: Compose,
    /// Where its service mounts the workspace.
    pub workspace: Workspace,
    /// Its images.
    pub references: Vec<Reference>,
    /// Its volumes, by the engine's names.
    pub volumes: Vec<String>,
}

/// A service, its mounts and its build, over all files that say something of it.
#[derive(Debug, Clone, Default)]
pub struct JudgedService {
    /// For the plan.
    pub service: Service,
    /// Its mounts, those of services that it extends first.
    pub mounts: Vec<Mount>,
    /// What `build` says so far.
    pub build: Option<BuildSoFar>,
}

impl JudgedService {
    /// Takes over what `base`, which it extends, has and it has not.
    pub fn inherit(&mut self, base: &Self) {
        self.mounts.splice(0..0, base.mounts.iter().cloned());
        let (own, base_service) = (&mut self.service, &base.service);
        own.network_of = own.network_of.take().or_else(|| base_service.network_of.clone());
        own.image = own.image.take().or_else(|| base_service.image.clone());
        own.builds |= base_service.builds;
        self.build = self.build.take().or_else(|| base.build.clone());
    }
}

/// The parts of a `build` that later files change one by one.
#[derive(Debug, Clone, Default)]
pub struct BuildSoFar {
    /// The context's directory in the checkout.
    pub context: String,
    /// `dockerfile`, relative to it.
    pub dockerfile: Option<String>,
    /// `dockerfile_inline`, and where it stands.
    pub inline: Option<(String, Place)>,
    /// `args`.
    pub args: BTreeMap<String, String>,
    /// `target`.
    pub target: Option<String>,
}

/// A project under judgement.
pub struct Project<'a> {
    /// The checkout and the images that exist locally.
    pub build: BuildContext<'a>,
    /// Services by name.
    pub services: BTreeMap<String, JudgedService>,
    /// Services by file and name, for those that extend them.
    pub extendable: BTreeMap<(String, String), JudgedService>,
    /// Images.
    pub references: Vec<Reference>,
    /// Volumes, by the engine's names.
    pub volumes: Vec<String>,
    /// `volumes` as they are staged, by file: who extends a service needs what it mounts.
    pub volumes_of: BTreeMap<String, Map<String, Value>>,
    /// Sanitised files.
    pub files: Vec<StagedFile>,
    /// Files seen, with the folder of their relative paths.
    bases: BTreeMap<String, (String, Role)>,
    /// The engine's name of the workspace volume.
    pub workspace_volume: String,
    /// The workspace folder in the container.
    pub workspace_folder: String,
    /// See `Workspace::clone_is_root`.
    pub clone_is_root: bool,
}

impl Project<'_> {
    /// Takes the services of a file that was only extended from so far for the project's own.
    pub fn adopt(&mut self, path: &str) {
        let own = self.extendable.iter().filter(|((file, _), _)| file == path);
        let own: Vec<_> = own.map(|((_, name), judged)| (name.clone(), judged.clone())).collect();
        self.services.extend(own);
    }
}

/// Judges the project that devcontainer.json asks for; `None`: nothing to go on with.
pub fn judge_compose(
    asked: &Asked<'_>,
    build: BuildContext<'_>,
    ledger: &mut Ledger<'_>,
) -> Option<Judged> {
    let paths = paths(asked, build.folder, ledger)?;
    // Relative paths of every file start from the first one's folder.
    let base = parent(paths.first()?).to_owned();
    let mut project = Project {
        build,
        services: BTreeMap::new(),
        extendable: BTreeMap::new(),
        references: vec![],
        volumes: vec![],
        volumes_of: BTreeMap::new(),
        files: vec![],
        bases: BTreeMap::new(),
        workspace_volume: ledger.scope.workspace_volume(),
        workspace_folder: asked.workspace_folder.to_owned(),
        clone_is_root: false,
    };
    project.clone_is_root =
        !ledger.scope.volume_subpaths && !climbs(&paths, &base, asked.place, &project, ledger);
    for path in &paths {
        let values = project_values(&base, asked.place, &project, ledger);
        judge_file(path, &base, values, Role::Main, asked.place, &mut project, ledger);
    }
    let service = service_name(asked, &project, ledger)?;
    let workspace = plan_workspace(asked, &service, &project, ledger);
    let run_services = asked.run_services.and_then(Node::list).unwrap_or_default();
    Some(Judged {
        compose: Compose {
            paths,
            files: project.files,
            service,
            run_services: run_services.iter().filter_map(Node::scalar).collect(),
            services: project
                .services
                .into_iter()
                .map(|(name, judged)| (name, judged.service))
                .collect(),
        },
        workspace,
        references: project.references,
        volumes: project.volumes,
    })
}

/// Whether any service binds the checkout's parent, which is the whole workspace volume.
fn climbs(
    paths: &[String],
    base: &str,
    place: &Place,
    project: &Project<'_>,
    ledger: &mut Ledger<'_>,
) -> bool {
    paths.iter().any(|path| {
        read(path, place, project, ledger)
            .is_some_and(|document| binds_parent(&document, |from| climbs_to_parent(from, base)))
    })
}

fn paths(asked: &Asked<'_>, folder: &str, ledger: &mut Ledger<'_>) -> Option<Vec<String>> {
    let single = [asked.files.clone()];
    let mut paths = vec![];
    for node in asked.files.list().unwrap_or(&single) {
        let place = asked.place.at(node.line);
        let Some(name) = node.text() else {
            ledger.broken(&place, "the path of a Compose file is expected");
            return None;
        };
        let Some(path) = resolve(folder, name) else {
            ledger.refuse_whole(&place, "the Compose file is not in the repository");
            return None;
        };
        paths.push(path);
    }
    if paths.is_empty() {
        ledger.broken(asked.place, "the path of a Compose file is expected");
        return None;
    }
    Some(paths)
}

fn service_name(
    asked: &Asked<'_>,
    project: &Project<'_>,
    ledger: &mut Ledger<'_>,
) -> Option<String> {
    let Some((node, place)) = asked.service else {
        ledger.broken(asked.place, "\"service\" has to say which service is the drone");
        return None;
    };
    let name = node.text().unwrap_or_default();
    if project.services.contains_key(name) {
        return Some(name.to_owned());
    }
    ledger.broken(place, "the Compose files have no such service");
    None
}

/// The clone is where the service mounts it; else the whole volume at its usual place.
fn plan_workspace(
    asked: &Asked<'_>,
    service: &str,
    project: &Project<'_>,
    ledger: &mut Ledger<'_>,
) -> Workspace {
    let repo = ledger.scope.repo.repo().to_owned();
    let mounts = project.services.get(service).map(|judged| judged.mounts.as_slice());
    let mounts = mounts.unwrap_or_default();
    let clones: Vec<String> = mounts
        .iter()
        .filter_map(|mount| match mount {
            Mount::Workspace { subpath: None, target, .. } if project.clone_is_root => {
                Some(target.clone())
            }
            Mount::Workspace { subpath: None, target, .. } => Some(format!("{target}/{repo}")),
            Mount::Workspace { subpath: Some(part), target, .. } if part == &repo => {
                Some(target.clone())
            }
            Mount::Workspace { .. }
            | Mount::Volume { .. }
            | Mount::Tmpfs { .. }
            | Mount::Bind { .. } => None,
        })
        .collect();
    // Of several, the one that the workspace folder lies in.
    let holds = |clone: &&String| is_within(asked.workspace_folder, clone);
    let clone = clones.iter().find(holds).or(clones.first()).cloned();
    let clone_is_root = project.clone_is_root && clone.is_some();
    let taken = mounts.iter().any(|mount| mount.target() == WORKSPACES);
    let whole = Mount::Workspace { subpath: None, target: WORKSPACES.to_owned(), read_only: false };
    let added = if clone_is_root || taken { vec![] } else { vec![whole] };
    let clone = clone.unwrap_or_else(|| default_clone(&repo));
    let folder = asked.folder.and_then(|(folder, place)| clean_folder(folder, place, ledger));
    Workspace {
        folder: folder.unwrap_or_else(|| clone.clone()),
        clone,
        mounts: added,
        clone_is_root,
    }
}
