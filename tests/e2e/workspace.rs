//! The checkout is where the repository wants it, and of what the user asked for.

use hatchery_tests::{Repo, World, bed};
use serde_json::json;

#[test]
fn another_workspace_folder_is_the_clone() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("folder")
        .on_dev_image_with(json!({
            "workspaceFolder": "/srv/code",
            "workspaceMount": "source=${localWorkspaceFolder},target=/srv/code,type=bind",
        }))
        .create(&world);
    let drone = agent.spawn(&repo);
    assert_eq!(drone.sh("pwd; git status --porcelain; cat README.md").ok(), "/srv/code\n# Web");
    let commit = drone.push_change("README.md", "elsewhere");
    assert_eq!(repo.tip("main"), commit);
    assert_eq!(drone.sh(&format!("git -C {} rev-parse HEAD", repo.workspace())).ok(), commit);
    assert!(!drone.inspect("{{json .Mounts}}").contains("/s/stage"), "no stage is mounted");
}

#[test]
fn a_branch_is_checked_out() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("branch").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    drone.sh("git checkout -q -b topic/one; echo 1 >one.txt; git add .; git commit -qm One; git push -q -u origin topic/one").ok();
    drone.slay(&[]).ok();
    let drone = agent.spawn_with(&repo, &["--branch", "topic/one"]);
    assert_eq!(
        drone.sh("git branch --show-current; cat one.txt; git status -sb --porcelain").ok(),
        "topic/one\n1\n## topic/one...origin/topic/one"
    );
    drone.slay(&[]).ok();
    let run = agent.hatchery(&["spawn", &repo.name(), "--branch", "nowhere"]);
    run.code(3).complains("nowhere");
    hatchery_tests::inventory::assert_nothing_left(agent, &repo);
}

#[test]
fn of_several_configurations_the_user_chooses() {
    let world = World::shared();
    let agent = world.agent();
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let config = |name: &str| json!({"image": image, "containerEnv": {"WHICH": name}}).to_string();
    let repo = Repo::describe("several")
        .file(".devcontainer/api/devcontainer.json", &config("api"))
        .file(".devcontainer/site/devcontainer.json", &config("site"))
        .create(&world);
    let ambiguous = agent.hatchery(&["spawn", &repo.name()]);
    ambiguous.code(2).complains(".devcontainer/api/devcontainer.json").complains("--devcontainer");
    let flags = ["--devcontainer", ".devcontainer/site/devcontainer.json"];
    let drone = agent.spawn_with(&repo, &flags);
    assert_eq!(drone.sh("echo $WHICH").ok(), "site");
    drop(drone);
    let missing =
        agent.hatchery(&["spawn", &repo.name(), "--devcontainer", "no/devcontainer.json"]);
    missing.code(2).complains("no/devcontainer.json");
    let outside =
        agent.hatchery(&["spawn", &repo.name(), "--devcontainer", "../devcontainer.json"]);
    outside.code(6);
}

#[test]
fn the_default_image_stands_in_where_it_is_configured() {
    let world = World::shared();
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let agent = world.own_agent(&format!("[drone]\nimage = \"{image}\"\nmemory = \"1GiB\""));
    let repo = Repo::describe("default").create(&world);
    let drone = agent.spawn(&repo);
    assert_eq!(drone.sh("id -un; cat README.md; git status --porcelain").ok(), "dev\n# Web");
}
