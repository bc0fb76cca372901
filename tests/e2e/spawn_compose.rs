//! A repository with a Compose file becomes a drone with its neighbours.

use hatchery_tests::{Drone, HostAgent, Operation, Repo, Turn, World, bed, inventory};
use serde_json::json;

fn compose(dev: &str, base: &str) -> String {
    format!(
        "services:\n  app:\n    image: {dev}\n    command: sleep infinity\n    volumes:\n      - \
         ..:/workspaces/web\n    depends_on: [db]\n  db:\n    image: {base}\n    command: sleep \
         infinity\n    volumes:\n      - ./init.sql:/init.sql:ro\n      - data:/data\nvolumes:\n  \
         data:\n"
    )
}

fn repo(world: &Turn, label: &str) -> Repo {
    let dev = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let base = bed::setting("HATCHERY_TEST_IMAGE_BASE");
    Repo::describe(label)
        .file(".devcontainer/compose.yaml", &compose(&dev, &base))
        .file(".devcontainer/init.sql", "select 1;\n")
        .devcontainer(&json!({
            "dockerComposeFile": "compose.yaml",
            "service": "app",
            "workspaceFolder": "/workspaces/web",
            "remoteUser": "dev",
        }))
        .create(world)
}

/// The container of the second service.
fn neighbour(agent: &HostAgent, drone: &Drone<'_>) -> String {
    let project = format!("label=com.docker.compose.project=hatchery-{}", drone.name());
    let service = "label=com.docker.compose.service=db";
    let docker = agent.world().bed;
    docker.docker(&["ps", "-q", "--filter", &project, "--filter", service]).ok().to_owned()
}

#[test]
fn a_service_and_its_neighbour_become_a_drone_and_go_again() {
    let world = World::shared();
    let agent = world.agent();
    let repo = repo(&world, "compose");
    let drone = agent.spawn(&repo);
    assert_eq!(drone.sh("id -un; pwd").ok(), format!("dev\n{}", repo.workspace()));
    assert_ne!(drone.sh("getent hosts db").ok(), "", "services find each other by name");
    let commit = drone.push_change("README.md", "from compose");
    assert_eq!(repo.tip("main"), commit);
    drone.slay(&[]).ok();
    inventory::assert_nothing_left(agent, &repo);
}

#[test]
fn projects_built_at_once_do_not_mix() {
    let world = World::shared();
    let agent = world.agent();
    let dev = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    // The same folder and service: whatever is named after those is each other's.
    let services = json!({"app": {
        "build": ".", "command": "sleep infinity", "volumes": ["..:/workspaces/web"],
    }});
    let repos = ["mix-a", "mix-b"].map(|label| {
        let dockerfile = format!("FROM {dev}\nRUN echo {label} >/mark\n");
        Repo::describe(label)
            .file(".devcontainer/Dockerfile", &dockerfile)
            .file(".devcontainer/compose.yaml", &json!({"services": services}).to_string())
            .devcontainer(&json!({
                "dockerComposeFile": "compose.yaml",
                "service": "app",
                "workspaceFolder": "/workspaces/web",
            }))
            .create(&world)
    });
    let spawns = repos.each_ref().map(|repo| Operation::start(agent, &["spawn", &repo.name()]));
    let drones: Vec<Drone<'_>> = spawns
        .into_iter()
        .zip(&repos)
        .map(|(spawn, repo)| {
            spawn.finish().code(0);
            agent.drone(&repo.drone())
        })
        .collect();
    // Compose's own name for it: folder and service.
    let images = world.bed.docker(&["images", "--format", "{{.Repository}}"]);
    let shared = images.ok().lines().find(|name| name.starts_with("web"));
    for (drone, repo) in drones.iter().zip(&repos) {
        assert!(repo.owner().starts_with(drone.sh("cat /mark").ok()), "{}", repo.owner());
    }
    assert_eq!(shared, None, "a name that every repository called web has");
}

#[test]
fn a_neighbour_is_limited_labelled_and_has_nothing_of_the_host() {
    let world = World::shared();
    let agent = world.agent();
    let repo = repo(&world, "neighbour");
    let drone = agent.spawn(&repo);
    let db = neighbour(agent, &drone);
    let inspect = |template: &str| {
        agent.world().bed.docker(&["inspect", "--format", template, &db]).ok().to_owned()
    };
    assert_eq!(inspect("{{index .Config.Labels \"hatchery.sibling_of\"}}"), drone.name());
    assert_eq!(inspect("{{.HostConfig.RestartPolicy.Name}}"), "unless-stopped");
    assert_ne!(inspect("{{.HostConfig.Memory}}"), "0");
    let mounts = inspect("{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}}\n{{end}}");
    assert!(!mounts.contains("bind"), "a file of the checkout comes from the volume: {mounts}");
    assert!(mounts.contains(&format!("hatchery-{}", drone.name())), "{mounts}");
    let read = agent.world().bed.docker(&["exec", &db, "cat", "/init.sql"]);
    assert_eq!(read.ok(), "select 1;");
    let socket = agent.world().bed.docker(&["exec", &db, "ls", "/run/drone-agent"]);
    assert_ne!(socket.code, 0, "only the drone's own service has the socket");
}
