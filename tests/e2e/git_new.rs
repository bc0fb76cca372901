//! git from 2.46 on asks its helper again by itself when the forge refuses what it was given.

use hatchery_tests::{Drone, Repo, Turn, World, bed, forge};
use serde_json::json;

/// Takes back the token that the drone's next push would use, as its holder can.
fn revoke_behind_its_back(drone: &Drone<'_>, repo: &Repo) {
    let script = format!(
        "curl -sf --cacert /etc/drone-agent/ca-bundle.pem -X DELETE -H \"authorization: Bearer \
         $(drone-agent token --repo {})\" https://{}/api/v3/installation/token",
        repo.name(),
        forge::HOST,
    );
    drone.sh(&script).ok();
    assert_eq!(repo.tokens(), 0, "the token is void and its owner does not know");
}

/// Statuses of what git asked for in `repo` since `before` calls.
fn statuses(world: &Turn, repo: &Repo, before: usize) -> Vec<String> {
    let calls = world.forge.calls(&format!("/{}", repo.name()));
    let status = |call: &String| call.rsplit(' ').next().map(str::to_owned);
    calls.iter().skip(before).filter_map(status).collect()
}

fn calls(world: &Turn, repo: &Repo) -> usize {
    world.forge.calls(&format!("/{}", repo.name())).len()
}

fn create(world: &Turn, label: &str) -> Repo {
    let config = json!({
        "image": bed::setting("HATCHERY_TEST_IMAGE_NEW"),
        "containerEnv": {"OWNER": label},
    });
    Repo::describe(label).devcontainer(&config).create(world)
}

#[test]
fn clone_push_and_fetch_work_with_it() {
    let world = World::shared();
    let agent = world.agent();
    let repo = create(&world, "git-new");
    let drone = agent.spawn(&repo);
    let version = drone.sh("git version").ok().to_owned();
    let mut parts = version.trim_start_matches("git version ").split('.').map(str::parse::<u32>);
    let version_parts = (parts.next(), parts.next());
    let (Some(Ok(major)), Some(Ok(minor))) = version_parts else { panic!("{version}") };
    assert!((major, minor) >= (2, 46), "{version} asks nobody again");
    assert_eq!(drone.sh("id -un").ok(), "dev");
    assert_eq!(drone.push_change("README.md", "more"), repo.tip("main"));
    let again = format!(
        "git clone -q {} /tmp/again && cd /tmp/again && echo 1 >>README.md && git commit -qam One \
         && git push -q && cd - >/dev/null && git fetch -q && git rev-parse origin/main",
        repo.url()
    );
    assert_eq!(drone.sh(&again).ok(), repo.tip("main"));
    assert_eq!(drone.sh("gh repo view --json name --jq .name").ok(), "web");
}

#[test]
fn a_token_revoked_behind_our_back_is_replaced_within_one_push() {
    let world = World::shared();
    let agent = world.agent();
    let repo = create(&world, "git-again");
    let drone = agent.spawn(&repo);
    drone.push_change("README.md", "first");
    revoke_behind_its_back(&drone, &repo);
    let before = calls(&world, &repo);
    assert_eq!(drone.push_change("README.md", "second"), repo.tip("main"));
    let seen = statuses(&world, &repo, before);
    // Without credentials, with the void token, with the new one.
    assert_eq!(seen.get(..3), Some(&["401", "401", "200"].map(str::to_owned)[..]), "{seen:?}");
    assert_eq!(repo.tokens(), 1);
}

/// The same on a git that knows nothing of it: what the other test sees is git's own doing.
#[test]
fn an_older_git_fails_that_push_and_not_the_next() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("git-old").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    drone.push_change("README.md", "first");
    revoke_behind_its_back(&drone, &repo);
    drone.sh("echo 2 >>README.md; git commit -qam Second").ok();
    assert_ne!(drone.sh("git push -q origin HEAD").code, 0);
    drone.sh("git push -q origin HEAD").ok();
    assert_eq!(repo.tip("main"), drone.sh("git rev-parse HEAD").ok());
}

#[test]
fn a_forge_that_refuses_every_token_is_asked_twice() {
    let world = World::shared();
    let agent = world.agent();
    let repo = create(&world, "git-twice");
    let drone = agent.spawn(&repo);
    drone.push_change("README.md", "first");
    let refusal = json!({"kind": "status", "status": 401});
    let before = calls(&world, &repo);
    let fault = world.forge.fault(&format!("/{}", repo.name()), &refusal);
    assert_ne!(drone.sh("GIT_TERMINAL_PROMPT=0 git fetch -q").code, 0);
    drop(fault);
    let seen = statuses(&world, &repo, before);
    assert_eq!(seen, ["401"; 3], "one call without credentials, one with each of two tokens");
    drone.sh("git fetch -q").ok();
}
