//! Docker may restart, or die, under running drones.

use std::time::Duration;

use hatchery_tests::{Repo, World, wait_until};

/// Gives the engine back, whatever happened.
struct EngineUp(hatchery_tests::Bed);

impl Drop for EngineUp {
    fn drop(&mut self) {
        self.0.control("start");
    }
}

#[test]
fn drones_come_back_after_docker_was_restarted_or_killed() {
    let world = World::alone();
    let _up = EngineUp(world.bed);
    let agent = world.own_agent("");
    let repo = Repo::describe("dockerd").on_dev_image().create(&world);
    let asleep = Repo::describe("dockerd-burrowed").on_dev_image().create(&world);
    let (drone, burrowed) = (agent.spawn(&repo), agent.spawn(&asleep));
    agent.hatchery(&["burrow", burrowed.name()]).ok();
    for verb in ["restart", "kill"] {
        world.bed.control(verb);
        world.bed.control("start");
        wait_until("the drone to push again", Duration::from_secs(90), || {
            (drone.sh("git fetch -q").code == 0).then_some(())
        });
        let commit = drone.push_change("README.md", verb);
        assert_eq!(repo.tip("main"), commit, "{verb}");
        assert_eq!(agent.state(burrowed.name()).as_deref(), Some("burrowed"), "{verb}");
    }
}

#[test]
fn a_host_agent_that_starts_before_docker_waits_for_it() {
    let world = World::alone();
    let _up = EngineUp(world.bed);
    let agent = world.own_agent("");
    let repo = Repo::describe("early").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    world.bed.control("stop");
    agent.kill();
    agent.start_again();
    agent.hatchery(&["spawn", "early-nobody/web"]).complains("error:");
    world.bed.control("start");
    agent.wait_for_state(drone.name(), "running");
    drone.sh("git fetch -q").ok();
}
