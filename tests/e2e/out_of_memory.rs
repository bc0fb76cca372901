//! A drone that was killed for memory shows it.

use std::time::Duration;

use hatchery_tests::{Repo, World, wait_until};

#[test]
fn a_drone_killed_for_memory_shows_it_everywhere() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("hungry").on_dev_image().create(&world);
    let drone = agent.spawn_with(&repo, &["--memory", "128MiB"]);
    let eaten = drone.sh("tail /dev/zero");
    assert_ne!(eaten.code, 0, "the kernel ends it");
    wait_until("the status to tell it", Duration::from_secs(30), || {
        (drone.status()["out_of_memory"] == true).then_some(())
    });
    for view in [&["list"][..], &["status", drone.name()]] {
        agent.hatchery(view).complains("Nuclear launch detected.");
    }
    let events = drone.status()["events"].clone();
    let seen = events.as_array().expect("events").iter().any(|one| one["event"] == "out-of-memory");
    assert!(seen, "{events:#}");
    drone.sh("git fetch -q").ok();
}
