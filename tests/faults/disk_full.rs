//! The disk fills up in the middle of a spawn.

use hatchery_tests::{Repo, World, bed, inventory};
use serde_json::json;

#[test]
fn a_disk_that_fills_up_is_named_and_freed_again() {
    let world = World::bounded();
    let agent = world.agent();
    let base = bed::setting("HATCHERY_TEST_IMAGE_BASE");
    let fill = "RUN dd if=/dev/zero of=/fill bs=1M count=4000";
    let build = Repo::describe("full-build")
        .file(".devcontainer/Dockerfile", &format!("FROM {base}\n{fill}\n"))
        .devcontainer(&json!({"build": {"dockerfile": "Dockerfile"}}))
        .create(&world);
    let run = agent.hatchery(&["spawn", &build.name()]);
    run.code(9).complains("o space left on device").complains("\nhint: the disk is full");
    inventory::assert_nothing_left(agent, &build);
    let hook = Repo::describe("full-hook")
        .devcontainer(&json!({
            "image": base,
            "postCreateCommand": "dd if=/dev/zero of=fill bs=1M count=4000",
        }))
        .create(&world);
    let run = agent.hatchery(&["spawn", &hook.name()]);
    run.code(9).complains("o space left on device").complains("\nhint: the disk is full");
    inventory::assert_nothing_left(agent, &hook);
    let fine = Repo::describe("full-fine").devcontainer(&json!({"image": base})).create(&world);
    let drone = agent.spawn(&fine);
    let commit = drone.push_change("README.md", "room again");
    assert_eq!(fine.tip("main"), commit);
}
