//! Further repositories for a drone that runs: connected, narrowed and taken away, live.

use hatchery_tests::{Repo, World};

#[test]
fn a_connected_repository_works_at_once_and_a_disconnected_one_no_more() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("connect").on_dev_image().create(&world);
    let library = Repo::describe("connect-lib").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let clone = format!("git clone -q {} /tmp/lib", library.url());
    let refused = drone.sh(&clone);
    assert_ne!(refused.code, 0);
    refused.complains(&format!("hatchery repo connect {} {}", drone.name(), library.name()));

    agent.hatchery(&["repo", "connect", drone.name(), &library.name()]).ok();
    drone.sh(&clone).ok();
    drone.sh("cd /tmp/lib; echo 1 >>README.md; git commit -qam One; git push -q origin HEAD").ok();
    assert_eq!(library.git(&["show", "main:README.md"]).ok(), "# Web\n1");
    let listed = agent.hatchery(&["repo", "list", drone.name()]);
    assert!(listed.ok().contains(&library.name()), "{}", listed.report());

    agent.hatchery(&["repo", "disconnect", drone.name(), &library.name()]).ok();
    assert_eq!(library.tokens(), 0, "what was minted is taken back");
    assert_ne!(drone.sh("cd /tmp/lib; git fetch -q").code, 0);
    drone.sh("git fetch -q").ok();
}

#[test]
fn a_repository_connected_for_reading_takes_no_push() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("connect-ro").on_dev_image().create(&world);
    let library = Repo::describe("connect-ro-lib").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    agent.hatchery(&["repo", "connect", drone.name(), &library.name()]).ok();
    drone.sh(&format!("git clone -q {} /tmp/lib", library.url())).ok();
    // What was minted for writing must not outlive the change.
    agent.hatchery(&["repo", "connect", drone.name(), &library.name(), "--read-only"]).ok();
    drone.sh("cd /tmp/lib; git fetch -q; echo 1 >>README.md; git commit -qam One").ok();
    let push = drone.sh("cd /tmp/lib; git push -q origin HEAD");
    assert_ne!(push.code, 0);
    push.complains("403");
}

#[test]
fn what_cannot_be_connected_or_disconnected_is_said() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("connect-bad").on_dev_image().create(&world);
    let elsewhere = Repo::describe("connect-none").on_dev_image().permissions(None).create(&world);
    let drone = agent.spawn(&repo);
    let connect =
        |rest: &[&str]| agent.hatchery(&[&["repo", "connect", drone.name()], rest].concat());
    connect(&[&elsewhere.name()]).code(3).complains("installations/new");
    connect(&["../etc"]).code(2);
    connect(&[&repo.name(), "--permissions", "administration=write"])
        .code(6)
        .complains("administration");
    let own = agent.hatchery(&["repo", "disconnect", drone.name(), &repo.name()]);
    own.code(6).complains("own repository");
    agent.hatchery(&["repo", "disconnect", drone.name(), &elsewhere.name()]).code(3);
    agent.hatchery(&["repo", "list", "no-such-drone"]).code(3);
    drone.sh("git fetch -q").ok();
}
