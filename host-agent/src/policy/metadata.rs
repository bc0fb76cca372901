//! Pass (c): the built image's `devcontainer.metadata` label, merged with the plan into what the
//! container is created with.
//!
//! `devcontainer up` unites an override with the image's label, so that an override cannot take a
//! privilege or a mount away: only a label that has been through here is ever created from.

use std::collections::BTreeMap;

use serde_json::Value;

use super::finding::Review;
use super::plan::{Mount, Plan};
use super::scope::Scope;
use crate::lifecycle::Failure;

/// What the container is created with and what runs in it, after the merge rules of the
/// specification: the last entry wins for scalars, unions for capabilities and security options,
/// concatenation for entrypoints and hooks, mounts by target keeping the last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effective {
    /// The final image's label `devcontainer.metadata`: what was allowed, nothing else. An array.
    pub label: Value,
    /// User of hooks, `exec` and editors; `None`: the container's user.
    pub remote_user: Option<String>,
    /// User of the container's main process; `None`: the image's.
    pub container_user: Option<String>,
    /// Environment of every process, host-side variables substituted.
    pub container_env: BTreeMap<String, String>,
    /// Environment of hooks, `exec` and editors; `None` unsets. `${containerEnv:X}` is left in.
    pub remote_env: BTreeMap<String, Option<String>>,
    /// Workspace, configuration's, features' and image's mounts, one for each target.
    pub mounts: Vec<Mount>,
    /// Capabilities to add, without `CAP_`.
    pub cap_add: Vec<String>,
    /// Security options to set.
    pub security_opt: Vec<String>,
    /// A reaping pid 1.
    pub init: bool,
    /// Only where a `[[policy]]` rule permits it.
    pub privileged: bool,
    /// Shell lines to run, in order, before the main process.
    pub entrypoints: Vec<String>,
    /// Replace the image's command with one that waits; the specification's default is true for
    /// image and Dockerfile, false for Compose.
    pub override_command: bool,
    /// `none`, `loginShell`, `interactiveShell` or `loginInteractiveShell`.
    pub user_env_probe: String,
    /// The hook after which the drone counts as set up.
    pub wait_for: String,
    /// Which hooks there are.
    pub hooks: Hooks,
    /// Names of all volumes to create (and label) first, the plan's among them.
    pub volumes: Vec<String>,
}

/// Commands of each hook, features' first; each a string, an array, or an object of both.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hooks {
    /// `onCreateCommand`.
    pub on_create: Vec<Value>,
    /// `updateContentCommand`.
    pub update_content: Vec<Value>,
    /// `postCreateCommand`.
    pub post_create: Vec<Value>,
    /// `postStartCommand`.
    pub post_start: Vec<Value>,
    /// `postAttachCommand`.
    pub post_attach: Vec<Value>,
}

/// Checks the label of the image built from `plan` and merges both. `label` is the label's text,
/// `None` when the image has none.
///
/// # Errors
/// `Refused` when the label is not what the specification says.
pub fn check_metadata(
    label: Option<&str>,
    plan: &Plan,
    scope: &Scope<'_>,
) -> Result<Review<Effective>, Failure> {
    let _ = (label, plan, scope);
    unimplemented!()
}
