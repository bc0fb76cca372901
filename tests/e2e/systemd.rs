//! Under a service manager a host agent may end in any way: no connection is refused meanwhile, and
//! the next one takes over what the one before had minted.

use std::process::{Child, Stdio};
use std::time::Duration;

use hatchery_tests::{Drone, HostAgent, Repo, Run, World, http, inventory, wait_until};

/// How often the host agent is killed under a client.
const KILLS: usize = 5;

/// Clients in the drone.
const CLIENTS: usize = 3;

/// What a client notes of a connection that is refused.
const REFUSED: &str = "refused";

/// Longest wait for something that takes moments.
const LIMIT: Duration = Duration::from_secs(60);

/// Asks without a pause until told to stop, a new connection each time, and notes in the file that
/// is its argument how each fared. Perl is in every Debian.
const CLIENT: &str = r#"
    use IO::Socket::UNIX;
    open(my $notes, ">>", $ARGV[0]) or die;
    $notes->autoflush(1);
    $SIG{PIPE} = "IGNORE";
    until (-e "/tmp/stop") {
        my $socket = IO::Socket::UNIX->new(Peer => "/run/drone-agent/agent.sock");
        print $notes "refused: $!\n" and next unless $socket;
        print $socket "GET /v1/identity HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        my $status = <$socket> // "$!\n";
        print $notes $status =~ / 200 / ? "served\n" : "cut: $status";
    }
"#;

/// A client that runs in a drone.
struct Client<'a> {
    drone: &'a Drone<'a>,
    file: String,
    process: Child,
}

impl<'a> Client<'a> {
    fn start(agent: &HostAgent, drone: &'a Drone<'a>, number: usize) -> Self {
        let file = format!("/tmp/client-{number}");
        drone.sh(&format!(": >{file}")).ok();
        let args = ["exec", drone.name(), "--", "perl", "-e", CLIENT, &file];
        let mut command = agent.hatchery_command(&args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { drone, file, process: command.spawn().expect("a client") }
    }

    /// How each connection fared so far. Asked of Docker itself: the host agent may be away.
    fn notes(&self, agent: &HostAgent) -> Vec<String> {
        let bed = agent.world().bed;
        let run = bed.docker(&["exec", self.drone.name(), "cat", &self.file]);
        run.ok().lines().map(str::to_owned).collect()
    }

    /// Waits for further answers: the host agent serves it again.
    fn wait_for_more(&self, agent: &HostAgent) {
        let before = served(&self.notes(agent));
        wait_until("further answers", LIMIT, || {
            (served(&self.notes(agent)) > before + 10).then_some(())
        });
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn served(notes: &[String]) -> usize {
    notes.iter().filter(|note| *note == "served").count()
}

#[test]
fn no_connection_is_refused_while_the_host_agent_is_killed_and_started_again() {
    let world = World::shared();
    let agent = world.own_service("");
    let repo = Repo::describe("unrefused").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| Client::start(&agent, &drone, number)).collect();
    for kill in 0..KILLS {
        clients.iter().for_each(|client| client.wait_for_more(&agent));
        if kill == 0 {
            assert_eq!(agent.stop(), Some(0), "one that is asked to end is no other case");
        } else {
            agent.kill();
        }
        // They ask on while there is nobody: each has one question more in the queue.
        agent.start_again();
    }
    clients.iter().for_each(|client| client.wait_for_more(&agent));
    drone.sh("touch /tmp/stop").ok();
    for mut client in clients {
        client.process.wait().expect("a child of ours");
        let notes = client.notes(&agent);
        let others: Vec<_> = notes.iter().filter(|note| *note != "served").collect();
        let refused = others.iter().filter(|note| note.starts_with(REFUSED)).count();
        assert_eq!(refused, 0, "of {} connections: {others:?}", notes.len());
        println!("{} connections, refused: {refused}, cut: {}", notes.len(), others.len());
        // What was being answered is cut off, and no more than that.
        assert!(others.len() <= KILLS, "of {} connections: {others:?}", notes.len());
    }
    let sockets = agent.manager().stored().iter().filter(|it| it.starts_with("drone-")).count();
    assert_eq!(sockets, 1, "adopted, not kept anew each time: {:?}", agent.manager().stored());
    drone.push_change("README.md", "after it all");
}

#[test]
fn without_a_service_manager_a_connection_is_refused_meanwhile() {
    let world = World::shared();
    let agent = world.own_agent("");
    let repo = Repo::describe("refused").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    agent.kill();
    let ask = "use IO::Socket::UNIX; \
               print IO::Socket::UNIX->new(Peer => '/run/drone-agent/agent.sock') ? 'ok' : 'refused'";
    let run = world.bed.docker(&["exec", drone.name(), "perl", "-e", ask]);
    assert_eq!(run.ok(), REFUSED);
    agent.start_again();
}

#[test]
fn slay_takes_back_what_a_killed_host_agent_minted() {
    let world = World::shared();
    let agent = world.own_service("");
    let repo = Repo::describe("left").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    drone.push_change("README.md", "with a token");
    let minted = repo.tokens();
    assert!(minted > 0);
    agent.kill();
    agent.start_again();
    assert_eq!(repo.tokens(), minted, "they live on while the drone does");
    drone.slay(&[]).ok();
    wait_until("the forge to refuse all of them", LIMIT, || (repo.tokens() == 0).then_some(()));
    inventory::assert_nothing_left(&agent, &repo);
    wait_until("nothing to be kept", LIMIT, || agent.manager().stored().is_empty().then_some(()));
}

#[test]
fn a_slay_cut_off_by_a_kill_ends_with_every_token_taken_back() {
    let world = World::shared();
    let agent = world.own_service("");
    let repo = Repo::describe("left-slay").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    assert!(repo.tokens() > 0);
    let mut slay = hatchery_tests::Operation::start(&agent, &["slay", drone.name()]);
    slay.wait_for("stop", "start");
    agent.kill();
    slay.finish();
    agent.start_again();
    inventory::wait_until_gone(&agent, &repo);
    wait_until("the forge to refuse all of them", LIMIT, || (repo.tokens() == 0).then_some(()));
}

#[test]
fn the_passed_control_socket_outlives_the_host_agent() {
    let world = World::shared();
    let agent = world.own_service("");
    agent.manager().wait_for("READY=1");
    assert_eq!(agent.stop(), Some(0));
    assert!(agent.manager().told().contains(&"STOPPING=1".to_owned()));
    assert!(agent.control_socket().exists(), "it is the service manager's");
    let socket = agent.control_socket();
    let asking = std::thread::spawn(move || {
        http::request(&socket, "GET", "/v1/version", "").map(|it| it.status)
    });
    agent.start_again();
    assert_eq!(asking.join().expect("a thread").expect("an answer"), 200, "it waited");
    agent.kill();
    agent.start_again();
    agent.hatchery(&["list"]).ok();
}

#[test]
fn a_descriptor_of_nobodys_is_let_go() {
    let world = World::shared();
    let agent = world.own_service("");
    let repo = Repo::describe("orphaned").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let kept = format!("drone-{}.", drone.name());
    assert!(agent.manager().stored().iter().any(|name| name.starts_with(&kept)));
    agent.kill();
    // As when the state directory was lost, or put back from an older copy.
    let socket = agent.state_dir().join("sockets").join(drone.name()).join("agent.sock");
    let other = std::os::unix::net::UnixListener::bind(socket.with_file_name("other"));
    let _other = other.expect("another socket");
    std::fs::rename(socket.with_file_name("other"), &socket).expect("in its place");
    agent.start_again();
    let now = agent.manager().stored();
    assert_eq!(now.iter().filter(|name| name.starts_with(&kept)).count(), 1, "{now:?}");
    drone.sh("git fetch -q").ok();
}

/// The usual limits of the tests, with `max_drones` and whatever else.
fn limits(max_drones: u32, more: &str) -> String {
    format!(
        "[limits]\nmax_drones = {max_drones}\nfree_memory_floor = \"64MiB\"\n\
         free_disk_floor = \"64MiB\"\n{more}"
    )
}

/// SIGHUP, and its end.
fn reload(agent: &HostAgent) {
    agent.manager().forget_told();
    agent.hang_up();
    agent.manager().wait_for("READY=1");
    let told = agent.manager().told();
    assert_eq!(told.first().map(String::as_str), Some("RELOADING=1"), "{told:?}");
    assert!(told.iter().any(|one| one.starts_with("MONOTONIC_USEC=")), "{told:?}");
}

#[test]
fn a_new_configuration_counts_without_a_restart_and_a_broken_one_changes_nothing() {
    let world = World::alone();
    let agent = world.own_service(&limits(0, ""));
    let [one, two] = ["reload-one", "reload-two"]
        .map(|label| Repo::describe(label).on_dev_image().create(&world));
    let _first = agent.spawn(&one);
    let spawn = || -> Run { agent.hatchery(&["spawn", &two.name()]) };

    agent.configure(&limits(1, "[programs]\ngit = \"/opt/git\"\n"));
    reload(&agent);
    spawn().code(5).complains("max_drones");
    let log = agent.log();
    assert!(log.contains("in force now: [limits]"), "{log}");
    assert!(log.contains("takes a restart of the host agent: [programs]"), "{log}");

    agent.configure(&limits(0, "[drone\n"));
    reload(&agent);
    spawn().code(5).complains("max_drones");
    let told = agent.manager().told().join("\n");
    assert!(told.contains("STATUS=") && told.contains("configuration file is wrong"), "{told}");
    assert!(agent.log().contains("config.toml:"), "the place is in the log:\n{}", agent.log());

    agent.configure(&limits(0, ""));
    reload(&agent);
    let _second = agent.spawn(&two);
}
