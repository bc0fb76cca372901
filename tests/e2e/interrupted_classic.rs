//! A build of the classic builder that is cut off: steps that were done are images without a name.

use std::process::Command;
use std::time::Duration;

use hatchery_tests::{HostAgent, Inventory, Operation, Repo, Run, World, inventory, wait_until};

use super::slay_classic::staged;

/// Starts a spawn and waits until its build sleeps.
fn sleeping(agent: &HostAgent, repo: &Repo) -> Operation {
    let spawn = Operation::start(agent, &["spawn", &repo.name()]);
    let marked = ["-f", &format!("^/bin/sh -c : {}", repo.owner())];
    wait_until("the build to sleep", Duration::from_secs(120), || {
        (Run::of(Command::new("pgrep").args(marked)).code == 0).then_some(())
    });
    spawn
}

#[test]
fn a_build_that_is_cut_off_leaves_no_image() {
    let world = World::classic_alone();
    let agent = world.own_agent("");
    let before = Inventory::of(&agent);
    for kill in [false, true] {
        let described = staged(&format!("left-cut-{kill}"), "true");
        let step = format!(": {}; sleep 300", described.owner());
        let repo = staged(&format!("left-cut-{kill}"), &step).create(&world);
        let spawn = sleeping(&agent, &repo);
        if kill {
            agent.kill();
            spawn.finish().code(1);
            agent.start_again();
            inventory::wait_until_gone(&agent, &repo);
        } else {
            spawn.interrupt();
            spawn.finish().code(130).complains("error: interrupted");
            inventory::assert_nothing_left(&agent, &repo);
        }
        // The engine notices that its client is gone when it does.
        wait_until("the engine to end the build", Duration::from_secs(60), || {
            let running = world.bed.docker(&["ps", "-q"]);
            running.ok().is_empty().then_some(())
        });
        inventory::assert_as_before(&before, &agent);
    }
}
