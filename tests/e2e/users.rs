//! Whoever the remote user is, the workspace is theirs and git works for them.

use hatchery_tests::{Repo, World, bed};
use serde_json::{Value, json};

struct Case {
    label: &'static str,
    config: Value,
    dockerfile: &'static str,
    user: &'static str,
    uid: &'static str,
}

fn cases() -> [Case; 4] {
    let base = || json!(bed::setting("HATCHERY_TEST_IMAGE_BASE"));
    let dev = || json!(bed::setting("HATCHERY_TEST_IMAGE_DEV"));
    let built = || json!({"dockerfile": "Dockerfile", "args": {"BASE": dev()}});
    let case = |label, config, dockerfile, user, uid| Case { label, config, dockerfile, user, uid };
    [
        case("user-root", json!({"image": base()}), "", "root", "0"),
        case("user-label", json!({"image": dev()}), "", "dev", "1000"),
        case(
            "user-named",
            json!({"build": built(), "remoteUser": "ann"}),
            "ARG BASE\nFROM $BASE\nRUN useradd -m -u 4711 ann\n",
            "ann",
            "4711",
        ),
        case(
            "user-image",
            json!({"build": built(), "remoteUser": "dev", "containerUser": "dev"}),
            "ARG BASE\nFROM $BASE\nUSER dev\n",
            "dev",
            "1000",
        ),
    ]
}

#[test]
fn the_remote_user_owns_the_workspace_and_pushes() {
    let world = World::shared();
    let agent = world.agent();
    for case in cases() {
        let mut described = Repo::describe(case.label).devcontainer(&case.config);
        if !case.dockerfile.is_empty() {
            described = described.file(".devcontainer/Dockerfile", case.dockerfile);
        }
        let repo = described.create(&world);
        let drone = agent.spawn(&repo);
        let owner =
            drone.sh("id -un; id -u; stat -c %u . README.md .git/HEAD | sort -u").ok().to_owned();
        assert_eq!(owner, format!("{}\n{}\n{}", case.user, case.uid, case.uid), "{}", case.label);
        assert_eq!(drone.sh("git status --porcelain").ok(), "", "{}", case.label);
        let commit = drone.push_change("README.md", "more");
        assert_eq!(repo.tip("main"), commit, "{}", case.label);
    }
}

#[test]
fn an_image_with_nothing_but_a_shell_becomes_a_drone() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("busybox")
        .devcontainer(&json!({"image": bed::setting("HATCHERY_TEST_IMAGE_BUSYBOX")}))
        .create(&world);
    let drone = agent.spawn(&repo);
    assert_eq!(drone.sh("cat README.md; id -u").ok(), "# Web\n0");
    assert!(drone.sh("drone-agent identity").ok().contains(&repo.name()));
    // Nobody can look for unsaved work without git: that counts as work.
    drone.slay(&["--force"]).ok();
}
