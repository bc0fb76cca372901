//! IPv6: Docker gives drones none by default, and where somebody gives them some, they reach no
//! more by it than by IPv4.

use std::process::Command;
use std::time::Duration;

use hatchery_tests::{Drone, Repo, Run, World, bed, listener, nursery, wait_until};

/// One port that drones may reach on the host (the forge's, by IPv4) and one that they may not.
const OPEN: u16 = 443;
const CLOSED: u16 = 8106;

/// The host on the drones' bridge, and on its own uplink; the world behind that.
const BRIDGE: &str = "fd00:6::1";
const HOST: &str = "2001:db8:6::2";
const WORLD: &str = "2001:db8:6::1";
/// Metadata services of clouds that speak IPv6.
const METADATA: [&str; 2] = ["fd00:ec2::254", "fd20:ce::254"];

const SCRIPT: &str = "use IO::Socket::IP; my $s = IO::Socket::IP->new(LocalAddr => '::', LocalPort \
                      => $ARGV[0], V6Only => 1, Listen => 5, ReuseAddr => 1) or die $@; while (my \
                      $c = $s->accept) { print $c \"reached\\n\"; close $c }";

/// Runs a shell script in a network namespace, given as `nsenter` takes it.
fn within(namespace: &str, script: &str) -> Run {
    Run::of(Command::new("nsenter").args([namespace, "sh", "-euc", script]))
}

/// Listens on `port` of every IPv6 address of a network namespace, until the returned is dropped.
struct Listening(std::process::Child);

impl Listening {
    fn start(namespace: &str, port: u16) -> Self {
        let mut command = Command::new("nsenter");
        command.args([namespace, "setpriv", "--pdeathsig", "KILL", "perl", "-e", SCRIPT]);
        command.arg(port.to_string());
        let listening = Self(nursery::start(command));
        wait_until("a listener", Duration::from_secs(20), || {
            reaches_from(namespace, "::1", port).then_some(())
        });
        listening
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn reaches_from(namespace: &str, address: &str, port: u16) -> bool {
    let probe = listener::probe(address, port);
    Run::of(Command::new("nsenter").args([namespace, "bash", "-c", &probe]))
        .stdout
        .contains("reached")
}

fn reaches(drone: &Drone<'_>, address: &str, port: u16) -> bool {
    drone.exec(&["bash", "-c", &listener::probe(address, port)]).stdout.contains("reached")
}

/// The link-local address of an interface.
fn link_local(namespace: &str, interface: &str) -> String {
    wait_until("a link-local address", Duration::from_secs(20), || {
        let shown = within(namespace, &format!("ip -6 -o addr show dev {interface} scope link"));
        let address = shown.ok().split_whitespace().find(|word| word.starts_with("fe80:"))?;
        Some(address.split('/').next()?.to_owned())
    })
}

/// Gives an interface IPv6, as an engine does whose networks have it.
fn enable(namespace: &str, interface: &str, address: &str) {
    let conf = format!("/proc/sys/net/ipv6/conf/{interface}");
    within(
        namespace,
        &format!(
            "echo 0 >{conf}/accept_dad; echo 0 >{conf}/disable_ipv6; \
             ip -6 addr replace {address}/64 dev {interface} nodad"
        ),
    )
    .ok();
}

/// The network of the engine with IPv6 and a world behind it; taken back when dropped.
struct Ipv6 {
    own: String,
    outside: String,
}

impl Ipv6 {
    fn set_up() -> Self {
        let [own, outside] = ["HATCHERY_TEST_NETNS", "HATCHERY_TEST_OUTSIDE_NETNS"]
            .map(|name| format!("--net=/run/netns/{}", bed::setting(name)));
        let network = Self { own, outside };
        enable(&network.own, "hatchery0", BRIDGE);
        enable(&network.own, "outside", HOST);
        enable(&network.outside, "inside", WORLD);
        let [one, other] = METADATA;
        within(&network.own, "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding").ok();
        within(
            &network.own,
            &format!("for to in {one} {other}; do ip -6 route replace $to/128 via {WORLD}; done"),
        )
        .ok();
        within(
            &network.outside,
            &format!(
                "for at in {one} {other}; do ip -6 addr replace $at/128 dev inside nodad; done; \
                 ip -6 route replace fd00:6::/64 via {HOST}"
            ),
        )
        .ok();
        network
    }
}

impl Drop for Ipv6 {
    fn drop(&mut self) {
        let [one, other] = METADATA;
        let own = format!(
            "ip -6 addr del {BRIDGE}/64 dev hatchery0; ip -6 addr del {HOST}/64 dev outside; \
             ip -6 route del {one}; ip -6 route del {other}; \
             echo 0 >/proc/sys/net/ipv6/conf/all/forwarding; true"
        );
        let outside = format!(
            "ip -6 addr del {WORLD}/64 dev inside; ip -6 addr del {one} dev inside; \
             ip -6 addr del {other} dev inside; ip -6 route del fd00:6::/64; true"
        );
        for (namespace, script) in [(&self.own, own), (&self.outside, outside)] {
            let _ = Command::new("nsenter").args([namespace, "sh", "-c", &script]).output();
        }
    }
}

#[test]
fn docker_gives_drones_no_ipv6_and_the_rules_are_there_all_the_same() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("no-six").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let conf = "/proc/sys/net/ipv6/conf/eth0/disable_ipv6";
    assert_eq!(drone.sh(&format!("cat {conf}")).ok(), "1");
    let addresses = drone.sh("grep -v ' lo$' /proc/net/if_inet6 || true");
    assert_eq!(addresses.ok(), "", "an address other than loopback's");
    assert_ne!(
        drone.root_sh(&format!("echo 0 >{conf}")).code,
        0,
        "root of the drone switches it on"
    );
    let own = format!("--net=/run/netns/{}", bed::setting("HATCHERY_TEST_NETNS"));
    let rules = within(&own, "ip6tables -w 10 -S");
    for rule in [
        "-A INPUT -j HATCHERY-INPUT",
        "-A HATCHERY-INPUT -i hatchery0 -m conntrack --ctstate NEW -j DROP",
        "-A HATCHERY-FORWARD -d fe80::/10 -i hatchery0 -m conntrack --ctstate NEW -j DROP",
        "-A HATCHERY-FORWARD -d fd7a:115c:a1e0::/48 -i hatchery0 -m conntrack --ctstate NEW -j DROP",
        "-A HATCHERY-FORWARD -i hatchery0 -o hatchery0 -j DROP",
    ] {
        assert!(rules.ok().lines().any(|line| line == rule), "no {rule}\n{}", rules.ok());
    }
}

#[test]
fn with_ipv6_a_drone_reaches_the_world_and_not_its_surroundings() {
    let world = World::alone();
    let agent = world.agent();
    let repos =
        ["six-one", "six-two"].map(|label| Repo::describe(label).on_dev_image().create(&world));
    let (drone, other) = (agent.spawn(&repos[0]), agent.spawn(&repos[1]));
    let network = Ipv6::set_up();
    let [one, two] = [&drone, &other].map(|drone| format!("--net=/proc/{}/ns/net", drone.pid()));
    for (namespace, address) in [(&one, "fd00:6::11"), (&two, "fd00:6::12")] {
        enable(namespace, "eth0", address);
        within(namespace, &format!("ip -6 route replace default via {BRIDGE}")).ok();
    }
    let _listening = [
        Listening::start(&network.own, OPEN),
        Listening::start(&network.own, CLOSED),
        Listening::start(&network.outside, CLOSED),
        Listening::start(&one, CLOSED),
        Listening::start(&two, CLOSED),
    ];
    let bridge = format!("{}%eth0", link_local(&network.own, "hatchery0"));
    assert!(reaches(&drone, WORLD, CLOSED), "the world is reachable");
    for address in [BRIDGE, &bridge] {
        assert!(reaches(&drone, address, OPEN), "{address} is no host of ours: the probe is wrong");
        assert!(!reaches(&drone, address, CLOSED), "the host is reachable by {address}");
    }
    assert!(!reaches(&drone, HOST, CLOSED), "the host is reachable by its own address");
    for address in METADATA {
        assert!(reaches_from(&network.own, address, CLOSED), "{address} answers the host");
        assert!(!reaches(&drone, address, CLOSED), "cloud metadata at {address} is reachable");
    }
    let neighbour = format!("{}%eth0", link_local(&two, "eth0"));
    for address in ["fd00:6::12", &neighbour] {
        assert!(!reaches(&drone, address, CLOSED), "another drone is reachable by {address}");
    }
    // Who is let in gets an answer: replies of drones pass.
    for address in ["fd00:6::11", "fd00:6::12"] {
        assert!(reaches_from(&network.own, address, CLOSED), "{address} does not answer the host");
        assert!(
            reaches_from(&network.outside, address, CLOSED),
            "{address} does not answer the world"
        );
    }
}
