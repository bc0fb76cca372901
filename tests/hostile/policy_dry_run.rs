//! `spawn --dry-run` says what the policy finds, and leaves nothing behind.

use hatchery_tests::operation::events;
use hatchery_tests::{HostAgent, Repo, World, inventory};
use serde_json::json;

fn assert_nothing_at_all(agent: &HostAgent, repo: &Repo) {
    inventory::assert_nothing_left(agent, repo);
    let log = agent.state_dir().join("logs").join(format!("{}.log", repo.drone()));
    assert!(!log.exists(), "a log is left");
    assert!(repo.mints() > 0, "the clone needed a token, which was taken back");
}

#[test]
fn what_would_be_stripped_is_listed() {
    let world = World::shared();
    let agent = world.agent();
    let keys = json!({"appPort": 3000, "runArgs": ["--name", "x"]});
    let repo = Repo::describe("dry-fine").on_dev_image_with(keys).create(&world);
    let run = agent.hatchery(&["spawn", "--dry-run", &repo.name()]);
    let printed = run.ok();
    assert!(printed.contains("stripped   .devcontainer/devcontainer.json:"), "{}", run.report());
    assert!(printed.ends_with("refused: 0, stripped: 2"), "{}", run.report());
    assert_nothing_at_all(agent, &repo);
    // Nothing is in the way of a real one.
    agent.spawn(&repo).slay(&[]).ok();
}

#[test]
fn what_would_be_refused_is_listed_and_ends_with_6() {
    let world = World::shared();
    let agent = world.agent();
    let keys = json!({"initializeCommand": "touch /tmp/hatchery-was-here", "privileged": true});
    let repo = Repo::describe("dry-no").on_dev_image_with(keys).create(&world);
    let run = agent.hatchery(&["spawn", "--dry-run", &repo.name()]);
    run.code(6).complains("error:").complains("hint:");
    assert!(run.stdout.contains("refused: 2, stripped: 0"), "{}", run.report());
    assert_nothing_at_all(agent, &repo);
    let run = agent.hatchery(&["spawn", "--dry-run", "--without-refused", &repo.name()]);
    assert!(run.ok().ends_with("refused: 0, stripped: 0, left out: 2"), "{}", run.report());
    let run = agent.hatchery(&["--json", "spawn", "--dry-run", &repo.name()]);
    let lines: Vec<String> = run.code(6).stdout.lines().map(str::to_owned).collect();
    let all = events(&lines);
    let policy = all.iter().find(|event| event["event"] == "policy").expect("a report");
    assert_eq!(policy["findings"][0]["subject"], "initializeCommand");
    assert_eq!(policy["refused"], 2);
    assert_nothing_at_all(agent, &repo);
}

#[test]
fn a_broken_configuration_is_2() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("dry-broken")
        .file(".devcontainer/devcontainer.json", "{\"image\": ")
        .create(&world);
    agent.hatchery(&["spawn", "--dry-run", &repo.name()]).code(2).complains("devcontainer.json:1");
    assert_nothing_at_all(agent, &repo);
}
