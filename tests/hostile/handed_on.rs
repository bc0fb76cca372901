//! A connection that a drone opened and handed on to another container: who writes is looked at,
//! not only who connected.

use std::time::Duration;

use hatchery_tests::{Drone, Repo, Turn, World, bed, wait_until};
use serde_json::json;

/// Addresses of perl's strings, and system calls by number: what perl-base has no module for.
const PRELUDE: &str = r#"
use Socket;
my $arm = `uname -m` =~ /aarch64/;
sub at { unpack("Q", pack("P", $_[0])) }
sub message { pack("QIx4QQQQix4", 0, 0, at($_[0]), 1, at($_[1]), 24, 0) }
"#;

/// In the drone: waits at /shared/h, connects to the agent's socket, uses it or not, hands it on,
/// and lives until the other has done with it.
const GIVE: &str = r#"
unlink "/shared/h";
socket(my $l, PF_UNIX, SOCK_STREAM, 0) or die; bind($l, sockaddr_un("/shared/h")) or die $!;
listen($l, 1) or die; accept(my $c, $l) or die;
socket(my $a, PF_UNIX, SOCK_STREAM, 0) or die;
connect($a, sockaddr_un("/run/drone-agent/agent.sock")) or die $!;
if ($ARGV[0] eq "used") {
  syswrite($a, "GET /v1/identity HTTP/1.1\r\nHost: x\r\n\r\n") or die;
  my $got = ""; until ($got =~ /\r\n\r\n.*\}$/s) { sysread($a, my $b, 65536) or die; $got .= $b }
  $got =~ m{^HTTP/1.1 200} or die $got;
}
my $data = "x"; my $iov = pack("QQ", at($data), 1); my $control = pack("QiiiI", 20, 1, 1, fileno($a), 0);
syscall($arm ? 211 : 46, fileno($c), message($iov, $control), 0) == 1 or die $!;
sysread($c, my $end, 1);
"#;

/// In the other container: takes the descriptor, asks for a token on it, prints the answer.
const TAKE: &str = r#"
socket(my $c, PF_UNIX, SOCK_STREAM, 0) or die; connect($c, sockaddr_un("/shared/h")) or die $!;
my $data = "-"; my $iov = pack("QQ", at($data), 1); my $control = "\0" x 24;
my $message = message($iov, $control);
syscall($arm ? 212 : 47, fileno($c), $message, 0) == 1 or die $!;
my $fd = (unpack("QiiiI", $control))[3];
open(my $a, "+<&=", $fd) or die $!;
$SIG{PIPE} = "IGNORE";
syswrite($a, "GET /token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
my $got = ""; while (sysread($a, my $b, 65536)) { $got .= $b } print $got;
"#;

/// Lets `drone` hand a connection on to a container of the test's own; what that was answered.
fn handed_on(world: &Turn, drone: &Drone<'_>, mode: &str) -> String {
    let give = format!(
        "rm -f /shared/h; setsid perl -e '{PRELUDE}{GIVE}' {mode} </dev/null >/tmp/give 2>&1 &"
    );
    drone.root_sh(&give).ok();
    wait_until("the giver", Duration::from_secs(20), || {
        (drone.root_sh("test -S /shared/h").code == 0).then_some(())
    });
    let volume = format!("hatchery-{}.shared:/shared", drone.name());
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let take = format!("{PRELUDE}{TAKE}");
    let taken = world.bed.docker(&["run", "--rm", "-v", &volume, &image, "perl", "-e", &take]);
    assert_eq!(taken.code, 0, "{}\n{}", taken.report(), drone.root_sh("cat /tmp/give").report());
    taken.stdout
}

#[test]
fn a_connection_that_was_handed_on_is_refused_whether_it_was_used_or_not() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("handed")
        .on_dev_image_with(json!({"mounts": ["type=volume,source=shared,target=/shared"]}))
        .create(&world);
    let drone = agent.spawn(&repo);
    let attested = || {
        let lines = agent.audit();
        let ours = |line: &&serde_json::Value| {
            line["drone"] == drone.name()
                && line["reason"].as_str().is_some_and(|text| text.contains("not this drone's"))
        };
        lines.iter().filter(ours).count()
    };
    let answer = handed_on(&world, &drone, "unused");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(!answer.contains("ghs_") && !answer.contains(&repo.name()), "{answer}");
    wait_until("a line in the audit log", Duration::from_secs(10), || {
        (attested() == 1).then_some(())
    });
    // One that was used is over: a connection has one answer.
    assert_eq!(handed_on(&world, &drone, "used"), "");
    drone.sh("git fetch -q").ok();
}
