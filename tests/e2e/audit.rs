//! `hatchery audit`: who got what, and who was turned away.

use hatchery_tests::{Drone, HostAgent, Repo, World};
use serde_json::{Value, json};

#[test]
fn the_log_tells_a_drones_whole_life() {
    let world = World::shared();
    let agent = world.own_agent("");
    let repo = Repo::describe("audit").on_dev_image_with(json!({"appPort": [3000]})).create(&world);
    let library = Repo::describe("audit-lib").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    live(&agent, &drone, &library);
    let name = drone.name().to_owned();
    let told = |args: &[&str]| agent.hatchery(&[&["audit", "--drone", &name], args].concat());
    let lines = told(&["--json"]);
    let lines: Vec<Value> =
        lines.ok().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let library = library.name();
    for (event, repository, reason) in [
        ("grant", repo.name(), "spawn"),
        ("grant", library.clone(), "repo connect"),
        ("withdraw", library.clone(), "repo disconnect"),
        ("refuse", library.clone(), "was not granted"),
        ("policy", repo.name(), "appPort"),
    ] {
        let found = of(event).into_iter().find(|line| {
            line["repository"] == repository.as_str()
                && line["reason"].as_str().is_some_and(|text| text.contains(reason))
        });
        assert!(found.is_some(), "no {event} of {repository} ({reason}) in {lines:#?}");
    }
    assert_eq!(of("attest").len(), 1, "the host is no drone");
    for event in ["mint", "token", "revoke"] {
        let all = of(event);
        assert!(!all.is_empty(), "no {event}");
        assert!(all.iter().all(|line| line["token_sha256_prefix"].is_string()), "{all:#?}");
    }
    let table = told(&[]);
    assert!(table.ok().starts_with("AT "), "{}", table.report());
    assert!(!table.report().contains("ghs_"), "a token");
    assert_eq!(told(&["--json", "--since", "2100-01-01T00:00:00Z"]).ok(), "");
}

/// Does what leaves a line of each kind.
fn live(agent: &HostAgent, drone: &Drone<'_>, library: &Repo) {
    drone.sh("git fetch -q").ok();
    assert_ne!(drone.sh(&format!("git ls-remote -q {}", library.url())).code, 0);
    let socket = agent.state_dir().join("sockets").join(drone.name()).join("agent.sock");
    let host = hatchery_tests::http::request(&socket, "GET", "/token", "").expect("an answer");
    assert_eq!(host.status, 403);
    agent.hatchery(&["repo", "connect", drone.name(), &library.name()]).ok();
    drone.sh(&format!("git ls-remote -q {}", library.url())).ok();
    agent.hatchery(&["repo", "disconnect", drone.name(), &library.name()]).ok();
}
