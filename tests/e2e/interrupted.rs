//! Ctrl-C takes a spawn back, wherever it is.

use hatchery_tests::{Operation, Repo, World, inventory};
use serde_json::json;

#[test]
fn an_interrupted_spawn_leaves_nothing() {
    let world = World::shared();
    let agent = world.agent();
    for step in ["clone", "build", "create", "boot"] {
        let repo = Repo::describe(&format!("int-{step}"))
            .on_dev_image_with(json!({"postCreateCommand": "sleep 300"}))
            .create(&world);
        let mut spawn = Operation::start(agent, &["spawn", &repo.name()]);
        spawn.wait_for(step, "start");
        spawn.interrupt();
        spawn.finish().code(130);
        inventory::assert_nothing_left(agent, &repo);
    }
}

#[test]
fn a_hook_that_hangs_ends_with_the_spawn() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("hang")
        .on_dev_image_with(
            json!({"postCreateCommand": "trap '' INT TERM; while :; do sleep 1; done"}),
        )
        .create(&world);
    let mut spawn = Operation::start(agent, &["spawn", &repo.name()]);
    spawn.wait_for("hooks", "start");
    assert_eq!(agent.state(&repo.drone()).as_deref(), Some("spawning"));
    let busy = agent.hatchery(&["rebuild", &repo.drone()]);
    busy.code(4).complains("hint:");
    spawn.interrupt();
    spawn.finish().code(130);
    inventory::assert_nothing_left(agent, &repo);
    inventory::assert_no_process_of(&repo);
}
