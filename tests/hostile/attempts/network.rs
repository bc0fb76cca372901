//! Where a drone may not connect to, and what it may not say on its network.

use std::io::BufRead as _;
use std::process::{Child, Command, Stdio};

use hatchery_tests::{Bed, Drone, bed, forge, nursery};

use super::report::Report;
use super::scene::Scene;

const CONNECT: &str = concat!(include_str!("prelude.pl"), include_str!("network.pl"));
const ECHO: &str = concat!(include_str!("prelude.pl"), include_str!("echo.pl"));
const PORT: u16 = 8103;

/// Answers on [`PORT`] until dropped.
struct Echo(Child);

impl Echo {
    /// In a network namespace of the tests.
    fn in_namespace(netns: &str) -> Self {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{netns}")).args(["setpriv", "--pdeathsig", "KILL"]);
        command.args(["perl", "-e", ECHO, &PORT.to_string()]);
        Self::start(command)
    }

    /// In a container.
    fn inside(bed: Bed, container: &str) -> Self {
        let mut command = bed.command("docker");
        command.args(["exec", container, "perl", "-e", ECHO, &PORT.to_string()]);
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = nursery::start(command);
        let mut line = String::new();
        let output = child.stdout.take().expect("a pipe");
        std::io::BufReader::new(output).read_line(&mut line).expect("a line");
        assert_eq!(line, "listening\n");
        Self(child)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A container of somebody else's on the same host.
struct Neighbour {
    bed: Bed,
    name: String,
}

impl Neighbour {
    fn start(bed: Bed) -> Self {
        let name = format!("neighbour-{}", std::process::id());
        let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
        bed.docker(&["run", "-d", "--rm", "--name", &name, &image, "sleep", "600"]).ok();
        Self { bed, name }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.bed.docker(&["rm", "-f", &self.name]);
    }
}

/// Tries all of it. Every place that it must not reach answers others.
pub fn attempt(scene: &Scene<'_>, report: &mut Report) {
    let bed = scene.world.bed;
    let neighbour = Neighbour::start(bed);
    let namespaces = ["HATCHERY_TEST_NETNS", "HATCHERY_TEST_OUTSIDE_NETNS"].map(bed::setting);
    let _listening = [
        Echo::in_namespace(&namespaces[0]),
        Echo::in_namespace(&namespaces[1]),
        Echo::inside(bed, scene.victim.name()),
        Echo::inside(bed, &neighbour.name),
    ];
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let stranger = bed.docker(&["inspect", "--format", format, &neighbour.name]).ok().to_owned();
    let (victim, gateway) = (address(&scene.victim), gateway(&scene.attacker));
    let run =
        scene.perl(CONNECT, &[&victim, &gateway], &places(scene, &victim, &gateway, &stranger));
    report.add_lines("to where it must not connect", run.ok());
}

/// `name TAB protocol TAB address TAB port` a line.
fn places(scene: &Scene<'_>, victim: &str, gateway: &str, stranger: &str) -> String {
    let (internet, tailnet) = ("HATCHERY_TEST_OUTSIDE_ADDRESS", "HATCHERY_TEST_OUTSIDE_TAILNET");
    let places = [
        ("control: the internet", bed::setting(internet)),
        ("another drone", victim.to_owned()),
        ("another drone by name", scene.victim.name().to_owned()),
        ("a container of somebody else", stranger.to_owned()),
        ("the host by the gateway", gateway.to_owned()),
        ("the host by the gateway, as IPv6", format!("::ffff:{gateway}")),
        ("the host by the address of another bridge", forge::ADDRESS.to_owned()),
        ("the host by its own address", "203.0.113.2".to_owned()),
        ("the host's loopback", "127.0.0.1".to_owned()),
        ("the host's loopback, as IPv6", "::1".to_owned()),
        ("cloud metadata", "169.254.169.254".to_owned()),
        ("a link-local address", "169.254.1.1".to_owned()),
        ("the host's tailnet", bed::setting(tailnet)),
        ("all neighbours, by broadcast", "255.255.255.255".to_owned()),
        ("all neighbours, by multicast", "224.0.0.1".to_owned()),
        ("the host by link-local IPv6", "fe80::1%eth0".to_owned()),
    ];
    let mut text = String::new();
    for (name, address) in places {
        for protocol in ["tcp", "udp"] {
            text += &format!("{name} ({protocol})\t{protocol}\t{address}\t{PORT}\n");
        }
    }
    for (service, port) in [("SSH", 22), ("Docker", 2375), ("Docker by TLS", 2376), ("names", 53)] {
        text += &format!("the host's port for {service}\ttcp\t{gateway}\t{port}\n");
    }
    text
}

fn address(drone: &Drone<'_>) -> String {
    drone.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
}

fn gateway(drone: &Drone<'_>) -> String {
    drone.inspect("{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}")
}
