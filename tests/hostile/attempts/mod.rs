//! What root in a drone can try, each attempt made and counted. Nothing leaves the tests' own
//! network: it has no way out.

mod commands;
mod confinement;
mod expired;
mod hex;
mod labels;
mod network;
mod report;
mod requests;
mod scene;
mod tree;

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
    // Side by side what does not disturb each other.
    let (gone, token) = std::thread::scope(|scope| {
        let aside = scope.spawn(|| {
            let mut report = Report::default();
            let gone = labels::spoofer(&scene);
            let token = labels::attempt(&scene, &gone, &mut report);
            network::attempt(&scene, &mut report);
            (gone, token, report)
        });
        requests::attempt(&scene, &mut report);
        confinement::attempt(&scene, &mut report);
        let (gone, token, more) = aside.join().expect("the attempts beside");
        report.extend(more);
        (gone, token)
    });
    commands::attempt(&scene, (&gone.name(), &token), &mut report);
    confinement::starve(&scene, &mut report);
    tree::attempt(&scene, &mut report);
    report.conclude("hostile-attempts.txt", LEAST);
}
