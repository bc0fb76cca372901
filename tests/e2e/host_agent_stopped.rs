//! A host agent that is asked to end drains: what is under way is rolled back, whoever waits for it
//! hears of it, and nothing stays.

use hatchery_tests::{Inventory, Operation, Repo, World, inventory};
use serde_json::json;

/// Steps that a signal can hit, and which signal does; the last step hangs until then.
const STEPS: [(&str, &str); 7] = [
    ("resolve", "TERM"),
    ("clone", "INT"),
    ("build", "TERM"),
    ("create", "TERM"),
    ("boot", "INT"),
    ("hooks", "TERM"),
    ("hooks", "INT"),
];

#[test]
fn a_spawn_is_rolled_back_before_the_host_agent_ends() {
    let world = World::shared();
    let agent = world.own_agent("");
    for (step, signal) in STEPS {
        let label = format!("drain-{step}-{}", signal.to_lowercase());
        let repo = Repo::describe(&label)
            .on_dev_image_with(json!({"postCreateCommand": "sleep 300"}))
            .create(&world);
        let before = Inventory::of(&agent);
        let mut spawn = Operation::start(&agent, &["spawn", &repo.name()]);
        spawn.wait_for(step, "start");
        agent.signal(signal);
        let run = spawn.finish();
        run.code(130).complains("error: interrupted: the host agent is stopping");
        run.complains("\nhint: ");
        assert_eq!(agent.end(), Some(0), "{label}\n{}", agent.log());
        inventory::assert_nothing_since(&before, &agent, &repo);
        assert_eq!(repo.tokens(), 0, "{label}: live tokens");
        assert!(!agent.control_socket().exists(), "its socket goes with it");
        agent.start_again();
        assert_eq!(agent.state(&repo.drone()), None, "{label}");
    }
}

#[test]
fn a_rebuild_under_way_leaves_the_drone_as_it_was() {
    let world = World::shared();
    let agent = world.own_agent("");
    let repo = Repo::describe("drain-rebuild").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let (container, pid) = (drone.container(), drone.pid());
    let hang = json!({
        "image": hatchery_tests::bed::setting("HATCHERY_TEST_IMAGE_DEV"),
        "postCreateCommand": "sleep 300",
    });
    drone.sh(&format!("echo '{hang}' >{}", hatchery_tests::repo::DEVCONTAINER)).ok();
    let mut rebuild = Operation::start(&agent, &["rebuild", drone.name()]);
    rebuild.wait_for("hooks", "start");
    agent.signal("TERM");
    rebuild.finish().code(130).complains("the host agent is stopping");
    assert_eq!(agent.end(), Some(0), "{}", agent.log());
    agent.start_again();
    agent.wait_for_state(drone.name(), "running");
    assert_eq!(drone.container(), container);
    assert_ne!(drone.pid(), pid, "it was stopped for the new one, and started again");
    drone.sh("git checkout -q .").ok();
    let commit = drone.push_change("README.md", "still here");
    assert_eq!(repo.tip("main"), commit);
}
