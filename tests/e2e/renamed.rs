//! A repository may be renamed, or lose permissions: the drone goes on as far as it goes.

use std::time::Duration;

use hatchery_tests::{Repo, World, forge, wait_until};
use serde_json::json;

#[test]
fn a_renamed_repository_is_the_same_repository() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("renamed").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let path = format!("/repositories/{}", repo.name());
    world.forge.admin("PATCH", &path, &json!({"name": "site"}));
    let commit = drone.push_change("README.md", "under the old name");
    assert_eq!(repo.tip("main"), commit);
    let again = agent.hatchery(&["spawn", &format!("{}/site", repo.owner())]);
    again.code(4).complains(drone.name());
}

#[test]
fn a_name_taken_by_another_repository_opens_nothing() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("taken").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let path = format!("/repositories/{}", repo.name());
    world.forge.admin("PATCH", &path, &json!({"name": "moved"}));
    let other = Repo::describe("taken").beside(&repo).on_dev_image().create(&world);
    let before = other.tip("main");
    let push = drone.sh("echo 1 >>README.md; git commit -qam One; git push -q origin HEAD");
    assert_ne!(push.code, 0, "its name is now somebody else's");
    assert_eq!(other.tip("main"), before);
    assert_eq!(world.forge.tokens_of(other.id()).len(), 0);
}

#[test]
fn a_drone_whose_remote_has_the_new_name_goes_on() {
    let world = World::shared();
    // One that knows no names yet: it was started after the rename.
    let agent = world.own_agent("");
    let repo = Repo::describe("moved").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let path = format!("/repositories/{}", repo.name());
    world.forge.admin("PATCH", &path, &json!({"name": "site"}));
    agent.kill();
    agent.start_again();
    let url = format!("https://{}/{}/site", forge::HOST, repo.owner());
    let set = drone.sh(&format!("git remote set-url origin {url}; git fetch -q"));
    // The first may be refused; what it causes in the background lets a later one through.
    assert!(set.code == 0 || set.stderr.contains("renamed"), "{}", set.report());
    wait_until("a fetch by the new name", Duration::from_secs(30), || {
        (drone.sh("git fetch -q").code == 0).then_some(())
    });
    let commit = drone.push_change("README.md", "under the new name");
    assert_eq!(repo.tip("main"), commit);
    drone.sh(&format!("git ls-remote -q {}", repo.url())).ok();
    let listed = agent.hatchery(&["status", &format!("{}/site", repo.owner())]);
    assert!(listed.ok().contains(drone.name()), "it is found by its new name");
}

#[test]
fn a_transferred_repository_is_followed_where_the_app_is_and_lost_where_it_is_not() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("transfer").on_dev_image().create(&world);
    let there = Repo::describe("transfer-there").on_dev_image().create(&world);
    let without = Repo::describe("transfer-without").permissions(None).create(&world);
    let drone = agent.spawn(&repo);
    let path = format!("/repositories/{}", repo.name());
    let moved = json!({"owner": there.owner(), "name": "moved"});
    world.forge.admin("PATCH", &path, &moved);
    // The forge hides it from tokens of the account before: the drone asks for another.
    let reject = "hash=$(drone-agent token | tr -d '\\n' | sha256sum | cut -d' ' -f1); \
                  curl -sf --unix-socket /run/drone-agent/agent.sock \
                  -d \"{\\\"sha256\\\":\\\"$hash\\\"}\" http://localhost/v1/token/rejected";
    drone.sh(reject).ok();
    let commit = drone.push_change("README.md", "from the old address");
    assert_eq!(repo.tip("main"), commit);
    let path = format!("/repositories/{}/moved", there.owner());
    world.forge.admin("PATCH", &path, &json!({"owner": without.owner()}));
    let push = drone.sh("echo 1 >>README.md; git commit -qam Lost; git push -q origin HEAD");
    assert_ne!(push.code, 0, "the App is not there");
    assert_eq!(repo.tip("main"), commit);
}

#[test]
fn what_the_app_lacks_is_named_at_once_and_refused_later() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("readonly")
        .on_dev_image()
        .permissions(Some(json!({"contents": "read", "metadata": "read"})))
        .create(&world);
    let run = agent.hatchery(&["spawn", &repo.name()]);
    let drone = agent.drone(run.ok());
    run.complains("notice:").complains("contents");
    drone.sh("git fetch -q").ok();
    let push = drone.sh("git push -q origin HEAD:refs/heads/new");
    assert_ne!(push.code, 0);
    push.complains("403");
}
