//! Docker is down: said at once, by name, with the way on.

use hatchery_tests::{Bed, Repo, World, inventory};

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
        run.code(9).complains("Docker").complains("hint:");
    }
    drop(up);
    inventory::assert_nothing_left(&agent, &repo);
    agent.wait_for_state(drone.name(), "running");
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
