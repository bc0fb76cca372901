//! What was minted for a drone ends with it, by the forge's own view.

use std::time::Duration;

use hatchery_tests::{Repo, World, wait_until};
use serde_json::json;

/// How long the forge may go on taking a token (the contract's figure).
const REVOKED: Duration = Duration::from_secs(5);
/// How long a revocation may be retried after the forge came back.
const RETRIED: Duration = Duration::from_secs(30);

fn api(repo: &Repo) -> String {
    format!(
        "curl -sk -o /dev/null -w '%{{http_code}}' -H @/tmp/bearer https://{}/api/v3/repos/{}",
        hatchery_tests::forge::HOST,
        repo.name()
    )
}

#[test]
fn slay_burrow_and_disconnect_end_every_token() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("revoke").on_dev_image().create(&world);
    let library = Repo::describe("revoke-lib").on_dev_image().create(&world);
    // Another drone, in which the stolen token is tried.
    let thief = Repo::describe("revoke-thief").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let other = agent.spawn(&thief);
    for (end, ends) in [("disconnect", &library), ("burrow", &repo), ("slay", &repo)] {
        if end == "disconnect" {
            agent.hatchery(&["repo", "connect", drone.name(), &library.name()]).ok();
        }
        let token = drone.sh(&format!("drone-agent token --repo {}", ends.name())).ok().to_owned();
        other.sh(&format!("printf 'Authorization: Bearer {token}' >/tmp/bearer")).ok();
        assert_eq!(other.sh(&api(ends)).ok(), "200", "it works anywhere while it lives");
        let name = ends.name();
        let args = match end {
            "disconnect" => vec!["repo", "disconnect", drone.name(), &name],
            verb => vec![verb, drone.name()],
        };
        agent.hatchery(&args).ok();
        wait_until(&format!("the token's end by {end}"), REVOKED, || {
            (other.sh(&api(ends)).ok() == "401").then_some(())
        });
        assert_eq!(ends.tokens(), 0, "{end}");
        if end == "burrow" {
            agent.hatchery(&["unburrow", drone.name()]).ok();
        }
    }
}

#[test]
fn a_token_that_could_not_be_taken_back_is_taken_back_after_the_outage() {
    let world = World::alone();
    let agent = world.own_agent("");
    let repo = Repo::describe("outage").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    drone.sh("git fetch -q").ok();
    assert_ne!(repo.tokens(), 0);
    let fault = world.forge.fault("/installation/token", &json!({"kind": "status", "status": 503}));
    drone.slay(&[]).ok();
    assert_ne!(repo.tokens(), 0, "the forge did not take it back");
    drop(fault);
    wait_until("the tokens' end", RETRIED, || (repo.tokens() == 0).then_some(()));
}
