//! Without root: whoever is in Docker's group runs a host agent of their own, with the directories
//! that users have, and is told what it cannot do.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use hatchery_tests::{HostAgent, Repo, World, bed, inventory};
use serde_json::{Value, json};

/// What the log says of a firewall that only root can set.
const NO_FIREWALL: &str = "drones can reach more of the host than they should";

fn mode(path: &Path) -> u32 {
    path.metadata().expect("it is there").permissions().mode() & 0o777
}

#[test]
fn a_drones_whole_life_needs_no_root() {
    let world = World::shared();
    let agent = world.ordinary_agent("", "");
    let repo = Repo::describe("no-root").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    assert_eq!(drone.push_change("README.md", "pushed"), repo.tip("main"));
    assert_eq!(drone.sh("gh repo view --json name --jq .name").ok(), "web");
    let token = "curl -s --unix-socket /run/drone-agent/agent.sock http://localhost/token";
    assert!(drone.root_sh(token).ok().starts_with("ghs_"), "another user of the drone, attested");
    agent.hatchery(&["burrow", drone.name()]).ok();
    agent.hatchery(&["unburrow", drone.name()]).ok();
    assert_eq!(drone.push_change("README.md", "burrowed and back"), repo.tip("main"));
    let before = drone.container();
    agent.hatchery(&["rebuild", drone.name()]).ok();
    assert_ne!(drone.container(), before);
    assert_eq!(drone.push_change("README.md", "rebuilt"), repo.tip("main"));
    drone.slay(&[]).ok();
    inventory::assert_nothing_left(&agent, &repo);
}

#[test]
fn a_compose_drone_needs_no_root() {
    let world = World::shared();
    let agent = world.ordinary_agent("", "");
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let compose = format!(
        "services:\n  app:\n    image: {image}\n    command: sleep infinity\n  \
         other:\n    image: {image}\n    command: sleep infinity\n"
    );
    // No service mounts the checkout: the workspace is at its usual place all the same.
    let config = json!({
        "dockerComposeFile": "compose.yml", "service": "app", "remoteUser": "dev",
        "workspaceFolder": "/workspaces/web",
    });
    let repo = Repo::describe("no-root-compose")
        .devcontainer(&config)
        .file(".devcontainer/compose.yml", &compose)
        .create(&world);
    let drone = agent.spawn(&repo);
    assert_eq!(drone.push_change("README.md", "pushed"), repo.tip("main"));
    drone.slay(&[]).ok();
    inventory::assert_nothing_left(&agent, &repo);
}

#[test]
fn its_directories_are_the_users_alone() {
    let world = World::shared();
    let agent = world.ordinary_agent("", "");
    let repo = Repo::describe("no-root-dirs").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    drone.sh("git fetch -q").ok();
    let (home, state) = (agent.home(), agent.state_dir());
    assert_eq!(state, home.join(".local/state/hatchery"));
    let uid = home.metadata().expect("the home").uid();
    assert_ne!(uid, 0);
    for (path, wanted) in [
        (state.clone(), 0o700),
        (state.join("sockets"), 0o700),
        (state.join("sockets").join(drone.name()), 0o711),
        (home.join("run/hatchery/control.sock"), 0o600),
        (home.join(".config/hatchery/seal.key"), 0o600),
    ] {
        assert_eq!(mode(&path), wanted, "{}", path.display());
        assert_eq!(path.metadata().expect("it is there").uid(), uid, "{}", path.display());
    }
    agent.kill();
    agent.start_again();
    drone.sh("git fetch -q").ok();
    assert_eq!(agent.stop(), Some(0));
    agent.start_again();
}

#[test]
fn a_socket_of_its_drone_is_useless_elsewhere() {
    let world = World::shared();
    let agent = world.ordinary_agent("", "");
    let repo = Repo::describe("no-root-leak").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let directory = agent.state_dir().join("sockets").join(drone.name());
    let mount = format!("{}:/run/drone-agent", directory.display());
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let ask = "curl -s -w ' %{http_code}' --unix-socket /run/drone-agent/agent.sock \
               http://localhost/token";
    let run = world.bed.docker(&["run", "--rm", "-v", &mount, &image, "sh", "-c", ask]);
    assert!(run.ok().ends_with(" 403") && !run.ok().contains("ghs_"), "{}", run.report());
    let container = drone.container();
    let refused = agent.audit().into_iter().any(|line| {
        line["reason"].as_str().is_some_and(|reason| {
            reason.contains("not this drone's") && !reason.contains(&container)
        })
    });
    assert!(refused, "the audit log says by whom");
}

#[test]
fn what_only_root_can_do_is_said_once_and_by_doctor() {
    let world = World::shared();
    let agent = world.ordinary_agent("", "");
    for label in ["no-root-one", "no-root-two"] {
        let repo = Repo::describe(label).on_dev_image().create(&world);
        let drone = agent.spawn(&repo);
        let health = drone.status()["health"].to_string();
        assert!(health.contains(NO_FIREWALL), "{health}");
    }
    assert_eq!(agent.log().matches(NO_FIREWALL).count(), 1, "once, not for each drone");
    let doctor = agent.hatchery(&["doctor"]);
    doctor.ok();
    let checks = doctored(&agent);
    for (name, verdict) in [
        ("configuration", "ok"),
        ("docker", "ok"),
        ("confinement", "ok"),
        ("builder", "ok"),
        ("compose", "ok"),
        ("devcontainer", "ok"),
        ("git", "ok"),
        ("app key", "ok"),
        ("app", "ok"),
        ("firewall", "warn"),
        ("attestation", "ok"),
        ("runtime directory", "ok"),
        ("state directory", "ok"),
        ("host agent", "ok"),
    ] {
        let check = checks.iter().find(|check| check["name"] == name).expect("looked at");
        assert_eq!(check["verdict"], verdict, "{check}");
        assert_eq!(check["hint"].is_string(), verdict != "ok", "{check}");
    }
}

#[test]
fn without_a_firewall_no_drone_is_spawned_unasked() {
    let world = World::shared();
    let agent = world.ordinary_agent("[network]\nhost_ports = [443]\n", "");
    let repo = Repo::describe("no-root-no-firewall").on_dev_image().create(&world);
    let run = agent.hatchery(&["spawn", &repo.name()]);
    run.code(1).complains(NO_FIREWALL).complains("`firewall = false` in [network]");
    assert!(run.stderr.contains("the engine is not this user's"), "{}", run.report());
    inventory::assert_nothing_left(&agent, &repo);
    agent.hatchery(&["spawn", "--dry-run", &repo.name()]).ok();
    let doctor = agent.hatchery(&["doctor"]);
    doctor.code(1);
    let check = doctored(&agent).into_iter().find(|check| check["name"] == "firewall");
    let check = check.expect("looked at");
    assert_eq!(check["verdict"], "fail", "{check}");
    assert!(check["hint"].to_string().contains("firewall = false"), "{check}");
}

/// What doctor found, whatever it makes of it.
fn doctored(agent: &HostAgent) -> Vec<Value> {
    let run = agent.hatchery(&["--json", "doctor"]);
    let found: Value = serde_json::from_str(&run.stdout).expect("JSON");
    found["checks"].as_array().expect("checks").clone()
}

#[test]
fn doctor_finds_a_readable_key_and_a_wrong_configuration() {
    let world = World::shared();
    let agent = world.own_agent("");
    agent.hatchery(&["doctor"]).ok();
    let key = agent.home().join("app.pem");
    std::fs::copy(world.forge.app_key_file(), &key).expect("a copy");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let file = agent.home().join("config.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let own = world.forge.app_key_file();
    let text = text.replace(&*own.to_string_lossy(), &key.to_string_lossy());
    std::fs::write(&file, text).expect("the configuration");
    let run = agent.hatchery(&["doctor"]);
    run.code(1).complains("does not work");
    assert!(run.stdout.contains("chmod 0600"), "{}", run.report());
    std::fs::write(&file, "[limits]\nmax_dorns = 1\n").expect("the configuration");
    let run = agent.hatchery(&["doctor"]);
    run.code(1);
    assert!(run.stdout.contains("did you mean `max_drones`?"), "{}", run.report());
}

#[test]
fn a_group_that_the_user_is_not_in_is_no_hindrance() {
    let world = World::shared();
    let agent = world.ordinary_agent("", "hatchery:x:4244:\n");
    assert_eq!(mode(&agent.control_socket()), 0o600);
    assert!(agent.log().contains("not in the group"), "{}", agent.log());
    let check = doctored(&agent).into_iter().find(|check| check["name"] == "control group");
    assert_eq!(check.expect("looked at")["verdict"], "warn");
}
