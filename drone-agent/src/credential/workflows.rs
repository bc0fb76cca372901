//! A push that changes workflows where the drone may not: the forge refuses it in words that do not
//! say how that is mended here, and git lets nobody add to them.
//!
//! So it is said beforehand, when git's transport asks for the credential. No helper is told what is
//! pushed: the arguments of the `git push` above tell, and git which commits no remote has. It is
//! run as the caller's own git was, in the same place and by the same user, so that settings of the
//! repository reach nothing that they had not reached already.

use std::io::{PipeReader, Read};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use hatchery_protocol::RepoName;
use hatchery_protocol::wire::{Identity, TokenReply};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::ancestors::{self, Ancestor};

/// GitHub's name for what such a push needs.
const PERMISSION: &str = "workflows";
/// Where they lie, from any directory of the clone.
const PATHS: &str = ":(top).github/workflows";
/// Time git may take to find one such commit. A push is not held up for a hint.
const LIMIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// git's transport over https, as the kernel names it.
const TRANSPORT: &str = "git-remote-http";
/// Options of git and of `git push` whose value is the next argument.
const VALUED: [&str; 12] = [
    "-C",
    "-c",
    "--git-dir",
    "--work-tree",
    "--namespace",
    "--config-env",
    "--super-prefix",
    "--repo",
    "-o",
    "--push-option",
    "--receive-pack",
    "--exec",
];

/// Whether the caller is about to push what the token does not open.
pub(super) fn are_pushed_in_vain(reply: &TokenReply, ancestors: &[Ancestor]) -> bool {
    if reply.permissions.contains_key(PERMISSION) {
        return false;
    }
    let Some(sources) = push_above(ancestors).and_then(|arguments| sources(&arguments)) else {
        return false;
    };
    !sources.is_empty() && touch_workflows(Command::new("git"), &sources)
}

/// What to do about it.
pub(super) fn hint(identity: &Identity, repo: Option<&RepoName>) -> String {
    let repo = repo.unwrap_or(&identity.repo);
    format!(
        "hint: commits that are pushed change .github/workflows, and {} has no permission {PERMISSION} \
         on {repo}: a forge like GitHub refuses them\nhint: on the server: `hatchery repo connect {} \
         {repo} --permissions {PERMISSION}=write`",
        identity.drone, identity.drone
    )
}

/// The arguments of the git whose transport asks, the program's name first. LFS and others that ask
/// during a push are not its transport.
fn push_above(ancestors: &[Ancestor]) -> Option<Vec<String>> {
    let transport = ancestors.iter().position(|process| process.name.starts_with(TRANSPORT))?;
    let above = ancestors.get(transport + 1..)?.iter().filter(|process| process.name == "git");
    above.map(|process| ancestors::arguments(process.pid)).find(|arguments| is_push(arguments))
}

fn is_push(arguments: &[String]) -> bool {
    words(arguments).first().is_some_and(|word| *word == "push")
}

/// The arguments that are neither options nor their values, without the program's name.
fn words(arguments: &[String]) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = arguments.iter().skip(1).map(String::as_str);
    while let Some(argument) = rest.next() {
        if VALUED.contains(&argument) {
            rest.next();
        } else if argument == "--" {
            words.extend(rest.by_ref());
        } else if !argument.starts_with('-') {
            words.push(argument);
        }
    }
    words
}

/// What a `git push` takes from here: revisions, or options of `git rev-list` that stand for many.
/// `None`: it is no push.
fn sources(arguments: &[String]) -> Option<Vec<String>> {
    let words = words(arguments);
    let (push, rest) = words.split_first()?;
    if *push != "push" {
        return None;
    }
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    if has("--all") || has("--branches") || has("--mirror") {
        return Some(vec!["--branches".to_owned()]);
    }
    if has("-d") || has("--delete") {
        return Some(vec![]);
    }
    let refspecs = rest.get(1..).unwrap_or_default();
    let sources = refspecs.iter().filter(|word| **word != "tag").map(|refspec| {
        let forced = refspec.strip_prefix('+').unwrap_or(refspec);
        forced.split_once(':').map_or(forced, |(source, _)| source)
    });
    // One that looks like an option is none of a push's.
    let named = sources.filter(|source| !source.is_empty() && !source.starts_with('-'));
    let sources = named.map(str::to_owned).collect();
    // Without a refspec it is the branch that is checked out.
    Some(if refspecs.is_empty() { vec!["HEAD".to_owned()] } else { sources })
}

/// Whether commits of `sources` that no remote is known to have change workflows, by this `git`.
/// What cannot be told is no.
fn touch_workflows(mut git: Command, sources: &[String]) -> bool {
    git.args(["rev-list", "--max-count=1"]).args(sources);
    git.args(["--not", "--remotes", "--", PATHS]);
    // Nothing is fetched for a hint where a clone has not everything.
    git.env("GIT_NO_LAZY_FETCH", "1").env("GIT_TERMINAL_PROMPT", "0");
    git.stdin(Stdio::null()).stderr(Stdio::null());
    let Ok((output, writer)) = std::io::pipe() else { return false };
    let Ok(mut child) = git.stdout(writer).spawn() else { return false };
    // Its end of the pipe: nobody but git is to hold one.
    drop(git);
    let found = prints(output);
    let _ = child.kill(); // it has printed, or is too slow
    let _ = child.wait();
    found
}

/// Whether anything comes before the end, and in time.
fn prints(mut output: PipeReader) -> bool {
    let mut wanted = [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)];
    let ready = matches!(poll(&mut wanted, Some(&LIMIT)), Ok(1..));
    ready && matches!(output.read(&mut [0]), Ok(1..))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn line(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_push_says_what_it_takes_from_here() {
        for (text, expected) in [
            ("git push", Some("HEAD")),
            ("git -C /x -c a.b=c push -q -o ci.skip", Some("HEAD")),
            ("git push -u origin", Some("HEAD")),
            ("git push origin fix", Some("fix")),
            ("git push -f https://forge.test/acme/web +a:b :gone c", Some("a c")),
            ("git push origin tag v1", Some("v1")),
            ("git push --all origin", Some("--branches")),
            ("git push origin :gone", Some("")),
            ("git push -- origin --exec=x", Some("")),
            ("git push origin --delete gone", Some("")),
            ("git fetch origin push", None),
            ("git -C push fetch", None),
            ("git", None),
        ] {
            let found = sources(&line(text)).map(|sources| sources.join(" "));
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn only_the_transport_of_a_push_counts() {
        let process = |name: &str| Ancestor { pid: std::process::id(), name: name.to_owned() };
        assert_eq!(push_above(&[process("git-lfs"), process("git")]), None);
        // This test is no `git push`, whatever it is called.
        assert_eq!(push_above(&[process("git-remote-http"), process("git")]), None);
        assert!(is_push(&line("git push")) && !is_push(&line("git status")));
    }

    fn git(dir: &Path, arguments: &str) {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments.split(' '));
        let done = git.current_dir(dir).output().expect("git");
        assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
    }

    #[test]
    fn commits_that_no_remote_has_are_looked_at() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path();
        let found = |source: &str| {
            let mut git = Command::new("git");
            git.current_dir(path.join("below"));
            touch_workflows(git, &[source.to_owned()])
        };
        std::fs::create_dir_all(path.join(".github/workflows")).expect("made");
        std::fs::create_dir_all(path.join("below")).expect("made");
        git(path, "init -q -b main .");
        std::fs::write(path.join(".github/workflows/ci.yml"), "on: push").expect("written");
        git(path, "add .");
        git(path, "commit -qm ci");
        assert!(found("HEAD"), "no remote has it");
        git(path, "update-ref refs/remotes/origin/main HEAD");
        git(path, "commit -q --allow-empty -m other");
        assert!(!found("HEAD") && !found("main") && !found("--branches"));
    }

    #[test]
    fn what_says_nothing_in_time_is_no() {
        let (output, writer) = std::io::pipe().expect("a pipe");
        drop(writer);
        assert!(!prints(output), "it ended");
        let (output, _writer) = std::io::pipe().expect("a pipe");
        assert!(!prints(output), "it is slow");
    }
}
