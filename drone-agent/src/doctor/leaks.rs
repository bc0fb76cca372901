//! Credentials that lie about in the drone: a login of gh's, a file of git's `store` helper, a token
//! in the environment or in what a shell reads at its start, a password in a clone's remote.
//!
//! They are shown to nobody, only where they are. Each outlives the drone's own tokens.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use hatchery_protocol::paths;

use crate::gitconfig;
use crate::small_file::read;

use super::Finding;
use super::git::has_secret;

/// Variables that git, gh and other tools take a token from.
const TOKENS: [&str; 6] = [
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GH_ENTERPRISE_TOKEN",
    "GITHUB_ENTERPRISE_TOKEN",
    "GITLAB_TOKEN",
    "GIT_PASSWORD",
];

/// What shells and logins read at their start: for everybody, and in a home directory.
const PROFILES: [&str; 4] =
    ["/etc/environment", "/etc/profile", "/etc/bash.bashrc", "/etc/zsh/zshenv"];
const PROFILE_DIR: &str = "/etc/profile.d";
const HOME_PROFILES: [&str; 9] = [
    ".profile",
    ".bashrc",
    ".bash_profile",
    ".bash_aliases",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    ".pam_environment",
    ".config/fish/config.fish",
];

/// Where git keeps passwords as plain text: the `store` helper, and curl's file.
const PLAIN: [&str; 4] =
    [".git-credentials", ".config/git/credentials", ".netrc", ".config/.netrc"];

/// How deep below the workspaces clones are looked for.
const DEPTH: usize = 3;

/// Looks at all of it, as far as this user can read it.
pub(super) fn examine() -> Vec<Finding> {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let mut findings = variables(|name| env::var_os(name));
    findings.extend(profiles(Path::new("/"), &home));
    findings.extend(logins(&gh_directory(&home)));
    findings.extend(plain_files(&home));
    findings.extend(remotes(Path::new(paths::WORKSPACES)));
    if findings.is_empty() {
        findings.push(Finding::fine("no credentials lie about in the environment or in files"));
    }
    findings
}

/// Tokens in the environment. gh's wrapper passes over them; other programs take them.
fn variables(value: impl Fn(&str) -> Option<OsString>) -> Vec<Finding> {
    let set = |name: &&&str| value(name).is_some_and(|value| !value.is_empty());
    let found = TOKENS.iter().filter(set).map(|name| {
        Finding::odd(
            format!("{name} is set: every program here gets that token"),
            "take it out of containerEnv, remoteEnv or the profile that sets it; git and gh need none",
        )
    });
    found.collect()
}

/// Files that put one into the environment of every shell.
fn profiles(root: &Path, home: &Path) -> Vec<Finding> {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let mut files: Vec<PathBuf> = PROFILES.iter().map(|path| below(path)).collect();
    let entries = fs::read_dir(below(PROFILE_DIR)).into_iter().flatten().flatten();
    files.extend(entries.map(|entry| entry.path()));
    files.extend(HOME_PROFILES.iter().map(|name| home.join(name)));
    files.sort();
    let found = files.iter().filter_map(|file| {
        let text = read(file)?;
        let name = TOKENS.iter().find(|name| text.lines().any(|line| sets(line, name)))?;
        Some(Finding::odd(
            format!("{} sets {name} for every shell", file.display()),
            "remove that line, and revoke the token: it outlives the drone's own",
        ))
    });
    found.collect()
}

/// Whether a line gives `name` a value: `X=y`, `export X=y`, `set -gx X y`; not `unset X`, not `X=`.
fn sets(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    let Some((before, after)) = line.split_once(name) else { return false };
    if line.starts_with('#') || before.ends_with(|last: char| last.is_alphanumeric() || last == '_')
    {
        return false;
    }
    let fish = before.trim_start().starts_with("set ") && after.starts_with(' ');
    let value = if fish { Some(after) } else { after.strip_prefix('=') };
    value.is_some_and(|value| !value.trim_matches([' ', '"', '\'', ';']).is_empty())
}

/// Where gh keeps its settings. Source: `gh help environment`.
fn gh_directory(home: &Path) -> PathBuf {
    let named = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("GH_CONFIG_DIR")
        .or_else(|| named("XDG_CONFIG_HOME").map(|config| config.join("gh")))
        .unwrap_or_else(|| home.join(".config/gh"))
}

/// A login of gh's own, which outlives every token of the drone.
fn logins(directory: &Path) -> Option<Finding> {
    let file = directory.join("hosts.yml");
    let text = read(&file)?;
    let token = text.lines().filter_map(|line| line.trim_start().strip_prefix("oauth_token:"));
    token.into_iter().any(|value| !value.trim().is_empty()).then(|| {
        Finding::odd(
            format!("{} holds a login of gh's", file.display()),
            "`gh auth logout` where it was made, or remove the file; gh needs no login in a drone",
        )
    })
}

/// Passwords that a helper keeps as plain text.
fn plain_files(home: &Path) -> Vec<Finding> {
    let has_password = |file: &PathBuf| {
        let text = read(file).unwrap_or_default();
        text.lines()
            .any(|line| has_secret(line) || line.split_whitespace().any(|w| w == "password"))
    };
    let files = PLAIN.iter().map(|name| home.join(name)).filter(has_password);
    let found = files.map(|file| {
        Finding::odd(
            format!("{} holds passwords as plain text", file.display()),
            "remove it, and the `store` helper that writes it: git gets its tokens from drone-agent",
        )
    });
    found.collect()
}

/// Credentials in the remotes of every clone below `workspaces`. The one that doctor runs in is
/// looked at by git's own eyes too.
fn remotes(workspaces: &Path) -> Vec<Finding> {
    let mut clones = Vec::new();
    clones_below(workspaces, DEPTH, &mut clones);
    clones.sort();
    let mut findings = Vec::new();
    for config in clones {
        let entries = gitconfig::parse(&read(&config).unwrap_or_default());
        let leaks = entries.iter().filter(|entry| {
            ["url", "pushurl"]
                .iter()
                .any(|key| entry.value_of("remote", key).is_some_and(has_secret))
        });
        findings.extend(leaks.map(|entry| {
            let place = config.display();
            Finding::wrong(
                format!("remote {:?} has a password in its address, in {place}", entry.subsection),
                "remove it (`git remote set-url`), and revoke what it was",
            )
        }));
    }
    findings
}

fn clones_below(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let config = directory.join(".git/config");
    if config.is_file() {
        found.push(config);
    }
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|_| depth > 0) {
        // No links: they lead out of the workspaces, or round in circles.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.file_name() != ".git" {
            clones_below(&entry.path(), depth - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Gravity;
    use super::*;

    const SECRET: &str = "ghp_verysecret0123456789012345678901";

    fn put(root: &Path, path: &str, text: &str) {
        let file = root.join(path);
        fs::create_dir_all(file.parent().expect("a parent")).expect("made");
        fs::write(file, text).expect("written");
    }

    /// Exactly one finding, of this gravity, that names the place and not the secret.
    fn one(findings: &[Finding], gravity: Gravity, place: &str) {
        let [finding] = findings else { panic!("{findings:?}") };
        assert_eq!(finding.gravity, gravity);
        assert!(finding.what.contains(place) && !finding.line().contains(SECRET), "{finding:?}");
    }

    #[test]
    fn a_token_in_the_environment_is_found() {
        let set = |name: &str| (name == "GITHUB_TOKEN").then(|| OsString::from(SECRET));
        one(&variables(set), Gravity::Odd, "GITHUB_TOKEN");
        assert_eq!(variables(|_| Some(OsString::new())), []);
    }

    #[test]
    fn a_token_in_a_profile_is_found_whatever_the_shell() {
        for (file, text) in [
            ("etc/environment", format!("GITHUB_TOKEN={SECRET}\n")),
            ("etc/profile.d/x.sh", format!("true; export GH_TOKEN='{SECRET}'\n")),
            ("home/.bashrc", format!("# x\n  export GITHUB_TOKEN=\"{SECRET}\"\n")),
            ("home/.config/fish/config.fish", format!("set -gx GITHUB_TOKEN {SECRET}\n")),
        ] {
            let root = tempfile::tempdir().expect("a directory");
            put(root.path(), file, &text);
            one(&profiles(root.path(), &root.path().join("home")), Gravity::Odd, file);
        }
        for line in [
            "unset GITHUB_TOKEN",
            "# GITHUB_TOKEN=x",
            "export GITHUB_TOKEN=",
            "export GITHUB_TOKEN=\"\"",
            "MY_GITHUB_TOKEN=x",
            "echo $GITHUB_TOKEN",
        ] {
            assert!(!sets(line, "GITHUB_TOKEN"), "{line}");
        }
    }

    #[test]
    fn a_login_of_gh_is_found() {
        let root = tempfile::tempdir().expect("a directory");
        let hosts = "github.com:\n    user: ann\n    git_protocol: https\n";
        put(root.path(), "gh/hosts.yml", hosts);
        assert_eq!(logins(&root.path().join("gh")), None, "who, but no token");
        put(root.path(), "gh/hosts.yml", &format!("{hosts}    oauth_token: {SECRET}\n"));
        let found: Vec<Finding> = logins(&root.path().join("gh")).into_iter().collect();
        one(&found, Gravity::Odd, "gh/hosts.yml");
    }

    #[test]
    fn passwords_in_plain_text_are_found() {
        for (file, text) in [
            (".git-credentials", format!("https://ann:{SECRET}@github.com\n")),
            (".netrc", format!("machine github.com login ann password {SECRET}\n")),
        ] {
            let root = tempfile::tempdir().expect("a directory");
            put(root.path(), file, "");
            assert_eq!(plain_files(root.path()), [], "empty");
            put(root.path(), file, &text);
            one(&plain_files(root.path()), Gravity::Odd, file);
        }
    }

    #[test]
    fn a_token_in_any_clones_remote_is_found() {
        let root = tempfile::tempdir().expect("a directory");
        let config = |url: &str| format!("[remote \"origin\"]\n\turl = {url}\n");
        put(root.path(), "web/.git/config", &config("https://github.com/acme/web"));
        put(root.path(), "lib/.git/config", &config("git@github.com:acme/lib.git"));
        put(root.path(), "user/.git/config", &config("https://ann@github.com/acme/web"));
        assert_eq!(remotes(root.path()), []);
        for url in [
            format!("https://x:{SECRET}@github.com/a/b"),
            format!("https://{SECRET}@github.com/a/b"),
        ] {
            put(root.path(), "web.worktrees/deep/.git/config", &config(&url));
            one(&remotes(root.path()), Gravity::Wrong, "web.worktrees/deep/.git/config");
        }
    }
}
