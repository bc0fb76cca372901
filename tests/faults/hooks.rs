//! Hooks that fail.

use hatchery_tests::{HostAgent, Repo, Turn, World, inventory};
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
    let run = agent.hatchery(&["spawn", &repo.name(), "--keep-failed"]);
    run.code(9).complains("error: postCreateCommand").complains("kept as asked");
    assert_eq!(agent.state(&repo.drone()).as_deref(), Some("failed"));
    let drone = agent.drone(&repo.drone());
    assert_eq!(drone.sh("cat /tmp/here").ok(), "here");
    drone.slay(&["--force"]).ok();
    inventory::assert_nothing_left(agent, &repo);
}

/// A host agent whose hooks have a few seconds each, and hooks that need more together.
fn hanging(label: &str, hook: &str, command: &str, world: &Turn) -> (HostAgent, Repo) {
    let limits = "[limits]\nmax_drones = 0\nfree_memory_floor = \"64MiB\"\n\
                  free_disk_floor = \"64MiB\"\nhook_timeout = \"6s\"";
    let keys =
        json!({"onCreateCommand": "sleep 3", "updateContentCommand": "sleep 3", hook: command});
    (world.own_agent(limits), Repo::describe(label).on_dev_image_with(keys).create(world))
}

#[test]
fn a_hook_that_hangs_is_named_with_its_limit() {
    let world = World::shared();
    let cases = [
        // Nothing that a signal ends, and something that holds the output open behind its back.
        ("h-hang-create", "postCreateCommand", "trap '' INT TERM HUP; while :; do sleep 1; done"),
        ("h-hang-start", "postStartCommand", "sleep 300 & wait"),
    ];
    for (label, hook, command) in cases {
        let (agent, repo) = hanging(label, hook, command, &world);
        let run = agent.hatchery(&["spawn", &repo.name()]);
        run.code(9).complains(&format!("{hook} did not end within 6s"));
        run.complains("\nhint: ").complains("[limits] hook_timeout").complains("--keep-failed");
        inventory::assert_nothing_left(&agent, &repo);
        inventory::assert_no_process_of(&repo);
    }
}

#[test]
fn a_drone_whose_hook_hangs_is_kept_when_asked_for() {
    let world = World::shared();
    let hang = "echo waiting >/tmp/hook; exec sleep 300";
    let (agent, repo) = hanging("h-hang-kept", "postStartCommand", hang, &world);
    let run = agent.hatchery(&["spawn", &repo.name(), "--keep-failed"]);
    run.code(9).complains("postStartCommand did not end within 6s").complains("kept as asked");
    assert_eq!(agent.state(&repo.drone()).as_deref(), Some("failed"));
    let drone = agent.drone(&repo.drone());
    assert_eq!(drone.sh("cat /tmp/hook").ok(), "waiting");
    inventory::assert_no_process_of(&repo);
    drone.slay(&["--force"]).ok();
    inventory::assert_nothing_left(&agent, &repo);
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
    let run = agent.hatchery(&["spawn", &repo.name()]);
    run.code(9).complains("error:").complains("\nhint: ");
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
    run.code(9).complains("postCreateCommand").complains("\nhint: ");
    run.complains("killed a process for memory").complains("--memory");
    inventory::assert_nothing_left(agent, &repo);
}
