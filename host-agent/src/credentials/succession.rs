//! What one host agent leaves to the next, with a keeper that stands in for the service manager.

#![cfg(test)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use hatchery_protocol::DroneName;
use local_forge::{FaultKind, FaultSpec};
use tokio_util::sync::CancellationToken;

use super::Credentials;
use super::keeper::double::Shelf;
use crate::adapters::github::GitHub;
use crate::adapters::github::rig::{Rig, rig};

/// A host agent's credential service, on a runtime that can be cut off as by `kill -9`.
struct HostAgent {
    credentials: Arc<Credentials<GitHub>>,
    runtime: tokio::runtime::Runtime,
}

impl HostAgent {
    /// Starts with what the keeper has.
    fn start(rig: &Rig, shelf: &Arc<Shelf>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (config, records) = (Arc::clone(&rig.config), Arc::clone(&rig.records));
        let github = Arc::new(GitHub::load(&config).expect("the App"));
        let credentials = Arc::new(Credentials::new(config, records, github).expect("credentials"));
        runtime.block_on(credentials.use_keeper(shelf.clone(), shelf.hand_over()));
        Self { credentials, runtime }
    }

    fn mint(&self, drone: &DroneName) {
        self.runtime.block_on(self.credentials.clone_token(drone)).expect("a token");
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }

    /// Waits until its tasks have nothing left to do.
    fn settle(&self) {
        let ended = CancellationToken::new();
        ended.cancel();
        self.runtime.block_on(Arc::clone(&self.credentials).run(ended));
    }
}

/// The rig's own runtime, which the forge lives on.
fn world() -> (tokio::runtime::Runtime, Rig, Arc<Shelf>, DroneName) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let rig = runtime.block_on(rig());
    let drone = rig.drone(&[("acme/web", &[("contents", "write")])]).drone.clone();
    (runtime, rig, Arc::default(), drone)
}

#[test]
fn slay_takes_back_what_a_killed_host_agent_minted() {
    let (_forge, rig, shelf, drone) = world();
    let first = HostAgent::start(&rig, &shelf);
    first.mint(&drone);
    first.kill();
    let second = HostAgent::start(&rig, &shelf);
    second.mint(&drone);
    assert_eq!(rig.live_tokens().len(), 2, "the first one's is served to nobody, and lives");
    second.runtime.block_on(second.credentials.revoke_drone(&drone));
    assert_eq!(rig.live_tokens(), Vec::<String>::new());
    second.settle();
    assert_eq!(shelf.names(), Vec::<String>::new());
    let revoked: Vec<_> =
        rig.audit().into_iter().filter(|line| line["event"] == "revoke").collect();
    assert_eq!(revoked.len(), 2);
    assert!(revoked.iter().all(|line| line["repository"] == "acme/web"), "{revoked:?}");
}

#[test]
fn tokens_of_a_drone_that_is_no_more_end_at_the_next_start() {
    let (_forge, rig, shelf, drone) = world();
    let first = HostAgent::start(&rig, &shelf);
    first.mint(&drone);
    first.kill();
    rig.records.remove(&drone).expect("removed");
    HostAgent::start(&rig, &shelf).settle();
    assert_eq!(rig.live_tokens(), Vec::<String>::new());
    assert_eq!(shelf.names(), Vec::<String>::new());
}

#[test]
fn what_was_being_taken_back_is_taken_back_by_the_next() {
    let (_forge, rig, shelf, drone) = world();
    let first = HostAgent::start(&rig, &shelf);
    first.mint(&drone);
    let out = rig.forge.add_fault(FaultSpec::everywhere(FaultKind::Cut));
    rig.forge.clear_calls();
    let credentials = Arc::clone(&first.credentials);
    let name = drone.clone();
    drop(first.runtime.spawn(async move { credentials.revoke_drone(&name).await }));
    let deadline = Instant::now() + Duration::from_secs(20);
    while rig.forge.calls().is_empty() {
        assert!(Instant::now() < deadline, "the forge was never asked");
        std::thread::yield_now();
    }
    first.kill();
    assert!(rig.forge.clear_fault(out));
    assert_eq!(rig.live_tokens().len(), 1);
    HostAgent::start(&rig, &shelf).settle();
    assert_eq!(rig.live_tokens(), Vec::<String>::new(), "though the drone is there still");
    assert_eq!(shelf.names(), Vec::<String>::new());
}

#[test]
fn a_broken_keeper_costs_no_token() {
    let (_forge, rig, _, drone) = world();
    let agent = HostAgent::start(&rig, &Arc::new(Shelf::broken()));
    agent.mint(&drone);
    agent.runtime.block_on(agent.credentials.revoke_drone(&drone));
    assert_eq!(rig.live_tokens(), Vec::<String>::new());
}
