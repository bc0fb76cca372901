//! Docker is down: said at once, by name, with the way on.

use hatchery_tests::{Bed, Operation, Repo, World, inventory};
use serde_json::json;

/// Gives the engine back, whatever happened.
struct EngineUp(Bed);

impl Drop for EngineUp {
    fn drop(&mut self) {
        self.0.control("start");
    }
}

#[test]
fn without_docker_every_command_says_so() {
    let world = World::alone();
    let up = EngineUp(world.bed);
    let agent = world.own_agent("");
    let repo = Repo::describe("undocked").on_dev_image().create(&world);
    let there = Repo::describe("docked").on_dev_image().create(&world);
    let drone = agent.spawn(&there);
    world.bed.control("stop");
    for args in [&["spawn", &repo.name()][..], &["slay", drone.name()], &["list"]] {
        let run = agent.hatchery(args);
        run.code(9).complains("error: Docker").complains("\nhint: start Docker");
    }
    drop(up);
    inventory::assert_nothing_left(&agent, &repo);
    agent.wait_for_state(drone.name(), "running");
}

#[test]
fn docker_that_dies_under_a_spawn_is_named_and_cleaned_up_after() {
    let world = World::alone();
    let up = EngineUp(world.bed);
    let agent = world.own_agent("");
    let repo = Repo::describe("dies-hooks")
        .on_dev_image_with(json!({"postCreateCommand": "sleep 300"}))
        .create(&world);
    let mut spawn = Operation::start(&agent, &["spawn", &repo.name()]);
    spawn.wait_for("hooks", "start");
    world.bed.control("kill");
    let run = spawn.finish();
    run.code(9).complains("error: Docker does not answer").complains("\nhint: start Docker");
    run.complains("not everything could be undone").complains("hatchery slay --force");
    assert!(!run.stderr.contains("everything was undone;"), "{}", run.report());
    assert_eq!(repo.tokens(), 0, "the forge was there");
    drop(up);
    inventory::wait_until_gone(&agent, &repo);
    let fine = Repo::describe("dies-fine").on_dev_image().create(&world);
    agent.spawn(&fine).push_change("README.md", "it works again");
}

#[test]
fn without_the_devcontainer_cli_a_spawn_says_how_to_get_it() {
    let world = World::shared();
    let agent = world.own_agent("[programs]\ndevcontainer = \"/no/such/devcontainer\"");
    let repo = Repo::describe("no-cli").on_dev_image().create(&world);
    let run = agent.hatchery(&["spawn", &repo.name()]);
    run.code(9).complains("/no/such/devcontainer").complains("hint:");
    inventory::assert_nothing_left(&agent, &repo);
}
