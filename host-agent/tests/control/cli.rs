//! The real command against a real socket: what it prints where, and how it ends.

use std::process::{Output, Stdio};

use hatchery::config::env;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::host::{Did, Host, within};

fn hatchery(host: &Host, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hatchery"));
    command
        .args(line.split_whitespace())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env(env::RUNTIME_DIR, host.directory.path().join("run"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn run(host: &Host, line: &str) -> Output {
    within(hatchery(host, line).output()).await.expect("it runs")
}

/// What a run prints and its exit code, with times and places made stable.
fn shown(host: &Host, output: &Output) -> String {
    let text = format!(
        "exit code {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().map_or_else(|| "none".to_owned(), |code| code.to_string()),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let text = text.replace(&host.directory.path().display().to_string(), "DIR");
    text.lines().map(|line| without_times(line) + "\n").collect()
}

/// `(spawned in 0.3 s)` and `"at":"..."` differ from run to run.
fn without_times(line: &str) -> String {
    let cut = |line: &str, from: &str, to: &str| match line.split_once(from) {
        Some((before, rest)) => {
            let rest = rest.split_once(to).map_or("", |(_, rest)| rest);
            format!("{before}{from}TIME{to}{rest}")
        }
        None => line.to_owned(),
    };
    cut(&cut(line, "spawned in ", ")"), "\"at\":\"", "\"")
}

fn interrupt(child: &Child) {
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("it runs");
    kill_process(pid, Signal::INT).expect("a signal");
}

#[tokio::test]
async fn a_spawn_in_a_pipe_is_plain_lines_and_the_drones_name() {
    let host = Host::start();
    host.double.gate.add_permits(1);
    let output = run(&host, "spawn acme/web").await;
    insta::assert_snapshot!(shown(&host, &output));
    host.stop().await;
}

#[tokio::test]
async fn a_spawn_in_json_is_one_event_a_line() {
    let host = Host::start();
    host.double.gate.add_permits(1);
    let output = run(&host, "spawn acme/web --json").await;
    insta::assert_snapshot!(shown(&host, &output));
    host.stop().await;
}

/// Reads what a run says until it has said `word`.
async fn said(child: &mut Child, word: &str) -> Vec<u8> {
    let stderr = child.stderr.as_mut().expect("piped");
    let mut text = vec![];
    while !String::from_utf8_lossy(&text).contains(word) {
        assert_ne!(within(stderr.read_buf(&mut text)).await.expect("text"), 0, "it ended");
    }
    text
}

#[tokio::test]
async fn the_first_interrupt_rolls_back_and_says_so() {
    let host = Host::start();
    let mut child = hatchery(&host, "spawn acme/web").spawn().expect("it starts");
    let mut before = said(&mut child, "notice: published ports are left out\n").await;
    interrupt(&child);
    let mut output = within(child.wait_with_output()).await.expect("it ends");
    before.append(&mut output.stderr);
    output.stderr = before;
    assert_eq!(*host.double.did.borrow(), Did::RolledBack);
    insta::assert_snapshot!(shown(&host, &output));
    host.stop().await;
}

#[tokio::test]
async fn the_second_interrupt_leaves_at_once_and_the_rollback_goes_on() {
    let host = Host::start();
    host.double.rollback.try_acquire().expect("open").forget();
    let mut child = hatchery(&host, "spawn acme/web").spawn().expect("it starts");
    host.until(Did::Started).await;
    interrupt(&child);
    said(&mut child, "interrupted: rolling back").await;
    host.until(Did::Cancelled).await;
    interrupt(&child);
    let output = within(child.wait_with_output()).await.expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    host.double.rollback.add_permits(1);
    host.until(Did::RolledBack).await;
    host.stop().await;
}

#[tokio::test]
async fn a_reader_that_has_had_enough_is_no_failure() {
    let host = Host::start();
    let mut child = hatchery(&host, "list").spawn().expect("it starts");
    drop(child.stdout.take());
    let output = within(child.wait_with_output()).await.expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{output:?}");
    host.stop().await;
}

#[tokio::test]
async fn exec_becomes_dockers_client() {
    let host = Host::with_docker("echo");
    let output = run(&host, "exec acme/web -- make -k").await;
    insta::assert_snapshot!(shown(&host, &output));
    host.stop().await;
    let failing = Host::with_docker("false");
    let output = run(&failing, "exec acme/web -- true").await;
    assert_eq!(output.status.code(), Some(1), "its own code, not 125");
    failing.stop().await;
}

#[tokio::test]
async fn each_failure_has_its_exit_code_and_words() {
    let host = Host::start();
    let mut runs = String::new();
    for line in [
        "status acme/api",
        "status acme/api --plain",
        "rebuild acme-web",
        "exec acme/api -- true",
        "exec acme/web -- true",
        "logs acme-web",
        "slay acme-web --force",
        "burrow nonsense/../x",
    ] {
        let output = run(&host, line).await;
        runs.push_str(&format!("=== hatchery {line}\n{}", shown(&host, &output)));
    }
    insta::assert_snapshot!(runs);
    host.stop().await;
}

const AUDIT: &str = include_str!("../../src/cli/testdata/audit.jsonl");

#[tokio::test]
async fn the_audit_log_is_read_whole_or_in_part() {
    let host = Host::start();
    let path = host.directory.path().join("state/audit.jsonl");
    let (old, new) = AUDIT.split_at(AUDIT.find("{\"at\":\"2026-11-21T10:00:05Z").expect("a line"));
    std::fs::write(path.with_extension("jsonl.1"), old).expect("write");
    std::fs::write(&path, format!("{new}{{\"at\":\"2026-11")).expect("write");
    let all = run(&host, "audit --json").await;
    assert_eq!(String::from_utf8_lossy(&all.stdout), AUDIT);
    let since = run(&host, "audit --json --drone acme/web --since 2026-11-21T10:00:06+00:00").await;
    assert_eq!(String::from_utf8_lossy(&since.stdout).lines().count(), 4);
    assert_eq!(run(&host, "audit --json --since 1s").await.stdout, b"");
    assert_eq!(run(&host, "audit --drone acme/api").await.status.code(), Some(3));
    assert_eq!(run(&host, "audit --since yesterday").await.status.code(), Some(2));
    host.stop().await;
}

#[tokio::test]
async fn the_audit_log_is_followed_until_the_host_agent_ends() {
    let host = Host::start();
    let path = host.directory.path().join("state/audit.jsonl");
    let mut child = hatchery(&host, "audit --follow --json").spawn().expect("it starts");
    std::fs::write(&path, AUDIT).expect("write");
    let mut stdout = child.stdout.take().expect("piped");
    let mut read = vec![];
    while read.len() < AUDIT.len() {
        assert_ne!(within(stdout.read_buf(&mut read)).await.expect("lines"), 0, "it ended");
    }
    assert_eq!(String::from_utf8_lossy(&read), AUDIT);
    host.stop().await;
    assert!(within(child.wait()).await.expect("it ends").success());
}

#[tokio::test]
async fn without_a_host_agent_it_says_how_to_start_one() {
    let host = Host::start();
    host.shutdown.cancel();
    within(host.served).await.expect("it drains");
    let directory = host.directory;
    let mut command = Command::new(env!("CARGO_BIN_EXE_hatchery"));
    command.args(["list"]).env_clear().env(env::RUNTIME_DIR, directory.path().join("run"));
    let output = within(command.output()).await.expect("it runs");
    assert_eq!(output.status.code(), Some(10));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("hint: start it: `systemctl start hatchery`"), "{stderr}");
}
