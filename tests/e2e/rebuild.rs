//! A rebuild takes a changed devcontainer.json, keeps the work, and keeps the old one when it fails.

use hatchery_tests::{Drone, Repo, World, bed, repo};
use serde_json::{Value, json};

fn edit(drone: &Drone<'_>, config: &Value) {
    let script = format!("cat >{} <<'JSON'\n{config:#}\nJSON", repo::DEVCONTAINER);
    drone.sh(&script).ok();
}

fn config(extra: Value) -> Value {
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let mut config = json!({"image": image, "containerEnv": {"EDITION": "1"}});
    if let (Some(config), Value::Object(extra)) = (config.as_object_mut(), extra) {
        config.extend(extra);
    }
    config
}

#[test]
fn an_edit_takes_effect_and_the_work_stays() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("rebuild").devcontainer(&config(json!({}))).create(&world);
    let drone = agent.spawn(&repo);
    let before = drone.container();
    drone.sh("echo draft >draft.txt").ok();
    edit(
        &drone,
        &config(json!({
            "containerEnv": {"EDITION": "2"},
            "postCreateCommand": "git ls-remote -q origin >/tmp/seen",
        })),
    );
    agent.hatchery(&["rebuild", drone.name()]).ok();
    assert_ne!(drone.container(), before);
    assert_eq!(
        drone.sh("echo $EDITION; cat draft.txt; test -s /tmp/seen && echo hook").ok(),
        "2\ndraft\nhook"
    );
    drone.sh("rm draft.txt; git checkout -q .").ok();
    let commit = drone.push_change("README.md", "rebuilt");
    assert_eq!(repo.tip("main"), commit);
    let left = world.bed.docker(&["ps", "-aq", "--filter", &format!("name={}.", drone.name())]);
    assert_eq!(left.ok(), "", "no predecessor is left");
}

#[test]
fn a_rebuild_that_fails_keeps_the_old_one_running() {
    let world = World::shared();
    let agent = world.agent();
    let failures = [
        ("rebuild-refused", json!({"privileged": true}), 6),
        ("rebuild-broken", json!({"image": "hatchery.local/nowhere:1"}), 6),
        ("rebuild-hook", json!({"postCreateCommand": "echo so it goes >&2; exit 3"}), 9),
    ];
    for (label, change, code) in failures {
        let repo = Repo::describe(label).devcontainer(&config(json!({}))).create(&world);
        let drone = agent.spawn(&repo);
        let before = drone.container();
        edit(&drone, &config(change));
        agent.hatchery(&["rebuild", drone.name()]).code(code).complains("error:");
        assert_eq!(drone.container(), before, "{label}");
        assert_eq!(agent.state(drone.name()).as_deref(), Some("running"), "{label}");
        drone.sh("git checkout -q .").ok();
        let commit = drone.push_change("README.md", "still here");
        assert_eq!(repo.tip("main"), commit, "{label}");
    }
}
