//! A Compose drone that is cut off while its project comes up: containers, volumes, networks and
//! images are the devcontainer CLI's to make there, and ours to find again.

use std::process::Command;
use std::time::Duration;

use hatchery_tests::{
    HostAgent, Inventory, Operation, Repo, Run, Turn, World, bed, inventory, wait_until,
};
use serde_json::json;

/// What the project is doing when it is cut off.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// It builds the image of a sibling.
    Builds,
    /// It has begun to create containers.
    Creates,
    /// It waits for a sibling that never gets healthy; everything is there.
    Waits,
}

const MOMENTS: [Moment; 3] = [Moment::Builds, Moment::Creates, Moment::Waits];

fn compose(moment: Moment, marker: &str) -> String {
    let dev = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let base = bed::setting("HATCHERY_TEST_IMAGE_BASE");
    let sleep = match moment {
        Moment::Builds => "300",
        Moment::Creates | Moment::Waits => "0",
    };
    let database = json!({
        "build": {
            "dockerfile_inline": format!("FROM {base}\nRUN : {marker}; sleep {sleep}\n"),
            "context": ".",
        },
        "command": "sleep infinity",
        "volumes": ["data:/data", "/anonymous"],
        "healthcheck": {"test": "false", "interval": "1s", "retries": 1000},
    });
    let cache = json!({"image": base, "command": "sleep infinity", "volumes": ["cache:/cache"]});
    let condition = match moment {
        Moment::Waits => "service_healthy",
        Moment::Builds | Moment::Creates => "service_started",
    };
    let app = json!({
        "image": dev,
        "command": "sleep infinity",
        "volumes": ["..:/workspaces/web"],
        "depends_on": {"db": {"condition": condition}, "cache": {"condition": "service_started"}},
    });
    let services = json!({"app": app, "db": database, "cache": cache});
    json!({"services": services, "volumes": {"data": {}, "cache": {}}}).to_string()
}

fn repo(world: &Turn, kind: &str, moment: Moment) -> Repo {
    let label = format!("{kind}-{}", format!("{moment:?}").to_lowercase());
    let described = Repo::describe(&label);
    let file = compose(moment, described.owner());
    described
        .file(".devcontainer/compose.yaml", &file)
        .devcontainer(&json!({
            "dockerComposeFile": "compose.yaml",
            "service": "app",
            "workspaceFolder": "/workspaces/web",
            "postCreateCommand": "sleep 300",
        }))
        .create(world)
}

/// Waits until the project is at this moment.
fn reach(moment: Moment, agent: &HostAgent, repo: &Repo, spawn: &mut Operation) {
    spawn.wait_for("create", "start");
    let project = format!("label=com.docker.compose.project=hatchery-{}", repo.drone());
    let containers = || agent.world().bed.docker(&["ps", "-aq", "--filter", &project]);
    let reached = || match moment {
        Moment::Builds => {
            let marked = ["-f", &format!("^/bin/sh -c : {}", repo.owner())];
            Run::of(Command::new("pgrep").args(marked)).code == 0
        }
        Moment::Creates => !containers().ok().is_empty(),
        Moment::Waits => containers().ok().lines().count() == 3,
    };
    wait_until(&format!("{moment:?} of {}", repo.drone()), Duration::from_secs(120), || {
        spawn.assert_under_way();
        reached().then_some(())
    });
}

#[test]
fn ctrl_c_takes_everything_back() {
    let world = World::shared();
    let agent = world.agent();
    for moment in MOMENTS {
        let repo = repo(&world, "up-int", moment);
        let before = Inventory::of(agent);
        let mut spawn = Operation::start(agent, &["spawn", &repo.name()]);
        reach(moment, agent, &repo, &mut spawn);
        spawn.interrupt();
        spawn.finish().code(130).complains("error: interrupted");
        inventory::assert_nothing_since(&before, agent, &repo);
        inventory::assert_nothing_left(agent, &repo);
    }
}

#[test]
fn a_host_agent_that_is_asked_to_end_takes_everything_back() {
    let world = World::shared();
    let agent = world.own_agent("");
    for moment in MOMENTS {
        let repo = repo(&world, "up-term", moment);
        let before = Inventory::of(&agent);
        let mut spawn = Operation::start(&agent, &["spawn", &repo.name()]);
        reach(moment, &agent, &repo, &mut spawn);
        agent.signal("TERM");
        spawn.finish().code(130).complains("error: interrupted: the host agent is stopping");
        assert_eq!(agent.end(), Some(0), "{moment:?}\n{}", agent.log());
        inventory::assert_nothing_since(&before, &agent, &repo);
        agent.start_again();
        inventory::assert_nothing_left(&agent, &repo);
    }
}

#[test]
fn a_host_agent_that_was_killed_takes_everything_back_at_its_next_start() {
    let world = World::shared();
    let agent = world.own_agent("");
    for moment in MOMENTS {
        let repo = repo(&world, "up-kill", moment);
        let before = Inventory::of(&agent);
        let mut spawn = Operation::start(&agent, &["spawn", &repo.name()]);
        reach(moment, &agent, &repo, &mut spawn);
        agent.kill();
        spawn.finish().code(1).complains("error: the host agent");
        agent.start_again();
        inventory::wait_until_gone(&agent, &repo);
        inventory::assert_nothing_since(&before, &agent, &repo);
    }
}
