//! What Docker calls our things: labels, volumes, images, projects. One place, so that what one
//! step makes another finds.

use std::collections::BTreeMap;

use hatchery_protocol::{DroneName, ForgeHost, RepoId, RepoName};

use super::seal::SealKey;
use crate::records::{ForgeRepoId, Record};

/// `true` on everything of ours.
pub const MANAGED: &str = "hatchery.managed";
/// The drone's name; the only label given to the devcontainer CLI as `--id-label`.
pub const DRONE: &str = "hatchery.drone";
/// `owner/repo` as the forge spells it.
pub const REPO: &str = "hatchery.repo";
/// The repository's number on the forge.
pub const REPO_ID: &str = "hatchery.repo_id";
/// The forge's host.
pub const FORGE: &str = "hatchery.forge";
/// The version that spawned it.
pub const VERSION: &str = "hatchery.version";
/// HMAC over drone, repository, id and forge: made by this host and nobody else.
pub const SEAL: &str = "hatchery.seal";
/// The remote user; on containers only.
pub const USER: &str = "hatchery.user";
/// The workspace folder; on containers only.
pub const FOLDER: &str = "hatchery.folder";
/// The drone that a Compose service stands beside; on siblings only.
pub const SIBLING: &str = "hatchery.sibling_of";
/// Where the clone is; on containers only.
pub const CLONE: &str = "hatchery.clone";
/// `remoteEnv`, as JSON; on containers only.
pub const REMOTE_ENV: &str = "hatchery.remote_env";
/// Every label of ours that a drone's own container carries. We set them all: what an image says of
/// them never counts.
pub const OF_DRONE: [&str; 11] =
    [MANAGED, DRONE, REPO, REPO_ID, FORGE, VERSION, SEAL, USER, FOLDER, CLONE, REMOTE_ENV];
/// Every label of ours that a Compose sibling carries.
pub const OF_SIBLING: [&str; 2] = [MANAGED, SIBLING];
/// Where the reference CLI says that the checkout lies.
pub const LOCAL_FOLDER: &str = "devcontainer.local_folder";
/// Where the reference CLI says that the configuration lies.
pub const CONFIG_FILE: &str = "devcontainer.config_file";
/// Features, users and hooks, as the specification lays them down in images.
pub const METADATA: &str = "devcontainer.metadata";
/// Compose's own label for what belongs together.
pub const COMPOSE_PROJECT: &str = "com.docker.compose.project";

/// Repository part of the names of all images of ours.
const IMAGE_NAMESPACE: &str = "hatchery";

/// In the name of an image that a Compose sibling is built into.
pub const SIBLING_TAG: &str = ":service-";

/// What a container says about itself. True only with the right seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The drone.
    pub drone: DroneName,
    /// Its repository.
    pub repo: RepoId,
    /// Its number there.
    pub repo_id: ForgeRepoId,
    /// Whether this host sealed it.
    pub sealed: bool,
}

/// Labels of everything that belongs to a drone.
pub fn of(record: &Record, key: &SealKey) -> BTreeMap<String, String> {
    let mut labels = owned(&record.drone);
    labels.extend(
        [
            (REPO, record.repo.name.to_string()),
            (REPO_ID, record.repo_id.to_string()),
            (FORGE, record.repo.host.to_string()),
            (VERSION, env!("CARGO_PKG_VERSION").to_owned()),
            (SEAL, key.seal(&record.drone, &record.repo, record.repo_id)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    labels
}

/// The labels that say no more than whose something is.
pub fn owned(drone: &DroneName) -> BTreeMap<String, String> {
    [(MANAGED, "true"), (DRONE, drone.as_str())]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// What a container's labels claim; `None` when they are not ours or not whole.
pub fn claim(labels: &BTreeMap<String, String>, key: &SealKey) -> Option<Claim> {
    let value = |name: &str| labels.get(name).map(String::as_str);
    let drone: DroneName = value(DRONE)?.parse().ok()?;
    let host: ForgeHost = value(FORGE)?.parse().ok()?;
    let name: RepoName = value(REPO)?.parse().ok()?;
    let repo_id = value(REPO_ID)?.parse().ok()?;
    let repo = RepoId { host, name };
    let sealed = value(SEAL).is_some_and(|seal| key.verify(seal, &drone, &repo, repo_id));
    Some(Claim { drone, repo, repo_id, sealed })
}

/// The filter that finds what belongs to a drone; also the devcontainer CLI's `--id-label`.
pub fn id_label(drone: &DroneName) -> String {
    format!("{DRONE}={drone}")
}

/// The volume with the clone and its worktrees.
pub fn workspace_volume(drone: &DroneName) -> String {
    format!("hatchery-{drone}")
}

/// The volume with what outlives a rebuild. No drone's name has a dot.
pub fn state_volume(drone: &DroneName) -> String {
    format!("hatchery-{drone}.state")
}

/// Whether a volume's name is one of a drone's: its workspace, or something of its own. Nobody else's
/// begin so, which the policy sees to.
pub fn is_volume_of(name: &str, drone: &DroneName) -> bool {
    name.strip_prefix(&workspace_volume(drone))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Name of an image of a drone.
pub fn image(drone: &DroneName, tag: &str) -> String {
    format!("{IMAGE_NAMESPACE}/{drone}:{tag}")
}

/// Name of the image that a Compose sibling is built into.
pub fn sibling_image(drone: &DroneName, service: &str) -> String {
    format!("{IMAGE_NAMESPACE}/{drone}{SIBLING_TAG}{service}")
}

/// Whether an image's name is one of a drone's.
pub fn is_image_of(name: &str, drone: &DroneName) -> bool {
    name.strip_prefix(IMAGE_NAMESPACE)
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|rest| rest.strip_prefix(drone.as_str()))
        .is_some_and(|rest| rest.starts_with(':'))
}

/// The Compose project of a drone.
pub fn project(drone: &DroneName) -> String {
    format!("hatchery-{drone}")
}

/// The filter that finds what Compose made for a drone.
pub fn project_label(drone: &DroneName) -> String {
    format!("{COMPOSE_PROJECT}={}", project(drone))
}

/// What a container is called while its successor is made. No drone's name has a dot.
pub fn old_container(drone: &DroneName) -> String {
    format!("{drone}.old")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_anothers_is_not_a_drones() {
        let drone: DroneName = "acme-web".parse().expect("a name");
        for own in ["hatchery-acme-web", "hatchery-acme-web.state", "hatchery-acme-web.data"] {
            assert!(is_volume_of(own, &drone), "{own}");
        }
        for other in ["hatchery-acme-web-2", "hatchery-acme-web-2.state", "acme-web", "hatchery-"] {
            assert!(!is_volume_of(other, &drone), "{other}");
        }
        assert!(is_image_of("hatchery/acme-web:service-db", &drone));
        assert!(!is_image_of("hatchery/acme-web-2:service-db", &drone));
    }
}
