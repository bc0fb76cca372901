//! What root in a drone can try, each attempt made and counted. Nothing leaves the tests' own
//! network: it has no way out.

mod commands;
mod confinement;
mod hex;
mod network;
mod report;
mod requests;
mod scene;
mod tree;

use hatchery_tests::{HostAgent, Repo, World};

use report::Report;
use scene::Scene;

/// Fewer attempts than this is a suite that lost some.
const LEAST: usize = 100;

#[test]
fn nothing_that_is_attempted_inside_a_drone_is_granted() {
    let world = World::shared();
    let agent = world.own_agent(scene::LIMITS);
    let scene = Scene::set(&world, &agent);
    let mut report = Report::default();
    requests::attempt(&scene, &mut report);
    confinement::attempt(&scene, &mut report);
    let gone = Repo::describe("gone").on_dev_image().create(&world);
    let token = slain(&agent, &gone);
    commands::attempt(&scene, (&gone.name(), &token), &mut report);
    network::attempt(&scene, &mut report);
    tree::attempt(&scene, &mut report);
    report.conclude(env!("CARGO_TARGET_TMPDIR").as_ref(), LEAST);
}

/// A token of a drone that is no more.
fn slain(agent: &HostAgent, repo: &Repo) -> String {
    let drone = agent.spawn(repo);
    let token = drone.sh("drone-agent token").ok().to_owned();
    drone.slay(&[]).ok();
    token
}
