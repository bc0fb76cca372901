//! From a drone: the internet yes; other drones, cloud metadata, the host and its tailnet no.
//!
//! The engine's network has no uplink: a second namespace answers for the world.

use std::time::Duration;

use hatchery_tests::{Drone, Listener, Repo, World, bed, forge, listener, wait_until};

const PORT: u16 = 8099;

fn reaches(drone: &Drone<'_>, address: &str, port: u16) -> bool {
    drone.exec(&["bash", "-c", &listener::probe(address, port)]).stdout.contains("reached")
}

#[test]
fn a_drone_reaches_the_world_and_not_its_surroundings() {
    let world = World::shared();
    let agent = world.agent();
    let (outside, own) =
        (bed::setting("HATCHERY_TEST_OUTSIDE_NETNS"), bed::setting("HATCHERY_TEST_NETNS"));
    let internet = bed::setting("HATCHERY_TEST_OUTSIDE_ADDRESS");
    let tailnet = bed::setting("HATCHERY_TEST_OUTSIDE_TAILNET");
    let _world = Listener::in_namespace(&outside, "0.0.0.0", PORT);
    let _host = Listener::in_namespace(&own, "0.0.0.0", PORT);
    let repo = Repo::describe("net").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let gateway = drone.inspect("{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}");
    assert!(reaches(&drone, &internet, PORT), "the internet is reachable");
    for (what, address) in [
        ("cloud metadata", "169.254.169.254"),
        ("the host's tailnet", &tailnet),
        ("the host by the forge's address", forge::ADDRESS),
        ("the host by the gateway", &gateway),
        ("the host by its own address", "203.0.113.2"),
    ] {
        assert!(listener::reaches(&own, address, PORT), "{what} answers the host");
        assert!(!reaches(&drone, address, PORT), "{what} is reachable");
    }
    drone.sh("git fetch -q").ok(); // the forge's port is among host_ports
}

#[test]
fn drones_do_not_reach_each_other() {
    let world = World::shared();
    let agent = world.agent();
    let [one, other] =
        ["peer-one", "peer-two"].map(|label| Repo::describe(label).on_dev_image().create(&world));
    let (one, other) = (agent.spawn(&one), agent.spawn(&other));
    other.sh(&listener::in_shell(PORT)).ok();
    let address = other.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
    wait_until("the other drone's listener", Duration::from_secs(20), || {
        reaches(&other, &address, PORT).then_some(())
    });
    assert!(listener::reaches(&bed::setting("HATCHERY_TEST_NETNS"), &address, PORT));
    assert!(!reaches(&one, &address, PORT), "a drone reaches another");
}
