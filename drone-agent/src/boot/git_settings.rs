//! Git's system-wide settings in a drone, in a file that is wholly ours and that the system's
//! configuration includes.
//!
//! A file of its own, because it exists in drones only: an image with the feature that runs
//! elsewhere has the include, git finds nothing there, and helpers and ssh URLs are as they were.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

use hatchery_protocol::paths;
use hatchery_protocol::wire::Identity;

use crate::gitconfig::{self, Writer};

use super::file::{self, FileError};

/// Writes the settings and makes git read them.
pub(super) fn install(identity: &Identity, workspace: Option<&Path>) -> Result<(), FileError> {
    let settings = Path::new(paths::GIT_SETTINGS);
    let safe = safe_directories(settings, workspace);
    file::put(settings, &text(identity, &safe))?;
    include(Path::new(paths::SYSTEM_GIT_CONFIG))
}

/// The file's text.
fn text(identity: &Identity, safe: &[PathBuf]) -> String {
    let Identity { forge, git_url, .. } = identity;
    let mut git = Writer::default();
    // The empty value takes away the helpers that earlier files name for the forge.
    git.section("credential", git_url)
        .set("helper", "")
        .set("helper", paths::CREDENTIAL_HELPER)
        .set("useHttpPath", "true");
    git.section("url", &format!("{git_url}/"))
        .set("insteadOf", &format!("git@{forge}:"))
        .set("insteadOf", &format!("ssh://git@{forge}/"));
    if identity.ca_pem.is_some() {
        git.section("http", git_url).set("sslCAInfo", paths::FORGE_CA);
    }
    git.section("transfer", "").set("credentialsInUrl", "die");
    if let Some(author) = &identity.git_identity {
        git.section("user", "").set("name", &author.name).set("email", &author.email);
    }
    if !safe.is_empty() {
        git.section("safe", "");
    }
    for dir in safe.iter().filter_map(|dir| dir.to_str()) {
        git.set("directory", dir);
    }
    format!("# Written by `drone-agent boot`; changes here do not last.\n{}", git.finish())
}

/// The clones that root and the remote user both work in, and their worktrees: `workspace`, and
/// those that an earlier boot knew (an entrypoint is told of none).
fn safe_directories(settings: &Path, workspace: Option<&Path>) -> Vec<PathBuf> {
    let known = fs::read_to_string(settings).unwrap_or_default();
    let known = gitconfig::parse(&known);
    let known = known.iter().filter_map(|entry| entry.value_of("safe", "directory"));
    let mut clones: Vec<PathBuf> = known.map(PathBuf::from).collect();
    clones.extend(workspace.map(Path::to_owned));
    clones.retain(|clone| clone.join(".git").is_dir());
    let worktrees: Vec<PathBuf> = clones.iter().flat_map(|clone| worktrees_of(clone)).collect();
    clones.extend(worktrees);
    clones.sort();
    clones.dedup();
    clones
}

/// The worktrees that a clone has beside it, in `<clone>.worktrees/`. What the clone's own files
/// name elsewhere is not trusted.
fn worktrees_of(clone: &Path) -> Vec<PathBuf> {
    let mut beside = clone.as_os_str().to_owned();
    beside.push(".worktrees");
    let Ok(entries) = fs::read_dir(clone.join(".git/worktrees")) else { return Vec::new() };
    let gitdirs = entries.flatten().filter_map(|entry| {
        let link = fs::read_to_string(entry.path().join("gitdir")).ok()?;
        Some(Path::new(link.trim_end_matches('\n')).parent()?.to_owned())
    });
    let plain = |path: &PathBuf| {
        path.starts_with(&beside) && path.components().all(|part| part != Component::ParentDir)
    };
    gitdirs.filter(plain).collect()
}

/// Adds our include to `system`, the system's configuration, unless it is there.
fn include(system: &Path) -> Result<(), FileError> {
    let text = match fs::read_to_string(system) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(FileError::of("read", system)(error));
        }
        text => text.unwrap_or_default(),
    };
    let ours =
        |entry: &gitconfig::Entry| entry.value_of("include", "path") == Some(paths::GIT_SETTINGS);
    if gitconfig::parse(&text).iter().any(ours) {
        return Ok(());
    }
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let mut git = Writer::default();
    git.section("include", "").set("path", paths::GIT_SETTINGS);
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(system)
        .and_then(|mut file| file.write_all(format!("{gap}{}", git.finish()).as_bytes()))
        .map_err(FileError::of("written", system))
}

#[cfg(test)]
mod tests {
    use hatchery_protocol::wire::GitIdentity;

    use super::*;

    fn identity() -> Identity {
        Identity {
            drone: "acme-web".parse().expect("a name"),
            repo: "acme/web".parse().expect("a repository"),
            forge: "forge.test".parse().expect("a host"),
            git_url: "https://forge.test".into(),
            granted: vec![],
            host_agent_version: "0.1.0".into(),
            git_identity: Some(GitIdentity { name: "A \"B\"".into(), email: "a@b".into() }),
            ca_pem: Some("PEM".into()),
        }
    }

    #[test]
    fn settings_are_for_the_forge_alone() {
        let text = text(&identity(), &["/workspaces/web".into()]);
        let lines: Vec<String> = gitconfig::parse(&text)
            .into_iter()
            .map(|e| {
                format!("{}.{}.{}={}", e.section, e.subsection, e.key, e.value.unwrap_or_default())
            })
            .collect();
        let expected = [
            "credential.https://forge.test.helper=",
            "credential.https://forge.test.helper=/usr/local/bin/git-credential-hatchery",
            "credential.https://forge.test.usehttppath=true",
            "url.https://forge.test/.insteadof=git@forge.test:",
            "url.https://forge.test/.insteadof=ssh://git@forge.test/",
            "http.https://forge.test.sslcainfo=/etc/drone-agent/forge-ca.pem",
            "transfer..credentialsinurl=die",
            "user..name=A \"B\"",
            "user..email=a@b",
            "safe..directory=/workspaces/web",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn the_include_comes_once_and_breaks_no_last_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let system = dir.path().join("gitconfig");
        fs::write(&system, "[core]\n\tpager = less").expect("written");
        include(&system).expect("included");
        let once = fs::read_to_string(&system).expect("there");
        include(&system).expect("nothing to do");
        assert_eq!(fs::read_to_string(&system).expect("there"), once);
        assert_eq!(gitconfig::parse(&once).len(), 2);
        assert!(once.starts_with("[core]\n\tpager = less\n[include]\n"), "{once}");
    }

    #[test]
    fn worktrees_are_safe_where_they_belong_and_known_ones_stay() {
        let dir = tempfile::tempdir().expect("a directory");
        let clone = dir.path().join("web");
        let tree = dir.path().join("web.worktrees/fix");
        for (name, link) in [
            ("fix", tree.join(".git")),
            ("far", "/etc/.git".into()),
            ("up", dir.path().join("web.worktrees/../../x/.git")),
        ] {
            let admin = clone.join(".git/worktrees").join(name);
            fs::create_dir_all(&admin).expect("made");
            fs::write(admin.join("gitdir"), format!("{}\n", link.display())).expect("written");
        }
        let settings = dir.path().join("settings");
        let found = safe_directories(&settings, Some(&clone));
        assert_eq!(found, [clone.clone(), tree]);
        let known = format!("[safe]\n\tdirectory = {}\n\tdirectory = /gone\n", clone.display());
        fs::write(&settings, known).expect("written");
        assert_eq!(safe_directories(&settings, None), found);
    }
}
