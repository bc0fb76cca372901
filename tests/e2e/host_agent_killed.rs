//! The host agent may die at any moment: drones live on, and nothing half done stays.

use hatchery_tests::{Inventory, Operation, Repo, World, inventory};
use serde_json::json;

/// The steps that a kill can hit; the last one hangs until it does.
const STEPS: [&str; 9] =
    ["resolve", "reserve", "grant", "clone", "policy", "build", "create", "boot", "hooks"];

#[test]
fn a_running_drone_outlives_its_host_agent() {
    let world = World::shared();
    let agent = world.own_agent("");
    let repo = Repo::describe("killed").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let (container, pid) = (drone.container(), drone.pid());
    drone.push_change("README.md", "before");
    agent.kill();
    assert_eq!(agent.hatchery(&["list"]).code, 10, "no host agent");
    agent.start_again();
    assert_eq!((drone.container(), drone.pid()), (container, pid), "it was not touched");
    let commit = drone.push_change("README.md", "after");
    assert_eq!(repo.tip("main"), commit);
}

#[test]
fn a_host_agent_that_is_asked_to_end_ends_and_drones_go_on() {
    let world = World::shared();
    let agent = world.own_agent("");
    let repo = Repo::describe("stopped").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let pid = drone.pid();
    assert_eq!(agent.stop(), Some(0));
    assert!(!agent.control_socket().exists(), "its socket goes with it");
    agent.start_again();
    assert_eq!(drone.pid(), pid);
    drone.sh("git fetch").ok();
}

#[test]
fn a_spawn_cut_off_in_any_step_leaves_nothing() {
    let world = World::shared();
    let agent = world.own_agent("");
    for step in STEPS {
        let repo = Repo::describe(&format!("cut-{step}"))
            .on_dev_image_with(json!({"postCreateCommand": "sleep 300"}))
            .create(&world);
        let before = Inventory::of(&agent);
        let mut spawn = Operation::start(&agent, &["spawn", &repo.name()]);
        spawn.wait_for(step, "start");
        agent.kill();
        assert_ne!(spawn.finish().code, 0, "{step}");
        agent.start_again();
        inventory::wait_until_gone(&agent, &repo);
        inventory::assert_nothing_since(&before, &agent, &repo);
    }
}

#[test]
fn a_slay_cut_off_is_finished() {
    let world = World::shared();
    let agent = world.own_agent("");
    let repo = Repo::describe("cut-slay").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let mut slay = Operation::start(&agent, &["slay", drone.name()]);
    slay.wait_for("stop", "start");
    agent.kill();
    slay.finish();
    agent.start_again();
    inventory::wait_until_gone(&agent, &repo);
}

#[test]
fn a_lost_state_directory_costs_a_restart_of_the_drone() {
    let world = World::shared();
    let agent = world.own_agent("");
    let repo = Repo::describe("stateless").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    agent.kill();
    std::fs::remove_dir_all(agent.state_dir()).expect("the state directory");
    agent.start_again();
    agent.wait_for_state(drone.name(), "running");
    world.bed.docker(&["restart", "-t", "1", drone.name()]).ok();
    agent.wait_for_state(drone.name(), "running");
    let commit = drone.push_change("README.md", "sealed");
    assert_eq!(repo.tip("main"), commit, "a sealed drone has its primary grant again");
}

#[test]
fn a_drone_of_somebody_else_is_unknown_and_left_alone() {
    let world = World::shared();
    let (one, other) = (world.own_agent(""), world.own_agent(""));
    let repo = Repo::describe("foreign").on_dev_image().create(&world);
    let drone = one.spawn(&repo);
    assert_eq!(other.state(drone.name()).as_deref(), Some("unknown"));
    other.kill();
    other.start_again();
    assert_eq!(other.state(drone.name()).as_deref(), Some("unknown"));
    assert_eq!(one.state(drone.name()).as_deref(), Some("running"));
    let commit = drone.push_change("README.md", "mine");
    assert_eq!(repo.tip("main"), commit);
}
