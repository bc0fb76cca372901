//! A burrowed drone stops, stays stopped, and goes on where it was.

use hatchery_tests::{Repo, World};

#[test]
fn a_drone_burrows_and_comes_back_with_its_work() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("burrow").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    drone.sh("git fetch -q; echo kept >draft.txt").ok();
    let container = drone.container();
    assert_ne!(repo.tokens(), 0);
    agent.hatchery(&["burrow", drone.name()]).ok();
    assert_eq!(agent.state(drone.name()).as_deref(), Some("burrowed"));
    assert_eq!(drone.inspect("{{.State.Running}}"), "false");
    assert_eq!(repo.tokens(), 0, "burrow revokes");
    assert_eq!(drone.exec(&["true"]).code, 125, "nothing runs in a burrowed drone");
    agent.hatchery(&["burrow", drone.name()]).ok();
    agent.hatchery(&["unburrow", &repo.name()]).ok();
    assert_eq!(agent.state(drone.name()).as_deref(), Some("running"));
    assert_eq!(drone.container(), container, "it is the same container");
    assert_eq!(drone.sh("cat draft.txt; rm draft.txt").ok(), "kept");
    let commit = drone.push_change("README.md", "after");
    assert_eq!(repo.tip("main"), commit);
}

#[test]
fn what_is_done_by_hand_is_followed() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("by-hand").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    world.bed.docker(&["stop", "-t", "1", drone.name()]).ok();
    agent.wait_for_state(drone.name(), "stopped");
    world.bed.docker(&["start", drone.name()]).ok();
    agent.wait_for_state(drone.name(), "running");
    agent.hatchery(&["burrow", drone.name()]).ok();
    world.bed.docker(&["start", drone.name()]).ok();
    agent.wait_for_state(drone.name(), "running");
    drone.sh("git fetch -q").ok();
    world.bed.docker(&["rm", "-f", drone.name()]).ok();
    agent.wait_for_state(drone.name(), "lost");
    let work = agent.hatchery(&["slay", drone.name()]);
    work.ok();
    hatchery_tests::inventory::assert_nothing_left(agent, &repo);
}

#[test]
fn a_drone_that_died_is_started_again() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("died").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let pid = drone.pid();
    hatchery_tests::Run::of(std::process::Command::new("kill").args(["-9", &pid.to_string()])).ok();
    hatchery_tests::wait_until("another first process", std::time::Duration::from_secs(60), || {
        let now = drone.inspect("{{.State.Pid}} {{.State.Running}}");
        (now.ends_with("true") && now != format!("{pid} true")).then_some(())
    });
    agent.wait_for_state(drone.name(), "running");
    let commit = drone.push_change("README.md", "alive");
    assert_eq!(repo.tip("main"), commit);
}
