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

#[test]
fn a_repository_that_wants_raw_sockets_gets_them_on_a_network_of_its_own() {
    let world = World::shared();
    let agent = world.agent();
    let keys = serde_json::json!({"capAdd": ["NET_RAW"]});
    let repo = Repo::describe("raw").on_dev_image_with(keys).create(&world);
    let drone = agent.spawn(&repo);
    let raw = "perl -e 'socket(my $s, 17, 3, 768) or die $!; print qq(raw)'";
    assert_eq!(drone.root_sh(raw).ok(), "raw");
    let networks =
        drone.inspect("{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}");
    assert_eq!(networks, format!("hatchery-{}", drone.name()));
    drone.sh("git fetch -q").ok();
    agent.hatchery(&["rebuild", drone.name()]).ok();
    assert_eq!(drone.root_sh(raw).ok(), "raw");
    drone.slay(&[]).ok();
    hatchery_tests::inventory::assert_nothing_left(agent, &repo);
}

/// A program with the file capability for raw sockets (13), permitted and effective, as Debian's ping has it.
const WITH_CAPABILITY: &str = "RUN cp /bin/echo /usr/bin/ping && perl -e \
    'my ($f, $n) = (q(/usr/bin/ping), q(security.capability)); \
    my $v = pack(q(V5), 0x02000001, 1<<13, 0, 0, 0); my $call = `uname -m` =~ /x86/ ? 188 : 5; \
    syscall($call, $f, $n, $v, 20, 0) == 0 or die $!'";

#[test]
fn ping_works_without_raw_sockets() {
    let world = World::shared();
    let agent = world.agent();
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let dockerfile = format!("FROM {image}\n{WITH_CAPABILITY}\n");
    let repo = Repo::describe("ping")
        .file(".devcontainer/Dockerfile", &dockerfile)
        .devcontainer(&serde_json::json!({"build": {"dockerfile": "Dockerfile"}}))
        .create(&world);
    let drone = agent.spawn(&repo);
    assert_eq!(drone.sh("ping works").ok(), "works");
}
