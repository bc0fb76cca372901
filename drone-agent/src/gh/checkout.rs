//! The checkout that the caller stands in, read without git: its configuration could make git run
//! programs. Includes are not followed.

use std::env;
use std::path::{Path, PathBuf};

use hatchery_protocol::RepoId;

use crate::gitconfig::{self, Entry};
use crate::small_file::read;

use super::remote;

/// A remote that is a repository on some forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) name: String,
    pub(super) repo: RepoId,
    /// `gh-resolved`: what `gh repo set-default` noted, `base` or `owner/repo`.
    pub(super) resolved: Option<String>,
}

/// What of a checkout's configuration gh goes by.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Checkout {
    pub(super) remotes: Vec<Remote>,
    /// Where the current branch is pushed to, if the configuration says so.
    pub(super) push: Option<RepoId>,
}

impl Checkout {
    /// The one around the current directory, or `GIT_DIR`'s; empty where there is none.
    pub(super) fn here() -> Self {
        let named = env::var_os("GIT_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let found = || git_dir_above(&env::current_dir().ok()?);
        named.or_else(found).map(|dir| Self::of_git_dir(&dir)).unwrap_or_default()
    }

    fn of_git_dir(git_dir: &Path) -> Self {
        // In a worktree only HEAD is its own; the rest is with the clone.
        let common = read(&git_dir.join("commondir")).map_or_else(
            || git_dir.to_owned(),
            |common| git_dir.join(common.trim_end_matches('\n')),
        );
        let entries = gitconfig::parse(&read(&common.join("config")).unwrap_or_default());
        let head = read(&git_dir.join("HEAD")).unwrap_or_default();
        let branch = head.strip_prefix("ref: refs/heads/").map(|name| name.trim_end_matches('\n'));
        Self::of_config(&entries, branch)
    }

    fn of_config(entries: &[Entry], branch: Option<&str>) -> Self {
        let mut remotes: Vec<Remote> = Vec::new();
        for entry in entries {
            let Some(url) = entry.value_of("remote", "url") else { continue };
            let known = remotes.iter().any(|remote| remote.name == entry.subsection);
            if let (Some(repo), false) = (remote::parse(url), known) {
                let name = entry.subsection.clone();
                let resolved = last(entries, "remote", &name, "gh-resolved").map(str::to_owned);
                remotes.push(Remote { name, repo, resolved });
            }
        }
        let of_branch = |key| last(entries, "branch", branch?, key);
        let push = of_branch("pushremote")
            .or_else(|| last(entries, "remote", "", "pushdefault"))
            .or_else(|| of_branch("remote"));
        let push = push.and_then(|name| match remotes.iter().find(|remote| remote.name == name) {
            Some(remote) => Some(remote.repo.clone()),
            None => remote::parse(name),
        });
        Self { remotes, push }
    }
}

/// The value that counts: the last one.
fn last<'a>(entries: &'a [Entry], section: &str, subsection: &str, key: &str) -> Option<&'a str> {
    let mut values = entries.iter().rev().filter(|entry| entry.subsection == subsection);
    values.find_map(|entry| entry.value_of(section, key))
}

/// `.git` of the nearest directory upwards that has one, or where that file points.
fn git_dir_above(start: &Path) -> Option<PathBuf> {
    start.ancestors().find_map(|dir| {
        let dot_git = dir.join(".git");
        if dot_git.is_dir() {
            return Some(dot_git);
        }
        let link = read(&dot_git)?;
        Some(dir.join(link.strip_prefix("gitdir: ")?.trim_end_matches('\n')))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn checkout(config: &str, branch: Option<&str>) -> Checkout {
        Checkout::of_config(&gitconfig::parse(config), branch)
    }

    const FORK: &str = "[remote \"origin\"]\n\turl = https://github.com/me/web.git\n\
        [remote \"upstream\"]\n\turl = git@github.com:acme/web.git\n\tgh-resolved = base\n\
        [remote \"backup\"]\n\turl = /srv/web.git\n\
        [branch \"fix\"]\n\tremote = upstream\n\tpushRemote = origin\n";

    #[test]
    fn remotes_on_forges_are_found_with_what_gh_noted() {
        let found = checkout(FORK, None);
        let names: Vec<_> = found.remotes.iter().map(|remote| remote.name.as_str()).collect();
        assert_eq!(names, ["origin", "upstream"]);
        assert_eq!(found.remotes[1].resolved.as_deref(), Some("base"));
        assert_eq!(found.push, None);
    }

    #[test]
    fn a_branch_is_pushed_where_git_would() {
        let push = |config: &str| checkout(config, Some("fix")).push.map(|repo| repo.to_string());
        assert_eq!(push(FORK).as_deref(), Some("github.com/me/web"));
        let default = FORK.replace("\tpushRemote = origin\n", "[remote]\n\tpushDefault = origin\n");
        assert_eq!(push(&default).as_deref(), Some("github.com/me/web"));
        let plain = FORK.replace("\tpushRemote = origin\n", "");
        assert_eq!(push(&plain).as_deref(), Some("github.com/acme/web"));
        let url = FORK.replace("= origin\n", "= https://github.com/you/web\n");
        assert_eq!(push(&url).as_deref(), Some("github.com/you/web"));
    }

    #[test]
    fn a_worktree_leads_to_its_clone() {
        let dir = tempfile::tempdir().expect("a directory");
        let admin = dir.path().join("web/.git/worktrees/fix");
        let tree = dir.path().join("web.worktrees/fix/src");
        fs::create_dir_all(&admin).expect("made");
        fs::create_dir_all(&tree).expect("made");
        fs::write(admin.join("commondir"), "../..\n").expect("written");
        fs::write(admin.join("HEAD"), "ref: refs/heads/fix\n").expect("written");
        fs::write(dir.path().join("web/.git/config"), FORK).expect("written");
        let link = format!("gitdir: {}\n", admin.display());
        fs::write(dir.path().join("web.worktrees/fix/.git"), link).expect("written");
        let git_dir = git_dir_above(&tree).expect("a checkout");
        let found = Checkout::of_git_dir(&git_dir);
        assert_eq!(found, checkout(FORK, Some("fix")));
    }
}
