//! Two spawns at once of one repository: one wins. Of different ones: both.

use hatchery_tests::{Operation, Repo, World};

#[test]
fn of_two_spawns_of_one_repository_one_wins() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("twice").on_dev_image().create(&world);
    let [one, other] = [(); 2].map(|()| Operation::start(agent, &["spawn", &repo.name()]));
    let (one, other) = (one.finish(), other.finish());
    let _drone = agent.drone(&repo.drone());
    let (won, lost) = if one.code == 0 { (one, other) } else { (other, one) };
    won.code(0);
    lost.code(4).complains("Evolution chamber occupied.");
    let third = agent.hatchery(&["spawn", &repo.url()]);
    third.code(4).complains("Evolution chamber occupied.");
    assert_eq!(agent.state(&repo.drone()).as_deref(), Some("running"));
}

#[test]
fn several_repositories_spawn_at_once() {
    let world = World::shared();
    let agent = world.agent();
    let repos = ["crowd-a", "crowd-b", "crowd-c"]
        .map(|label| Repo::describe(label).on_dev_image().create(&world));
    let spawns = repos.each_ref().map(|repo| Operation::start(agent, &["spawn", &repo.name()]));
    for (spawn, repo) in spawns.into_iter().zip(&repos) {
        spawn.finish().code(0);
        let drone = agent.drone(&repo.drone());
        assert_eq!(
            drone.sh("echo $OWNER; hostname").ok(),
            format!("{}\n{}", repo.owner(), drone.name())
        );
    }
}

#[test]
fn two_repositories_with_one_name_share_no_drone() {
    let world = World::shared();
    let agent = world.agent();
    let first = Repo::describe("same").named("a.b").on_dev_image().create(&world);
    let second = Repo::describe("same").beside(&first).named("a-b").on_dev_image().create(&world);
    let drone = agent.hatchery(&["spawn", &first.name()]);
    let drone = agent.drone(drone.ok());
    let other = agent.hatchery(&["spawn", &second.name()]);
    let other = agent.drone(other.ok());
    assert!(other.name().starts_with(&format!("{}-", drone.name())), "{}", other.name());
    assert_eq!(drone.sh("pwd").ok(), "/workspaces/a.b");
    assert_eq!(other.sh("pwd").ok(), "/workspaces/a-b");
    let status = agent.json(&["status", &second.name()]);
    assert_eq!(status["drone"], other.name());
}
