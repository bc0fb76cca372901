//! The same on an engine with the classic builder: image, Dockerfile, push, burrow, slay.

use std::process::Command;
use std::time::Duration;

use hatchery_tests::{
    HostAgent, Inventory, Operation, Repo, RepoBuilder, Run, Turn, World, bed, inventory,
    wait_until,
};
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

/// A repository whose Dockerfile takes files out of a stage, and then does `step`.
fn staged(label: &str, step: &str) -> RepoBuilder {
    let base = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let dockerfile = format!(
        "FROM {base} AS tools\nRUN echo {label} >/tool\nRUN echo 2 >>/tool\n\
         FROM {base}\nCOPY --from=tools /tool /tool\nRUN {step}\n"
    );
    Repo::describe(label)
        .file(".devcontainer/Dockerfile", &dockerfile)
        .devcontainer(&json!({"build": {"dockerfile": "Dockerfile"}, "remoteUser": "dev"}))
}

/// What an administrator may have on the same engine: an image without a name, a container that
/// failed, and the same from a run of the devcontainer CLI. Removed when dropped.
struct SomebodyElses<'a>(&'a Turn);

const CONTAINER: &str = "somebody-elses";
const FEATURES: &str = "dev_container_feature_content_temp";

impl<'a> SomebodyElses<'a> {
    fn make(world: &'a Turn) -> Self {
        let base = bed::setting("HATCHERY_TEST_IMAGE_BUSYBOX");
        let build = |step: &str, flags: &[&str]| {
            let mut docker = world.bed.command("docker");
            docker.arg("build").args(flags).arg("-");
            Run::with_input(&mut docker, &format!("FROM {base}\n{step}\n")).ok().to_owned()
        };
        build("RUN echo nameless >/it", &[]);
        build("RUN echo features >/it", &["-t", FEATURES]);
        let failed = world.bed.docker(&["run", "--name", CONTAINER, &base, "false"]);
        assert_eq!(failed.code, 1, "{}", failed.report());
        Self(world)
    }
}

impl Drop for SomebodyElses<'_> {
    fn drop(&mut self) {
        let _ = self.0.bed.docker(&["rm", "-f", CONTAINER]);
        let _ = self.0.bed.docker(&["rmi", "-f", FEATURES]);
        let _ = self.0.bed.docker(&["image", "prune", "-f"]);
    }
}

/// Starts a spawn and waits until its build sleeps.
fn sleeping(agent: &HostAgent, repo: &Repo) -> Operation {
    let spawn = Operation::start(agent, &["spawn", &repo.name()]);
    let marked = ["-f", &format!("^/bin/sh -c : {}", repo.owner())];
    wait_until("the build to sleep", Duration::from_secs(120), || {
        (Run::of(Command::new("pgrep").args(marked)).code == 0).then_some(())
    });
    spawn
}

#[test]
fn the_list_of_images_is_the_one_of_before() {
    let world = World::classic_alone();
    let agent = world.own_agent("");
    let _others = SomebodyElses::make(&world);
    let before = Inventory::of(&agent);
    for described in [Repo::describe("left-image").on_dev_image(), staged("left-stage", "true")] {
        let repo = described.create(&world);
        let drone = agent.spawn(&repo);
        drone.slay(&[]).ok();
        inventory::assert_nothing_left(&agent, &repo);
        inventory::assert_as_before(&before, &agent);
    }
    let failing = staged("left-failed", "echo reason-in-the-log; exit 7").create(&world);
    let run = agent.hatchery(&["spawn", &failing.name()]);
    run.code(9).complains("error:").complains("reason-in-the-log");
    inventory::assert_nothing_left(&agent, &failing);
    inventory::assert_as_before(&before, &agent);
}

#[test]
fn a_build_that_is_cut_off_leaves_no_image() {
    let world = World::classic_alone();
    let agent = world.own_agent("");
    let before = Inventory::of(&agent);
    for kill in [false, true] {
        let described = staged(&format!("left-cut-{kill}"), "true");
        let step = format!(": {}; sleep 300", described.owner());
        let repo = staged(&format!("left-cut-{kill}"), &step).create(&world);
        let spawn = sleeping(&agent, &repo);
        if kill {
            agent.kill();
            spawn.finish().code(1);
            agent.start_again();
            inventory::wait_until_gone(&agent, &repo);
        } else {
            spawn.interrupt();
            spawn.finish().code(130).complains("error: interrupted");
            inventory::assert_nothing_left(&agent, &repo);
        }
        // The engine notices that its client is gone when it does.
        wait_until("the engine to end the build", Duration::from_secs(60), || {
            let running = world.bed.docker(&["ps", "-q"]);
            running.ok().is_empty().then_some(())
        });
        inventory::assert_as_before(&before, &agent);
    }
}
