//! What a hook starts in the background runs on in the drone, and holds nobody up.

use std::time::Duration;

use hatchery_tests::{Drone, Repo, World, bed, wait_until};
use serde_json::json;

/// Writes to its output for ever, and counts how often that went well.
fn server(name: &str) -> String {
    format!(
        "i=0; while echo tick; do i=$((i+1)); echo $i >/tmp/{name}.new; \
         mv /tmp/{name}.new /tmp/{name}; sleep 0.2; done"
    )
}

fn ticks(drone: &Drone<'_>, name: &str) -> u64 {
    let script = format!("cat /tmp/{name} 2>/dev/null || echo 0");
    drone.sh(&script).ok().parse().expect("a number")
}

#[test]
fn a_server_that_a_hook_starts_outlives_it() {
    let world = World::shared();
    let agent = world.agent();
    let hooks = json!({
        // As people write it, and as they are told to; a command without a shell; one of several.
        "postCreateCommand": format!("({}) & echo created", server("plain")),
        "postStartCommand": {
            "nohup": format!("nohup sh -c '{}' & echo started", server("nohup")),
            "silent": "sleep 100000 &",
            "setsid": ["setsid", "-f", "sh", "-c", server("setsid")],
        },
    });
    let repo = Repo::describe("background").on_dev_image_with(hooks).create(&world);
    let drone = agent.spawn(&repo);
    let log = agent.hatchery(&["logs", drone.name()]);
    assert!(log.ok().contains("created") && log.stdout.contains("started"), "{}", log.report());
    for name in ["plain", "nohup", "setsid"] {
        let before = ticks(&drone, name);
        // A pipe that nobody reads holds 64 KiB; one without a reader, not a line.
        wait_until(&format!("{name} to go on"), Duration::from_secs(60), || {
            (ticks(&drone, name) > before + 10).then_some(())
        });
    }
    assert_eq!(drone.sh("pgrep -x -c -f 'sleep 100000'").ok(), "1");
}

#[test]
fn the_drone_of_a_compose_file_keeps_its_servers_too() {
    let world = World::shared();
    let agent = world.agent();
    let dev = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let app = json!({
        "image": dev, "command": "sleep infinity", "init": true, "volumes": ["..:/workspaces/web"],
    });
    let repo = Repo::describe("background-compose")
        .file(".devcontainer/compose.yaml", &json!({"services": {"app": app}}).to_string())
        .devcontainer(&json!({
            "dockerComposeFile": "compose.yaml",
            "service": "app",
            "workspaceFolder": "/workspaces/web",
            "postStartCommand": format!("{} &", server("plain")),
        }))
        .create(&world);
    let drone = agent.spawn(&repo);
    let before = ticks(&drone, "plain");
    wait_until("the server to go on", Duration::from_secs(60), || {
        (ticks(&drone, "plain") > before + 10).then_some(())
    });
}

#[test]
fn a_hook_that_fails_behind_a_server_fails() {
    let world = World::shared();
    let agent = world.agent();
    let hook = format!("({}) & echo reason-of-the-hook; exit 3", server("plain"));
    let repo = Repo::describe("background-fails")
        .on_dev_image_with(json!({"postCreateCommand": hook}))
        .create(&world);
    let run = agent.hatchery(&["spawn", &repo.name()]);
    run.code(9).complains("postCreateCommand").complains("reason-of-the-hook");
    run.complains("\nhint: ");
    hatchery_tests::inventory::assert_nothing_left(agent, &repo);
}
