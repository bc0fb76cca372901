//! The host agent is killed a hundred times at random moments, under load: no grant, no line of the
//! audit log and no drone is lost.
//!
//! What counts as lost is what somebody was told before the kill: a client its answer, a user that
//! a grant is in force. `HATCHERY_TEST_SEED` repeats a run's choices, though not its moments.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hatchery_tests::{Drone, HostAgent, Repo, World, nursery, wait_until};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const KILLS: usize = 100;

/// Drones, each with a client.
const DRONES: usize = 3;

/// Repositories that are connected and disconnected meanwhile.
const LIBRARIES: usize = 3;

/// Questions of a client that may be open at once: fewer than one drone's share of the log.
const OPEN: usize = 60;

/// Longest wait for a client's answer.
const LIMIT: Duration = Duration::from_secs(60);

/// Reads how many pairs of questions it may ask, and asks them one after the other, each until it is
/// answered: for a token, and for a repository that has the pair's number for a name. Says what came
/// of each.
const CLIENT: &str = r#"
    use IO::Socket::UNIX;
    $| = 1; $SIG{PIPE} = "IGNORE";
    sub ask {
        my ($target, $status) = @_;
        while (1) {
            select undef, undef, undef, 0.001;
            my $socket = IO::Socket::UNIX->new(Peer => "/run/drone-agent/agent.sock") or next;
            print $socket "GET $target HTTP/1.1\r\nHost: x\r\n\r\n" or next;
            my $answer = join "", <$socket>;
            my ($got, $body) = $answer =~ m{^HTTP/1\.1 (\d+) .*?\r\n\r\n(.+)$}s or next;
            return $body if $got == $status;
            print "odd\t$got\t$target\n";
            select undef, undef, undef, 0.05;
        }
    }
    my $number = 0;
    while (my $pairs = <STDIN>) {
        for (1 .. $pairs) {
            $number++;
            my $token = ask("/token", 200);
            print "token\t$number\t$token\n";
            ask("/v1/token?repo=nobody/r$number", 403);
            print "refused\t$number\n";
        }
    }
"#;

/// Splitmix64: the same numbers from the same seed.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
        let given = std::env::var("HATCHERY_TEST_SEED").ok();
        let seed = given.map_or_else(
            || u64::try_from(now() & u128::from(u64::MAX)).expect("64 bits"),
            |text| text.parse().expect("HATCHERY_TEST_SEED is a number"),
        );
        say(&format!("HATCHERY_TEST_SEED={seed}"));
        Self(seed)
    }

    /// Another one with numbers of its own.
    fn fork(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("small");
        usize::try_from(self.next() % bound).expect("below a usize")
    }

    /// Lets less than `most` pass, to the microsecond.
    fn moment(&mut self, most: Duration) {
        let micros = usize::try_from(most.as_micros()).expect("short");
        let until = Instant::now() + Duration::from_micros(self.below(micros) as u64);
        while Instant::now() < until {
            std::thread::yield_now();
        }
    }
}

/// What all clients were told so far, in order.
#[derive(Default)]
struct Told {
    lines: Mutex<Vec<(usize, String)>>,
    more: Condvar,
}

impl Told {
    fn lines(&self) -> MutexGuard<'_, Vec<(usize, String)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(&self, count: usize) {
        let waited = self.more.wait_timeout_while(self.lines(), LIMIT, |it| it.len() < count);
        let (lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(lines.len() >= count, "answer {count} did not come within {LIMIT:?}");
    }

    fn of(&self, client: usize) -> Vec<String> {
        let lines = self.lines();
        lines.iter().filter(|(of, _)| *of == client).map(|(_, line)| line.clone()).collect()
    }
}

/// A client in a drone.
struct Client {
    process: Child,
    /// Its end ends the client.
    questions: Option<ChildStdin>,
    reader: std::thread::JoinHandle<()>,
    asked: usize,
}

impl Client {
    fn start(world: &World, drone: &Drone<'_>, number: usize, told: &Arc<Told>) -> Self {
        let mut command = world.bed.command("docker");
        command.args(["exec", "-i", drone.name(), "perl", "-e", CLIENT]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = nursery::start(command);
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        let (questions, told) = (process.stdin.take(), Arc::clone(told));
        let reader = std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                told.lines().push((number, line));
                told.more.notify_all();
            }
        });
        Self { process, questions, reader, asked: 0 }
    }

    /// Has it ask so many pairs more.
    fn ask(&mut self, pairs: usize) {
        self.asked += 2 * pairs;
        let questions = self.questions.as_mut().expect("it asks still");
        writeln!(questions, "{pairs}").expect("the client listens");
    }

    fn end(mut self) {
        drop(self.questions.take());
        self.process.wait().expect("a child of ours");
        self.reader.join().expect("the reader ends with its pipe");
    }
}

/// Who connects and disconnects repositories without a pause, and what it was told.
struct User<'a> {
    agent: &'a HostAgent,
    drone: &'a str,
    libraries: Vec<String>,
    /// Changes that are in force, in order: repository and whether it was granted.
    done: Vec<(String, bool)>,
    /// Changes that were cut off.
    cut: usize,
    /// What must be granted now; a repository whose change was cut off is missing.
    known: BTreeMap<String, bool>,
}

impl User<'_> {
    fn work(&mut self, random: &mut Random, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            let library = self.libraries[random.below(self.libraries.len())].clone();
            let Some(granted) = self.known.get(&library).copied() else {
                self.look();
                continue;
            };
            let verb = if granted { "disconnect" } else { "connect" };
            let run = self.agent.hatchery(&["repo", verb, self.drone, &library]);
            if run.code == 0 {
                self.known.insert(library.clone(), !granted);
                self.done.push((library, !granted));
            } else {
                self.known.remove(&library);
                self.cut += 1;
            }
            self.look();
        }
        wait_until("a last look at the grants", LIMIT, || self.look());
    }

    /// Compares what is granted with what must be. `None` when the host agent is away.
    fn look(&mut self) -> Option<()> {
        let run = self.agent.hatchery(&["--json", "repo", "list", self.drone]);
        if run.code != 0 {
            return None;
        }
        let listed = run.ok();
        for library in &self.libraries {
            let granted = listed.contains(&format!("\"{library}\""));
            let must = *self.known.entry(library.clone()).or_insert(granted);
            assert_eq!(granted, must, "{library} after {:?} in {listed}", self.done);
        }
        Some(())
    }

    /// Every change that is in force has its line, in order.
    fn assert_all_told(&self, audit: &[Value]) {
        for library in &self.libraries {
            let lines = audit.iter().filter(|line| line["repository"] == library.as_str());
            let mut lines = lines.filter_map(|line| match line["event"].as_str() {
                Some("grant") => Some(true),
                Some("withdraw") => Some(false),
                _ => None,
            });
            let done = self.done.iter().filter(|(of, _)| of == library);
            for (at, (_, granted)) in done.enumerate() {
                let told = lines.any(|line| line == *granted);
                assert!(told, "change {at} of {library} to {granted} is not in the log");
            }
        }
    }
}

/// Where in the log of one drone something is told.
struct Trail<'a>(Vec<&'a Value>);

impl Trail<'_> {
    fn refusals(&self, number: usize) -> impl Iterator<Item = usize> {
        let name = format!("nobody/r{number}");
        let is =
            move |line: &Value| line["event"] == "refuse" && line["repository"] == name.as_str();
        self.0.iter().enumerate().filter(move |(_, line)| is(line)).map(|(at, _)| at)
    }

    fn tokens(&self, event: &str, sha256: &str) -> impl Iterator<Item = usize> {
        let is = move |line: &Value| {
            let prefix = line["token_sha256_prefix"].as_str();
            line["event"] == event && prefix.is_some_and(|prefix| sha256.starts_with(prefix))
        };
        self.0.iter().enumerate().filter(move |(_, line)| is(line)).map(|(at, _)| at)
    }

    /// Each answer that a client got has its line, between those of the answers before and after:
    /// it asks one thing after the other. Returns the tokens' hashes.
    fn assert_tells(&self, answers: &[String]) -> BTreeSet<String> {
        let (mut begin, mut tokens) = (0, BTreeSet::new());
        for answer in answers {
            let fields: Vec<&str> = answer.split('\t').collect();
            let number = || fields[1].parse::<usize>().expect("a number");
            match fields[0] {
                "token" => {
                    let sha256 = hex(&Sha256::digest(fields[2]));
                    let end = self.refusals(number()).next().unwrap_or(self.0.len());
                    let told = self.tokens("token", &sha256).any(|at| (begin..end).contains(&at));
                    assert!(told, "token {} is not in the log between {begin} and {end}", number());
                    let minted = self.tokens("mint", &sha256).next();
                    assert!(minted.is_some_and(|at| at < end), "no mint of token {}", number());
                    tokens.insert(sha256);
                }
                "refused" => {
                    let told = self.refusals(number()).last();
                    begin = told.unwrap_or_else(|| panic!("refusal {} is not told", number()));
                }
                other => assert_eq!(other, "odd", "{answer}"),
            }
        }
        tokens
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Kills, and starts again; some are killed while they start.
fn kill_a_hundred_times(
    agent: &HostAgent,
    clients: &mut [Client],
    told: &Told,
    random: &mut Random,
) {
    for kill in 0..KILLS {
        let mut open = 0;
        for (number, client) in clients.iter_mut().enumerate() {
            let left = client.asked - told.of(number).iter().filter(|it| !is_odd(it)).count();
            client.ask(OPEN.saturating_sub(left).div_ceil(2));
            open += OPEN;
        }
        let before = told.lines().len();
        told.wait_for(before + 1 + random.below(open / 2));
        random.moment(Duration::from_millis(1));
        agent.kill();
        if kill % 4 == 3 {
            agent.start_and_leave();
            random.moment(Duration::from_millis(100));
            agent.kill();
        }
        agent.start_again();
    }
}

/// Says something whether the test fails or not.
fn say(text: &str) {
    std::io::stdout().write_all(format!("{text}\n").as_bytes()).expect("standard output");
}

fn is_odd(line: &str) -> bool {
    line.starts_with("odd\t")
}

/// All clients ask and a user changes grants meanwhile.
fn kill_under_load(agent: &HostAgent, clients: &mut [Client], told: &Told, user: &mut User<'_>) {
    let mut random = Random::seeded();
    let (over, mut users_random) = (AtomicBool::new(false), random.fork());
    std::thread::scope(|scope| {
        let working = scope.spawn(|| user.work(&mut users_random, &over));
        let killing = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            kill_a_hundred_times(agent, clients, told, &mut random);
        }));
        over.store(true, Ordering::Relaxed);
        working.join().expect("every grant is as it was told");
        killing.expect("a hundred kills");
    });
}

#[test]
fn nothing_that_was_said_is_lost_in_a_hundred_kills() {
    let world = World::shared();
    let agent = world.own_service("");
    let repos: Vec<Repo> = (0..DRONES)
        .map(|number| Repo::describe(&format!("killed-{number}")).on_dev_image().create(&world))
        .collect();
    let library = |number| {
        let beside = Repo::describe("library").beside(&repos[0]).named(&format!("l{number}"));
        beside.create(&world).name()
    };
    let libraries: Vec<String> = (0..LIBRARIES).map(library).collect();
    let drones: Vec<Drone<'_>> = repos.iter().map(|repo| agent.spawn(repo)).collect();
    let alive = || -> Vec<_> { drones.iter().map(|it| (it.container(), it.pid())).collect() };
    let before = alive();
    let told = Arc::<Told>::default();
    let mut clients: Vec<Client> = drones
        .iter()
        .enumerate()
        .map(|(number, drone)| Client::start(&world, drone, number, &told))
        .collect();
    let (done, cut, known) = (Vec::new(), 0, BTreeMap::new());
    let mut user = User { agent: &agent, drone: drones[0].name(), libraries, done, cut, known };
    kill_under_load(&agent, &mut clients, &told, &mut user);
    clients.into_iter().for_each(Client::end);
    assert_eq!(alive(), before, "no drone was touched");
    user.assert_all_told(&agent.audit());
    say(&format!("{} changes of grants in force, {} cut off", user.done.len(), user.cut));
    let kept = agent.manager().stored();
    assert_eq!(kept.iter().filter(|it| it.starts_with("drone-")).count(), DRONES, "{kept:?}");
    for (number, (drone, repo)) in drones.into_iter().zip(&repos).enumerate() {
        let handed_out = assert_all_told(&agent, &drone, &told.of(number), number == 0);
        drone.slay(&[]).ok();
        // One that a kill met on its way from the forge is known to nobody.
        wait_until("tokens that were handed out to end", LIMIT, || {
            repo.token_hashes().is_disjoint(&handed_out).then_some(())
        });
    }
}

/// Every answer of a drone's client has its line. Returns the hashes of its tokens.
fn assert_all_told(
    agent: &HostAgent,
    drone: &Drone<'_>,
    answers: &[String],
    grants_change: bool,
) -> BTreeSet<String> {
    assert_eq!(agent.state(drone.name()).as_deref(), Some("running"));
    let odd: Vec<_> = answers.iter().filter(|it| is_odd(it)).collect();
    assert!(grants_change || odd.is_empty(), "nothing else has a drone ask again: {odd:?}");
    let audit = agent.audit();
    let of_drone: Vec<_> = audit.iter().filter(|it| it["drone"] == drone.name()).collect();
    assert!(of_drone.iter().all(|it| it["left_out"].is_null()), "the client asks too much");
    let tokens = Trail(of_drone).assert_tells(answers);
    let (told, odd, tokens_told) = (answers.len(), odd.len(), tokens.len());
    let name = drone.name();
    say(&format!("{name}: {told} answers, {tokens_told} tokens, asked again: {odd}"));
    tokens
}
