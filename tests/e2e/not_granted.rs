//! A drone reaches what it was granted and nothing else, and says so.

use hatchery_tests::{Repo, World};

#[test]
fn a_repository_that_was_not_granted_is_refused_before_the_forge_is_asked() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("granted").on_dev_image().create(&world);
    let other =
        Repo::describe("granted").beside(&repo).named("other").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    drone.sh("git fetch -q").ok();
    let (before, tip) = (repo.mints(), other.tip("main"));
    let push = drone.sh(&format!("git push -q {} HEAD:refs/heads/stolen", other.url()));
    assert_ne!(push.code, 0);
    push.complains(&other.name()).complains(&format!("hatchery repo connect {}", drone.name()));
    let clone = drone.sh(&format!("git clone -q {} /tmp/other", other.url()));
    assert_ne!(clone.code, 0);
    clone.complains(&other.name());
    let view = drone.sh(&format!("gh repo view {}", other.name()));
    assert_ne!(view.code, 0);
    view.complains(&other.name());
    let script = format!(
        "curl -s -o /dev/null -w '%{{http_code}}' --unix-socket /run/drone-agent/agent.sock \
         'http://localhost/v1/token?repo={}'",
        other.name()
    );
    assert_eq!(drone.sh(&script).ok(), "403");
    assert_eq!(repo.mints(), before, "no token was minted for any of it");
    assert_eq!(other.tip("main"), tip);
    assert_ne!(other.git(&["rev-parse", "--verify", "-q", "refs/heads/stolen"]).code, 0);
}

#[test]
fn a_refusal_asks_nobody_else() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("askpass").on_dev_image().create(&world);
    let other =
        Repo::describe("askpass").beside(&repo).named("other").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let run = drone.sh(&format!(
        "printf '#!/bin/sh\\ntouch /tmp/asked\\necho x\\n' >/tmp/askpass; chmod +x /tmp/askpass; \
         GIT_ASKPASS=/tmp/askpass git ls-remote {} || test ! -e /tmp/asked",
        other.url()
    ));
    run.ok();
    run.complains(&other.name());
}

#[test]
fn a_token_is_one_repository_wide() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("narrow").on_dev_image().create(&world);
    let _other =
        Repo::describe("narrow").beside(&repo).named("other").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    drone.sh("git fetch -q").ok();
    let tokens = world.forge.tokens_of(repo.id());
    assert!(!tokens.is_empty());
    for token in tokens {
        assert_eq!(token["repositories"], serde_json::json!([repo.id()]));
        assert_eq!(token["permissions"]["workflows"], serde_json::Value::Null);
    }
}

#[test]
fn a_push_that_touches_workflows_names_the_way_to_allow_it() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("workflows").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let push = drone
        .sh("mkdir -p .github/workflows; echo 'on: push' >.github/workflows/ci.yml; git add .; \
         git commit -qm Ci; git push -q");
    assert_ne!(push.code, 0);
    push.complains("refusing to allow a GitHub App").complains(&format!(
        "`hatchery repo connect {} {} --permissions workflows=write`",
        drone.name(),
        repo.name()
    ));
}
