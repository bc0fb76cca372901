//! The same on an engine with the classic builder: image, Dockerfile, push, burrow, slay.

use hatchery_tests::{Operation, Repo, World, bed, inventory};
use serde_json::json;

#[test]
fn a_drone_on_the_classic_builder_pushes_and_goes_again() {
    let world = World::classic();
    let agent = world.agent();
    let repo = Repo::describe("classic")
        .file(".devcontainer/Dockerfile", "ARG BASE\nFROM $BASE\nRUN echo classic >/built\n")
        .devcontainer(&json!({
            "build": {"dockerfile": "Dockerfile", "args": {"BASE": bed::setting("HATCHERY_TEST_IMAGE_DEV")}},
            "remoteUser": "dev",
            "postCreateCommand": "git fetch -q",
        }))
        .create(&world);
    let drone = agent.spawn(&repo);
    assert_eq!(drone.sh("cat /built; id -un; git status --porcelain").ok(), "classic\ndev");
    let commit = drone.push_change("README.md", "classic");
    assert_eq!(repo.tip("main"), commit);
    agent.hatchery(&["burrow", drone.name()]).ok();
    agent.hatchery(&["unburrow", drone.name()]).ok();
    drone.sh("git fetch -q").ok();
    drone.slay(&[]).ok();
    inventory::assert_nothing_left(agent, &repo);
}

#[test]
fn builds_at_once_do_not_mix() {
    let world = World::classic();
    let agent = world.agent();
    let repos = ["lock-a", "lock-b", "lock-c"].map(|label| {
        let feature = "{\"id\": \"mark\", \"version\": \"1.0.0\", \"name\": \"Mark\"}";
        Repo::describe(label)
            .file(".devcontainer/mark/devcontainer-feature.json", feature)
            .program(".devcontainer/mark/install.sh", &format!("#!/bin/sh\necho {label} >/mark\n"))
            .on_dev_image_with(json!({"features": {"./mark": {}}}))
            .create(&world)
    });
    let spawns = repos.each_ref().map(|repo| Operation::start(agent, &["spawn", &repo.name()]));
    for (spawn, repo) in spawns.into_iter().zip(&repos) {
        spawn.finish().code(0);
        let drone = agent.drone(&repo.drone());
        assert!(repo.owner().starts_with(drone.sh("cat /mark").ok()), "{}", repo.owner());
    }
}
