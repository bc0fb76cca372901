//! What root in a drone can try, each attempt made and counted. Nothing leaves the tests' own
//! network: it has no way out.

mod confinement;
mod network;
mod report;
mod requests;
mod scene;

use hatchery_tests::World;

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
    network::attempt(&scene, &mut report);
    report.conclude(env!("CARGO_TARGET_TMPDIR").as_ref(), LEAST);
}
