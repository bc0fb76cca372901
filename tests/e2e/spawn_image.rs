//! A repository with an image becomes a drone.

use hatchery_tests::{Repo, World, inventory};

#[test]
fn a_repository_on_an_image_becomes_a_drone_and_goes_again() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("image").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    assert_eq!(agent.state(drone.name()).as_deref(), Some("running"));
    assert_eq!(
        drone.sh("id -un; pwd; hostname").ok(),
        format!("dev\n{}\n{}", repo.workspace(), drone.name())
    );
    assert_eq!(drone.sh("git status --porcelain").ok(), "");
    assert_eq!(drone.sh("cat README.md").ok(), "# Web");
    assert_eq!(drone.inspect("{{.HostConfig.Privileged}}"), "false");
    drone.slay(&[]).ok();
    inventory::assert_nothing_left(agent, &repo);
}
