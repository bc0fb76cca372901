//! A drone whose host lost its key and its records is unknown until somebody vouches for it.

use hatchery_tests::{Repo, World};

#[test]
fn a_drone_without_a_right_seal_gets_nothing_until_it_is_adopted() {
    let world = World::shared();
    let agent = world.own_agent("");
    let repo = Repo::describe("adopt").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    agent.kill();
    std::fs::remove_dir_all(agent.state_dir()).expect("the state directory");
    std::fs::remove_file(agent.home().join("seal.key")).expect("the seal's key");
    agent.start_again();
    assert_eq!(agent.state(drone.name()).as_deref(), Some("unknown"));
    world.bed.docker(&["restart", "-t", "1", drone.name()]);
    assert_ne!(drone.sh("git fetch -q").code, 0, "it gets no token");
    agent.hatchery(&["adopt", drone.name()]).ok();
    world.bed.docker(&["restart", "-t", "1", drone.name()]).ok();
    agent.wait_for_state(drone.name(), "running");
    let commit = drone.push_change("README.md", "adopted");
    assert_eq!(repo.tip("main"), commit);
}
