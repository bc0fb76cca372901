//! Where the clone lies in the container and how the workspace volume gets there.

use super::checkout::resolve;
use super::ledger::{Ledger, Place};
use super::mount::{MountContext, Wish, climbs_to_parent, judge_mount, judge_target};
use super::plan::{Mount, Workspace};

/// Where the workspace volume is mounted.
pub const WORKSPACES: &str = "/workspaces";

/// The clone's place when nothing says otherwise.
pub fn default_clone(repo: &str) -> String {
    format!("{WORKSPACES}/{repo}")
}

/// Plans the workspace of an image or Dockerfile drone.
///
/// `folder` is `workspaceFolder`, `mount` `workspaceMount`, variables substituted; `context` knows
/// the checkout.
pub fn plan_workspace(
    folder: Option<(&str, &Place)>,
    mount: Option<(&str, &Place)>,
    context: MountContext<'_>,
    ledger: &mut Ledger<'_>,
) -> Workspace {
    let repo = ledger.scope.repo.repo().to_owned();
    let usual = default_clone(&repo);
    let folder = folder.and_then(|(folder, place)| clean_folder(folder, place, ledger));
    let target = mount.and_then(|(text, place)| mount_target(text, place, context, ledger));
    let clone = match (&target, &folder) {
        (Some(target), _) => target.clone(),
        (None, Some(folder)) if !is_within(folder, &usual) => folder.clone(),
        (None, _) => usual.clone(),
    };
    let folder = folder.unwrap_or_else(|| clone.clone());
    let whole = Mount::Workspace { subpath: None, target: WORKSPACES.to_owned(), read_only: false };
    let part = |subpath: Option<String>| Mount::Workspace {
        subpath,
        target: clone.clone(),
        read_only: false,
    };
    let clone_is_root = clone != usual && !ledger.scope.volume_subpaths;
    let mounts = if clone == usual {
        vec![whole]
    } else if clone_is_root {
        vec![part(None)]
    } else if clone == WORKSPACES {
        vec![part(Some(repo))]
    } else {
        vec![whole, part(Some(repo))]
    };
    Workspace { folder, clone, mounts, clone_is_root }
}

/// Whether `path` is `top` or below it.
pub fn is_within(path: &str, top: &str) -> bool {
    path == top || path.strip_prefix(top).is_some_and(|rest| rest.starts_with('/'))
}

/// `workspaceFolder` as a clean absolute path, which the clone may be mounted at.
pub fn clean_folder(folder: &str, place: &Place, ledger: &mut Ledger<'_>) -> Option<String> {
    let Some(clean) = folder.strip_prefix('/').and_then(|path| resolve("", path)) else {
        ledger.broken(place, "an absolute path in the container is expected");
        return None;
    };
    if clean.is_empty() {
        ledger.strip(place, "the root of the file system is no workspace");
        return None;
    }
    judge_target(&format!("/{clean}"), place, ledger)
}

/// Where `workspaceMount` wants the clone; `None`: the usual place.
fn mount_target(
    text: &str,
    place: &Place,
    context: MountContext<'_>,
    ledger: &mut Ledger<'_>,
) -> Option<String> {
    if text.is_empty() {
        ledger.strip(place, "the workspace is always mounted");
        return None;
    }
    let wish = Wish::parse(text);
    if wish.kind == "volume" && wish.objections.is_empty() {
        ledger.strip(place, "the workspace is the drone's own volume already");
        let instead = Wish { source: super::variables::CHECKOUT.to_owned(), ..wish };
        let bind = Wish { kind: "bind".to_owned(), ..instead };
        return root_mount(&bind, place, context, ledger);
    }
    root_mount(&wish, place, context, ledger)
}

fn root_mount(
    wish: &Wish,
    place: &Place,
    context: MountContext<'_>,
    ledger: &mut Ledger<'_>,
) -> Option<String> {
    // The parent is the whole volume; the checkout itself is mounted whichever way the engine can.
    let clone_is_root =
        !ledger.scope.volume_subpaths && !climbs_to_parent(&wish.source, context.base);
    let context = MountContext { clone_is_root, ..context };
    let repo = ledger.scope.repo.repo().to_owned();
    match judge_mount(wish, context, place, ledger)? {
        Mount::Workspace { subpath: None, target, .. } if context.clone_is_root => Some(target),
        Mount::Workspace { subpath: None, target, .. } => {
            judge_target(&format!("{target}/{repo}"), place, ledger)
        }
        Mount::Workspace { subpath: Some(subpath), target, .. } if subpath == repo => Some(target),
        Mount::Workspace { .. }
        | Mount::Volume { .. }
        | Mount::Tmpfs { .. }
        | Mount::Bind { .. } => {
            ledger.refuse(place, "the workspace is the repository's clone, as a whole");
            None
        }
    }
}
