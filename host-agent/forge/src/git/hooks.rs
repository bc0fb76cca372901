//! What git runs inside a push: the protection of workflow files.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use tokio::process::Command;

use super::access::Entry;

/// Directory of the hooks in the data directory.
const HOOKS_DIR: &str = "hooks";

/// Looks at each ref of a push (git 2.29 or newer asks it).
const PROC_RECEIVE: &str = include_str!("proc-receive.sh");

/// Writes the hooks into the data directory.
///
/// # Errors
/// What the file system says.
pub fn install(data_dir: &Path) -> io::Result<()> {
    let dir = data_dir.join(HOOKS_DIR);
    fs::create_dir_all(&dir)?;
    let path = dir.join("proc-receive");
    fs::write(&path, PROC_RECEIVE)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
}

/// Makes a git command run them, and keep clients off the refs of pull requests.
pub fn configure(command: &mut Command, data_dir: &Path, entry: &Entry) {
    let hooks = data_dir.join(HOOKS_DIR);
    let settings = [
        ("core.hooksPath", hooks.as_os_str()),
        ("receive.procReceiveRefs", "refs/".as_ref()),
        ("receive.hideRefs", "refs/pull".as_ref()),
        ("receive.denyCurrentBranch", "ignore".as_ref()),
        ("receive.advertisePushOptions", "true".as_ref()),
        ("uploadpack.allowFilter", "true".as_ref()),
        ("uploadpack.allowAnySHA1InWant", "true".as_ref()),
        ("http.receivepack", "true".as_ref()),
        ("safe.directory", "*".as_ref()),
        ("gc.auto", "0".as_ref()),
    ];
    command.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (index, (key, value)) in settings.into_iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{index}"), key);
        command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    command.env("FORGE_MOVED_TO", entry.moved_to.as_deref().unwrap_or_default());
    command.env("FORGE_MAY_CHANGE_WORKFLOWS", if entry.workflows { "yes" } else { "no" });
}
