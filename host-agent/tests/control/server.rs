//! The server and the client against each other, over a real socket.

use std::time::Duration;

use hatchery::control::api::{
    Event, EventKind, Failure, FailureKind, Phase, SlayRequest, SpawnChoices, SpawnRequest,
};
use hatchery::control::client::Operation;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::host::{Did, Host, status, within};

fn request() -> SpawnRequest {
    SpawnRequest {
        repo: "acme/web".to_owned(),
        choices: SpawnChoices::default(),
        keep_failed: false,
        dry_run: false,
    }
}

#[tokio::test]
async fn questions_are_answered_by_name_and_by_repository() {
    let host = Host::start();
    assert_eq!(host.client.list().await.expect("list").drones, vec![status().summary]);
    for drone in ["acme-web", "acme/web", "https://github.com/acme/web"] {
        assert_eq!(host.client.status(drone).await.expect("status"), status());
    }
    assert_eq!(host.client.version().await.expect("version").version, env!("CARGO_PKG_VERSION"));
    host.stop().await;
}

#[tokio::test]
async fn a_failure_arrives_whole() {
    let host = Host::start();
    let failure = host.client.status("acme-api").await.expect_err("no such drone");
    assert_eq!(failure.kind, FailureKind::NoDrone);
    assert_eq!(failure.message, "no drone acme-api");
    assert_eq!(failure.hints, ["`hatchery list` shows the drones"]);
    let nonsense = host.client.status("../etc").await.expect_err("no name");
    assert_eq!(nonsense.kind, FailureKind::Usage);
    host.stop().await;
}

#[tokio::test]
async fn a_spawn_tells_its_steps_and_its_end() {
    let host = Host::start();
    host.double.gate.add_permits(1);
    let mut operation = host.client.spawn(&request()).await.expect("spawn");
    let mut seen = vec![];
    while let Some(event) = within(operation.next()).await.expect("an event") {
        seen.push(event.kind);
    }
    assert!(matches!(seen[0], EventKind::Step { phase: Phase::Start, .. }), "{seen:?}");
    assert!(
        matches!(
            seen[seen.len() - 2..],
            [EventKind::Step { phase: Phase::End, .. }, EventKind::Done { status: Some(_), .. }]
        ),
        "{seen:?}"
    );
    host.stop().await;
}

/// The failure that an operation ends with.
async fn failure_of(operation: &mut Operation) -> Failure {
    loop {
        let event = within(operation.next()).await.expect("an event");
        if let EventKind::Failed { failure } = event.expect("it ends with a failure").kind {
            return *failure;
        }
    }
}

#[tokio::test]
async fn who_cancels_and_reads_on_learns_of_the_rollback() {
    let host = Host::start();
    let mut operation = host.client.spawn(&request()).await.expect("spawn");
    host.until(Did::Started).await;
    host.client.cancel(operation.id()).await.expect("cancel");
    assert_eq!(failure_of(&mut operation).await.kind, FailureKind::Interrupted);
    assert_eq!(*host.double.did.borrow(), Did::RolledBack);
    host.client.cancel(operation.id()).await.expect_err("it has ended");
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_cancels() {
    let host = Host::start();
    let operation = host.client.spawn(&request()).await.expect("spawn");
    host.until(Did::Started).await;
    drop(operation);
    host.until(Did::RolledBack).await;
    host.stop().await;
}

#[tokio::test]
async fn a_stop_is_finished_though_the_client_leaves() {
    let host = Host::start();
    let client = host.client.clone();
    let asking = tokio::spawn(async move { client.burrow("acme-web").await });
    host.until(Did::Started).await;
    asking.abort();
    host.double.gate.add_permits(1);
    host.until(Did::Finished).await;
    host.stop().await;
}

#[tokio::test]
async fn shutdown_rolls_back_tells_so_and_removes_the_socket() {
    let host = Host::start();
    let mut operation = host.client.spawn(&request()).await.expect("spawn");
    host.until(Did::Started).await;
    host.shutdown.cancel();
    assert_eq!(failure_of(&mut operation).await.kind, FailureKind::Interrupted);
    within(host.served).await.expect("the server ends well");
    assert!(!host.directory.path().join("run/control.sock").exists());
    let gone = host.client.list().await.expect_err("nobody answers");
    assert_eq!(gone.kind, FailureKind::NoHostAgent);
}

#[tokio::test]
async fn events_go_on_until_shutdown() {
    let host = Host::start();
    let socket = host.directory.path().join("run/control.sock");
    let mut stream = UnixStream::connect(socket).await.expect("connect");
    stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: hatchery\r\n\r\n").await.expect("ask");
    let mut answer = vec![];
    while !String::from_utf8_lossy(&answer).contains("out-of-memory") {
        // Sent until it was heard: who subscribes late hears nothing of before.
        let event =
            Event { at: OffsetDateTime::UNIX_EPOCH, drone: None, kind: EventKind::OutOfMemory };
        let _ = host.double.events.send(event);
        let read = stream.read_buf(&mut answer);
        let _ = tokio::time::timeout(Duration::from_millis(50), read).await;
    }
    host.stop().await;
    within(stream.read_to_end(&mut answer)).await.expect("the end");
}

#[tokio::test]
async fn slay_takes_its_flags_and_rebuild_reports_its_failure() {
    let host = Host::start();
    let force = SlayRequest { force: true, forget: false };
    let mut slay = host.client.slay("acme-web", &force).await.expect("slay");
    let last = within(slay.next()).await.expect("an event").expect("one").kind;
    assert_eq!(last, EventKind::Done { status: None, report: vec!["forced: true".to_owned()] });
    let mut rebuild = host.client.rebuild("acme-web").await.expect("rebuild");
    assert_eq!(failure_of(&mut rebuild).await.kind, FailureKind::Engine);
    host.stop().await;
}

#[tokio::test]
async fn a_defect_is_a_failure_and_the_server_lives() {
    let host = Host::start();
    let failure = host.client.unburrow("acme-web").await.expect_err("a panic behind it");
    assert_eq!(failure.kind, FailureKind::Failed);
    host.client.list().await.expect("it lives");
    host.stop().await;
}

#[tokio::test]
async fn a_body_without_end_is_refused() {
    let host = Host::start();
    let mut huge = request();
    huge.repo = "x".repeat(1 << 20);
    let failure = host.client.spawn(&huge).await.expect_err("too long");
    assert_eq!(failure.kind, FailureKind::Usage);
    assert_eq!(*host.double.did.borrow(), Did::Nothing);
    host.stop().await;
}

#[tokio::test]
async fn logs_come_as_text_and_a_missing_file_is_named() {
    let host = Host::start();
    let mut said = host.client.logs("acme-web", true).await.expect("logs");
    assert_eq!(said.next().await.expect("text").as_deref(), Some(&b"said\n"[..]));
    let failure = host.client.logs("acme-web", false).await.expect_err("no file");
    assert!(failure.message.contains("/nonexistent/acme-web.log"), "{failure}");
    host.stop().await;
}
