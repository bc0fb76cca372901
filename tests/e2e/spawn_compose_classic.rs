//! A Compose drone on an engine with the classic builder: Compose v2 is a plugin of the client, and
//! runs there as well.

use hatchery_tests::{Inventory, Repo, RepoBuilder, World, bed, inventory};
use serde_json::{Value, json};

/// Both services are built; the second one is a neighbour with a volume.
fn project(label: &str, edition: &str) -> RepoBuilder {
    let base = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    // With a first process that ends when it is told to.
    let service = |volumes: &[&str]| json!({"build": ".", "command": "sleep infinity", "init": true, "volumes": volumes});
    let services = json!({"app": service(&["..:/workspaces/web"]), "db": service(&["data:/data"])});
    let compose = json!({"services": services, "volumes": {"data": {}}});
    Repo::describe(label)
        .file(".devcontainer/Dockerfile", &format!("FROM {base}\nRUN echo {label} >/built\n"))
        .file(".devcontainer/compose.yaml", &compose.to_string())
        .devcontainer(&config(edition))
}

fn config(edition: &str) -> Value {
    json!({
        "dockerComposeFile": "compose.yaml",
        "service": "app",
        "workspaceFolder": "/workspaces/web",
        "remoteUser": "dev",
        "remoteEnv": {"EDITION": edition},
        "postCreateCommand": "git fetch -q",
    })
}

#[test]
fn a_compose_drone_on_the_classic_builder_goes_through_its_life() {
    let world = World::classic_alone();
    let agent = world.own_agent("");
    let repo = project("classic-compose", "1").create(&world);
    let before = Inventory::of(&agent);
    let drone = agent.spawn(&repo);
    assert_eq!(drone.sh("id -un; cat /built; echo $EDITION").ok(), "dev\nclassic-compose\n1");
    assert_ne!(drone.sh("getent hosts db").ok(), "", "services find each other by name");
    let commit = drone.push_change("README.md", "classic");
    assert_eq!(repo.tip("main"), commit);
    agent.hatchery(&["burrow", drone.name()]).ok();
    assert_eq!(agent.state(drone.name()).as_deref(), Some("burrowed"));
    agent.hatchery(&["unburrow", drone.name()]).ok();
    let commit = drone.push_change("README.md", "again");
    assert_eq!(repo.tip("main"), commit);
    let edit =
        format!("cat >{} <<'JSON'\n{}\nJSON", hatchery_tests::repo::DEVCONTAINER, config("2"));
    drone.sh(&edit).ok();
    agent.hatchery(&["rebuild", drone.name()]).ok();
    assert_eq!(drone.sh("echo $EDITION; getent hosts db >/dev/null && echo db").ok(), "2\ndb");
    drone.sh("git checkout -q .").ok();
    let commit = drone.push_change("README.md", "rebuilt");
    assert_eq!(repo.tip("main"), commit);
    drone.slay(&[]).ok();
    inventory::assert_nothing_left(&agent, &repo);
    inventory::assert_as_before(&before, &agent);
}
