//! git asks, through `git credential`, as every clone, fetch and push does.

use std::process::Command;

use crate::host::{AGENT, Host, TOKEN, TOKEN_SHA256, run, text};

/// git with our helper as boot configures it, and behind it a helper and a prompt that must only
/// be heard when ours steps aside.
fn git(host: &Host, operation: &str) -> Command {
    let ours = host.path("git-credential-hatchery");
    let next = host.script("next-helper", "echo username=next; echo password=next-password");
    let mut git = host.command("git");
    for setting in [
        "credential.https://forge.test.helper=".to_owned(),
        format!("credential.https://forge.test.helper={}", ours.display()),
        "credential.https://forge.test.useHttpPath=true".to_owned(),
        format!("credential.helper={}", next.display()),
    ] {
        git.args(["-c", &setting]);
    }
    git.args(["credential", operation]).env("GIT_TERMINAL_PROMPT", "0");
    git
}

fn helper(host: &Host, operation: &str, input: &str) -> (String, String, Option<i32>) {
    let output = run(host.command(AGENT).args(["git-credential", operation]), input);
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn git_gets_a_token_for_the_repository_of_its_path() {
    let host = Host::up();
    let question = "protocol=https\nhost=forge.test\npath=acme/lib.git\n\n";
    let output = run(&mut git(&host, "fill"), question);
    let answer = text(&output.stdout);
    assert!(answer.contains("username=x-access-token\n"), "{answer}");
    assert!(answer.contains(&format!("password={TOKEN}\n")), "{answer}");
    assert_eq!(host.requests(), ["GET /v1/token?repo=acme/lib"], "one round trip");
}

#[test]
fn without_a_path_the_token_is_for_the_drones_own_repository() {
    let host = Host::up();
    let (answer, ..) = helper(&host, "get", "protocol=https\nhost=FORGE.test:443\n");
    assert!(answer.ends_with("password_expiry_utc=4070908800\n"), "{answer}");
    assert_eq!(host.requests(), ["GET /v1/token"]);
}

#[test]
fn a_repository_that_was_not_granted_ends_git_with_the_reason() {
    let host = Host::up();
    let question = "protocol=https\nhost=forge.test\npath=acme/secret\n\n";
    let output = run(&mut git(&host, "fill"), question);
    assert_eq!(output.status.code(), Some(128));
    assert!(output.stdout.is_empty(), "the next helper was asked");
    let reason = text(&output.stderr);
    assert!(reason.contains("error: acme-web was not granted acme/secret\n\nhint: "), "{reason}");
}

#[test]
fn a_path_that_is_no_repository_is_refused_on_our_forge_only() {
    let host = Host::up();
    for path in ["acme", "acme/web/info", "acme/../secret", "%2e%2e/web"] {
        let question = |at: &str| format!("protocol=https\nhost={at}\npath={path}\n");
        let (answer, reason, code) = helper(&host, "get", &question("forge.test"));
        assert_eq!((answer.as_str(), code), ("quit=1\n", Some(1)), "{path}");
        assert!(reason.contains("hint: "), "{reason}");
        let (answer, reason, code) = helper(&host, "get", &question("elsewhere.test"));
        assert_eq!((answer.as_str(), reason.as_str(), code), ("", "", Some(0)), "{path}");
    }
    assert!(host.requests().iter().all(|request| !request.contains("token")));
}

#[test]
fn other_hosts_schemes_and_ports_get_nothing() {
    let host = Host::up();
    for place in [
        "protocol=http\nhost=forge.test",
        "protocol=https\nhost=forge.test:8443",
        "protocol=https\nhost=sub.forge.test",
        "protocol=https\nhost=elsewhere.test",
        "protocol=https\nhost=elsewhere.test.",
        "protocol=https",
        "host=forge.test",
    ] {
        let answer = helper(&host, "get", &format!("{place}\npath=acme/web\n\n"));
        assert_eq!(answer, (String::new(), String::new(), Some(0)), "{place}");
    }
    let (answer, reason, _) = helper(&host, "get", "protocol=https\nhost=forge.test.\n");
    assert_eq!(answer, "quit=1\n");
    assert!(reason.contains("use forge.test"), "{reason}");
}

#[test]
fn what_no_honest_git_sends_is_refused_unseen() {
    let host = Host::up();
    for input in [
        "protocol=https\nhost=forge.test\nhost=forge.test\n",
        "protocol=https\nhost=forge.test\rx\n",
        "protocol=https\nhost=\n",
        "protocol=https\nhost=forge.test\npath=acme/web\0\n",
        &"a=b\n".repeat(20_000),
    ] {
        let (answer, reason, code) = helper(&host, "get", input);
        assert_eq!((answer.as_str(), code), ("quit=1\n", Some(1)));
        assert!(reason.starts_with("error: "), "{reason}");
    }
    assert_eq!(host.requests(), [""; 0]);
}

#[test]
fn outside_a_drone_the_next_helper_answers() {
    let host = Host::absent();
    let question = "protocol=https\nhost=forge.test\npath=acme/web\n\n";
    let output = run(&mut git(&host, "fill"), question);
    assert!(text(&output.stdout).contains("password=next-password\n"));
    assert_eq!(text(&output.stderr), "");
    for operation in ["get", "store", "erase", "of-the-future"] {
        let silent = (String::new(), String::new(), Some(0));
        assert_eq!(helper(&host, operation, "nonsense\0\n"), silent, "{operation}");
    }
}

#[test]
fn a_refused_token_is_named_by_its_hash() {
    let host = Host::up();
    let question = format!(
        "protocol=https\nhost=forge.test\npath=acme/web\nusername=x-access-token\npassword={TOKEN}\n\n"
    );
    run(&mut git(&host, "reject"), &question);
    run(&mut git(&host, "approve"), &question);
    let expected = format!(r#"POST /v1/token/rejected {{"sha256":"{TOKEN_SHA256}"}}"#);
    assert_eq!(host.requests(), [expected], "and `store` tells nobody");
}

#[test]
fn a_git_that_keeps_state_gets_a_second_token_and_no_third() {
    let host = Host::up();
    let question = "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=forge.test\n";
    let (first, ..) = helper(&host, "get", question);
    let state = format!("state[]=hatchery:{TOKEN_SHA256}\n");
    assert!(first.starts_with("capability[]=state\n"), "{first}");
    assert!(first.ends_with(&format!("{state}continue=1\n")), "{first}");
    let (second, ..) = helper(&host, "get", &format!("{question}{state}"));
    assert!(second.contains("password=") && !second.contains("continue"), "{second}");
    let rejected = format!(r#"POST /v1/token/rejected {{"sha256":"{TOKEN_SHA256}"}}"#);
    assert_eq!(host.requests(), ["GET /v1/token", rejected.as_str(), "GET /v1/token"]);
}

#[test]
fn git_lfs_gets_a_token_that_lasts_a_transfer() {
    let host = Host::up();
    let question = "protocol=https\nhost=forge.test\npath=acme/web\n\n";
    let ours = host.path("git-credential-hatchery");
    // git-lfs is whoever is called so and runs `git credential fill`.
    let lfs = host.script(
        "git-lfs",
        &format!(
            "git -c credential.helper={} -c credential.useHttpPath=true credential fill; true",
            ours.display()
        ),
    );
    let output = run(&mut host.command(lfs), question);
    assert!(text(&output.stdout).contains(TOKEN));
    assert_eq!(host.requests(), ["GET /v1/token?repo=acme/web&min_valid=1800"]);
}

#[test]
fn a_token_is_not_printed_to_a_terminal() {
    let host = Host::up();
    for command in ["git-credential get", "token", "gh auth token"] {
        // script(1) gives its command a terminal.
        let line = format!("{AGENT} {command}");
        let output = run(host.command("script").args(["-qec", &line, "/dev/null"]), "");
        let shown = text(&output.stdout);
        assert!(shown.contains("error: a token is not printed to a terminal"), "{shown}");
        assert!(!shown.contains("ghs_"), "{shown}");
    }
    let line = format!("{AGENT} token --show");
    let output = run(host.command("script").args(["-qec", &line, "/dev/null"]), "");
    assert!(text(&output.stdout).contains(TOKEN));
}
