//! A repository may be renamed, or lose permissions: the drone goes on as far as it goes.

use hatchery_tests::{Repo, World};
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
