//! Hooks that fail.

use hatchery_tests::{Repo, World, inventory};
use serde_json::json;

const HOOKS: [&str; 4] =
    ["onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand"];

#[test]
fn a_hook_that_fails_takes_the_drone_back() {
    let world = World::shared();
    let agent = world.agent();
    for hook in HOOKS {
        let repo = Repo::describe(&format!("h-{}", hook.to_lowercase()))
            .on_dev_image_with(json!({hook: "echo reason-of-the-hook >&2; exit 3"}))
            .create(&world);
        let run = agent.hatchery(&["spawn", &repo.name()]);
        run.code(9).complains(hook).complains("reason-of-the-hook").complains("hint:");
        inventory::assert_nothing_left(agent, &repo);
    }
}

#[test]
fn a_failed_drone_is_kept_when_asked_for() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("h-kept")
        .on_dev_image_with(json!({"postCreateCommand": "echo here >/tmp/here; exit 3"}))
        .create(&world);
    agent.hatchery(&["spawn", &repo.name(), "--keep-failed"]).code(9);
    assert_eq!(agent.state(&repo.drone()).as_deref(), Some("failed"));
    let drone = agent.drone(&repo.drone());
    assert_eq!(drone.sh("cat /tmp/here").ok(), "here");
    drone.slay(&["--force"]).ok();
    inventory::assert_nothing_left(agent, &repo);
}

#[test]
fn a_container_that_ends_by_itself_is_no_drone() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("h-ends")
        .on_dev_image_with(
            json!({"postCreateCommand": "sudo kill -9 -1; sudo kill -15 1; sleep 20"}),
        )
        .create(&world);
    agent.hatchery(&["spawn", &repo.name()]).code(9).complains("error:");
    inventory::assert_nothing_left(agent, &repo);
}

#[test]
fn a_hook_that_eats_all_memory_is_said_to() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("h-hungry")
        .on_dev_image_with(json!({"postCreateCommand": "tail /dev/zero"}))
        .create(&world);
    let run = agent.hatchery(&["spawn", &repo.name(), "--memory", "128MiB"]);
    assert_ne!(run.code, 0, "{}", run.report());
    run.complains("memory").complains("hint:");
    inventory::assert_nothing_left(agent, &repo);
}
