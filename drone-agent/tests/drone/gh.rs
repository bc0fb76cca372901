//! gh is called, as people and agents do, through the wrapper.

use std::path::Path;
use std::process::{Command, Output};

use crate::host::{AGENT, Host, TOKEN, run, text};

/// Shows what it was given.
const SHOW: &str = r#"echo "args: $*"; env | grep -E '^(GH|GITHUB|SSL)_' | sort; cat; exit 42"#;

fn gh(host: &Host, line: &str) -> Command {
    let mut gh = host.command(host.path("wrappers/gh"));
    gh.args(line.split(' ').filter(|word| !word.is_empty()));
    gh
}

fn error(output: &Output) -> String {
    assert!(output.stdout.is_empty(), "gh was run: {}", text(&output.stdout));
    assert_eq!(output.status.code(), Some(1));
    text(&output.stderr)
}

fn git(dir: &Path, line: &str) {
    let mut git = Command::new("git");
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
    let done = git.args(identity).args(line.split(' ')).current_dir(dir).output().expect("git");
    assert!(done.status.success(), "{line}: {}", text(&done.stderr));
}

#[test]
fn the_real_gh_gets_one_token_and_everything_else_unchanged() {
    let host = Host::up();
    host.script("real/gh", SHOW);
    let mut call = gh(&host, "pr list -R acme/lib --json x");
    for other in ["GH_TOKEN", "GITHUB_TOKEN", "GITHUB_ENTERPRISE_TOKEN"] {
        call.env(other, "other");
    }
    let output = run(call.env("GH_PAGER", "less"), "stdin goes through\n");
    let expected = format!(
        "args: pr list -R acme/lib --json x\nGH_ENTERPRISE_TOKEN={TOKEN}\nGH_HOST=forge.test\n\
         GH_PAGER=less\nstdin goes through\n"
    );
    assert_eq!(text(&output.stdout), expected);
    assert_eq!(output.status.code(), Some(42));
    assert_eq!(host.requests(), ["GET /v1/identity", "GET /v1/token?repo=acme/lib"]);
}

#[test]
fn the_real_gh_takes_the_wrappers_place() {
    let host = Host::up();
    host.script("real/gh", "echo $$");
    let mut call = gh(&host, "pr list");
    let child = call.stdout(std::process::Stdio::piped()).spawn().expect("started");
    let pid = child.id().to_string();
    let output = child.wait_with_output().expect("ended");
    assert_eq!(text(&output.stdout).trim(), pid, "signals reach gh itself");
}

#[test]
fn outside_a_drone_gh_runs_as_it_would() {
    let host = Host::absent();
    host.script("real/gh", SHOW);
    for line in ["pr list -R other/thing", "auth login", "auth status"] {
        let output = run(gh(&host, line).env("GH_TOKEN", "mine"), "");
        assert_eq!(text(&output.stdout), format!("args: {line}\nGH_TOKEN=mine\n"));
        assert_eq!(output.status.code(), Some(42));
    }
}

#[test]
fn what_asks_nobody_works_without_a_token() {
    let host = Host::up();
    host.script("real/gh", SHOW);
    for line in ["", "--version", "help pr", "pr create --help", "completion -s bash"] {
        assert_eq!(text(&run(&mut gh(&host, line), "").stdout), format!("args: {line}\n"));
    }
    assert_eq!(host.requests(), [""; 0]);
}

#[test]
fn a_refusal_is_told_and_nothing_is_run() {
    let host = Host::up();
    host.script("real/gh", SHOW);
    let reason = error(&run(&mut gh(&host, "pr list -R acme/secret"), ""));
    assert!(reason.contains("error: acme-web was not granted acme/secret\n\nhint: "), "{reason}");
    let reason = error(&run(&mut gh(&host, "pr create -R acme/web --head other:fix"), ""));
    assert!(reason.contains("hint: no token spans two installations"), "{reason}");
}

#[test]
fn another_forge_gets_no_token_of_ours() {
    let host = Host::up();
    host.script("real/gh", SHOW);
    for line in ["pr list -R elsewhere.test/a/b", "api --hostname elsewhere.test user"] {
        let output = run(gh(&host, line).env("GH_TOKEN", "mine"), "");
        assert_eq!(text(&output.stdout), format!("args: {line}\nGH_TOKEN=mine\n"));
    }
}

#[test]
fn gh_cannot_show_or_replace_the_drones_credentials() {
    let host = Host::up();
    host.script("real/gh", SHOW);
    for verb in ["login", "logout", "refresh", "setup-git", "switch"] {
        let reason = error(&run(&mut gh(&host, &format!("auth {verb}")), ""));
        assert!(reason.contains(&format!("`gh auth {verb}` is not run in a drone: ")), "{reason}");
    }
    let status = run(&mut gh(&host, "auth status --show-token"), "");
    let shown = text(&status.stdout);
    assert!(
        shown.starts_with("forge.test\n") && shown.contains("acme/lib: contents=write"),
        "{shown}"
    );
    assert_eq!(status.status.code(), Some(0));
    assert_eq!(host.requests(), ["GET /v1/identity"], "no token was asked for");
    // A dotfile that makes gh git's helper gets one that looks at the path.
    let question = "protocol=https\nhost=forge.test\npath=acme/secret\n\n";
    let output = run(&mut gh(&host, "auth git-credential get"), question);
    assert_eq!(text(&output.stdout), "quit=1\n");
}

#[test]
fn the_checkout_and_its_worktrees_name_the_repository() {
    let host = Host::up();
    host.script("real/gh", SHOW);
    let clone = host.path("clone");
    std::fs::create_dir(&clone).expect("made");
    git(&clone, "init -q -b main .");
    git(&clone, "commit -q --allow-empty -m first");
    git(&clone, "remote add origin git@forge.test:acme/lib.git");
    git(&clone, "worktree add -q ../tree -b fix");
    // If git were run here, this would tell.
    git(
        &clone,
        &format!("config core.fsmonitor {}", host.script("trap", "touch sprung").display()),
    );
    for dir in ["clone", "clone/.git", "tree"] {
        let output = run(gh(&host, "pr list").current_dir(host.path(dir)), "");
        assert_eq!(output.status.code(), Some(42), "{}", text(&output.stderr));
    }
    let token = "GET /v1/token?repo=acme/lib";
    let asked = host.requests().into_iter().filter(|request| request != "GET /v1/identity");
    let expected = [token, "GET /v1/token?repo=acme/lib", token];
    assert_eq!(asked.collect::<Vec<_>>(), expected);
    assert!(!clone.join("sprung").exists());
}

#[test]
fn a_watching_call_gets_a_token_that_lasts() {
    let host = Host::up();
    host.script("real/gh", SHOW);
    run(&mut gh(&host, "pr checks 3 --watch"), "");
    let last = host.requests().pop();
    assert_eq!(last.as_deref(), Some("GET /v1/token?repo=acme/web&min_valid=1800"));
}

#[test]
fn a_missing_gh_and_a_gh_that_leads_back_are_named() {
    let host = Host::up();
    let mut call = gh(&host, "pr list");
    let path = format!("{}:/nowhere", host.path("wrappers").display());
    let output = run(call.env("PATH", path), "");
    assert_eq!(output.status.code(), Some(127));
    assert!(text(&output.stderr).contains("there is no gh in PATH behind"));
    host.script("real/gh", &format!("exec {AGENT} gh \"$@\""));
    let reason = error(&run(&mut gh(&host, "pr list"), ""));
    assert!(reason.starts_with("error: gh calls itself"), "{reason}");
}
