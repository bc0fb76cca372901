//! `list` and `status`: a table for people, stable JSON for programs.

use hatchery_tests::{Repo, World};
use serde_json::Value;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Fields of `list` (design, "Command line"); only new ones may come.
const SUMMARY: [&str; 11] = [
    "drone",
    "repo",
    "forge",
    "state",
    "container_id",
    "up_since",
    "cpu_percent",
    "memory_bytes",
    "memory_limit_bytes",
    "workspace_bytes",
    "workspace_measured_at",
];

#[test]
fn json_has_every_field_of_the_contract() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("list").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    drone.sh("git fetch -q").ok();
    let listed = agent.list().into_iter().find(|one| one["drone"] == drone.name());
    let listed = listed.expect("it is listed");
    for field in SUMMARY {
        assert!(keys(&listed).contains(&field), "{field} is missing: {listed}");
    }
    assert_eq!(listed["repo"], repo.name());
    assert_eq!(listed["forge"], hatchery_tests::forge::HOST);
    assert_eq!(listed["memory_limit_bytes"], 1u64 << 30);
    assert_eq!(listed["container_id"].as_str().map(str::len), Some(64));
    let status = drone.status();
    for field in
        SUMMARY.iter().chain(&["image", "ports", "grants", "last_token_at", "health", "events"])
    {
        assert!(keys(&status).contains(field), "{field} is missing: {status}");
    }
    assert_eq!(status["grants"][0]["repo"], repo.name());
    assert_eq!(status["grants"][0]["permissions"]["contents"], "write");
    assert!(status["last_token_at"].is_string(), "{status}");
    let steps = status["events"].as_array().expect("events").iter();
    assert!(steps.clone().any(|event| event["step"] == "hooks" && event["phase"] == "end"));
}

#[test]
fn a_table_names_each_drone_and_status_tells_more() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("table").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let table = agent.hatchery(&["list"]);
    let head = table.ok().lines().next().expect("a head").to_owned();
    assert_eq!(head.split_whitespace().collect::<Vec<_>>().first(), Some(&"DRONE"), "{head}");
    let row = table.stdout.lines().find(|line| line.starts_with(drone.name()));
    let row = row.unwrap_or_else(|| panic!("no row\n{}", table.report()));
    assert!(row.contains(&repo.name()) && row.contains("running"), "{row}");
    let status = agent.hatchery(&["status", &repo.name()]);
    assert!(status.ok().contains(&repo.name()) && status.stdout.contains("contents=write"));
    assert!(!table.stdout.contains('\u{1b}'), "no colour in a pipe");
}

#[test]
fn the_log_of_a_spawn_can_be_read() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("logs")
        .on_dev_image_with(serde_json::json!({"postCreateCommand": "echo the hook was here"}))
        .create(&world);
    let drone = agent.spawn(&repo);
    let log = agent.hatchery(&["logs", drone.name()]);
    assert!(log.ok().contains("the hook was here"), "{}", log.report());
    assert!(
        agent.hatchery(&["logs", "--container", drone.name()]).ok().contains("Container started")
    );
}

#[test]
fn what_is_not_there_is_not_found() {
    let world = World::shared();
    let agent = world.agent();
    for verb in ["status", "burrow", "unburrow", "rebuild", "slay", "logs", "adopt"] {
        let run = agent.hatchery(&[verb, "nobody/nothing"]);
        run.code(3).complains("Drone not found.").complains("hint:");
    }
    let run = agent.hatchery(&["exec", "nobody/nothing", "--", "true"]);
    run.code(125).complains("Drone not found.");
    let plain = agent.hatchery(&["--plain", "status", "nobody/nothing"]);
    assert!(!plain.stderr.contains("warriors"), "{}", plain.report());
}
