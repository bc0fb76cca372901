//! Tokens end, by their time or behind our back, under a drone that goes on: nobody restarts it.

use std::time::Duration;

use hatchery_tests::{Drone, Repo, World, wait_until};
use serde_json::json;

/// Container, first process and start of a drone: other ones after whatever restart.
fn identity(drone: &Drone<'_>) -> String {
    drone.inspect("{{.Id}} {{.State.Pid}} {{.State.StartedAt}}")
}

/// The SHA-256 of the token that the drone gets now.
fn served(drone: &Drone<'_>) -> String {
    drone.sh("drone-agent token | tr -d '\\n' | sha256sum | cut -d' ' -f1").ok().to_owned()
}

#[test]
fn a_push_works_before_and_after_its_token_expired() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("expiry").on_dev_image().create(&world);
    repo.set_token_life(20);
    let drone = agent.spawn(&repo);
    let before = identity(&drone);
    let commit = drone.push_change("README.md", "before");
    assert_eq!(repo.tip("main"), commit);
    let (old, mints) = (repo.token_hashes(), repo.mints());
    assert!(!old.is_empty());
    wait_until("its tokens to expire", Duration::from_secs(90), || {
        repo.token_hashes().is_disjoint(&old).then_some(())
    });
    let commit = drone.push_change("README.md", "after");
    assert_eq!(repo.tip("main"), commit);
    assert!(repo.mints() > mints, "a fresh one was minted");
    assert_eq!(identity(&drone), before, "the drone was not restarted");
}

#[test]
fn a_token_in_use_is_replaced_ahead_of_its_end() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("ahead").on_dev_image().create(&world);
    // Good enough to be served, and close enough to its end to be replaced.
    repo.set_token_life(480);
    let drone = agent.spawn(&repo);
    let before = identity(&drone);
    let first = served(&drone);
    wait_until("the next token", Duration::from_secs(60), || {
        (served(&drone) != first).then_some(())
    });
    assert!(repo.token_hashes().contains(&first), "the first one is good still");
    // Nobody asks any more: the host agent goes on by itself, as git may want to push at any time.
    let mints = repo.mints();
    wait_until("a refresh that nobody asked for", Duration::from_secs(120), || {
        (repo.mints() > mints).then_some(())
    });
    let _down = world.forge.fault(&repo.mint_path(), &json!({"kind": "status", "status": 503}));
    let commit = drone.push_change("README.md", "from what is there");
    assert_eq!(repo.tip("main"), commit);
    assert_eq!(identity(&drone), before, "the drone was not restarted");
}

#[test]
fn a_token_that_the_forge_revoked_is_replaced_after_one_refusal() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("revoked").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let before = identity(&drone);
    drone.push_change("README.md", "before");
    let revoked = served(&drone);
    assert!(repo.token_hashes().contains(&revoked));
    repo.end_tokens();
    drone.sh("echo after >>README.md; git commit -qam 'Change README.md'").ok();
    // git before 2.46 keeps no state: it erases what was refused, and gives up.
    let refused = drone.sh("git push -q origin HEAD");
    refused.code(128).complains("Authentication failed");
    let about = |line: &serde_json::Value| {
        let prefix = line["token_sha256_prefix"].as_str();
        line["event"] == "reject" && prefix.is_some_and(|prefix| revoked.starts_with(prefix))
    };
    wait_until("the audit log to say which one it was", Duration::from_secs(20), || {
        agent.audit().iter().any(about).then_some(())
    });
    drone.sh("git push -q origin HEAD").ok();
    assert_eq!(repo.tip("main"), drone.sh("git rev-parse HEAD").ok());
    assert_ne!(served(&drone), revoked);
    assert_eq!(identity(&drone), before, "the drone was not restarted");
}
