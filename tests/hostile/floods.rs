//! No drone starves the others: its socket, the forge's limits, memory, processors and processes are
//! shared out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use hatchery_tests::{Drone, Repo, Run, World, bed, nursery, wait_until};
use serde_json::json;

const FLOOD: &str = concat!(include_str!("attempts/prelude.pl"), include_str!("flood.pl"));
const PEACE: &str = concat!(include_str!("attempts/prelude.pl"), include_str!("peace.pl"));

/// Questions that the drone in peace asks.
const QUESTIONS: usize = 200;

/// A drone that floods its socket until it is told to stop.
struct Flood<'a> {
    drone: &'a Drone<'a>,
    child: Child,
    output: BufReader<ChildStdout>,
}

impl<'a> Flood<'a> {
    fn start(world: &World, drone: &'a Drone<'a>, kind: &str) -> Self {
        let mut command = world.bed.command("docker");
        command.args(["exec", "-u", "0", drone.name(), "perl", "-e", FLOOD, kind]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = nursery::start(command);
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut flood = Self { drone, child, output };
        assert_eq!(flood.line(), "flooding");
        flood
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    /// Ends it; returns how much it was.
    fn stop(mut self) -> u64 {
        self.drone.root_sh("touch /tmp/stop").ok();
        let line = self.line();
        let (_, count) = line.split_once('\t').expect("a count");
        assert_eq!(self.line(), "end");
        self.child.wait().expect("a child of ours");
        count.parse().expect("a number")
    }
}

/// How many questions were answered; the median and the 99th percentile, in microseconds.
fn peace(world: &World, drone: &Drone<'_>) -> (usize, [u64; 2]) {
    let mut command = world.bed.command("docker");
    command.args(["exec", "-u", "0", drone.name(), "perl", "-e", PEACE, &QUESTIONS.to_string()]);
    let run = Run::of(&mut command);
    let mut fields = run.ok().split('\t').map(|field| field.parse::<u64>().expect("a number"));
    let got = usize::try_from(fields.next().expect("a count")).expect("few");
    (got, [fields.next().expect("a median"), fields.next().expect("a percentile")])
}

#[test]
fn a_flood_of_one_drone_leaves_the_other_its_answers() {
    let world = World::shared();
    let agent = world.agent();
    let [flooding, quiet] =
        ["flooding", "quiet"].map(|label| Repo::describe(label).on_dev_image().create(&world));
    let (flooding, quiet) = (agent.spawn(&flooding), agent.spawn(&quiet));
    quiet.sh("git fetch -q").ok();
    let (before, [_, calm]) = peace(&world, &quiet);
    let mut told = format!("quiet: p99 {calm} µs");
    // What holds connections would keep the rest of the flood out: each kind by itself.
    for kind in ["loris", "connections", "requests", "refusals"] {
        let flood = Flood::start(&world, &flooding, kind);
        let (during, [median, late]) = peace(&world, &quiet);
        let count = flood.stop();
        assert_eq!((before, during), (QUESTIONS, QUESTIONS), "every question is answered");
        assert!(count > 50, "the flood of {kind} was none: {count}");
        let stopped = Instant::now();
        wait_until("the drone that flooded to be served again", Duration::from_secs(10), || {
            (flooding.sh("drone-agent token").code == 0).then_some(())
        });
        let again = stopped.elapsed().as_millis();
        told += &format!(
            "; {count} {kind}: median {median} µs, p99 {late} µs, served again in {again} ms"
        );
    }
    // Figures, not a promise: `scripts/bench` measures.
    std::io::stdout().write_all(format!("flood: {told}\n").as_bytes()).expect("standard output");
}

#[test]
fn one_drone_cannot_use_up_what_all_drones_of_an_account_may_mint() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("minter").on_dev_image().create(&world);
    let other = Repo::describe("minter").beside(&repo).named("other").on_dev_image().create(&world);
    let minter = agent.spawn(&repo);
    let before = repo.mints();
    // Each token is said to be bad as soon as it is there, and a long life is asked for.
    let script = "for i in $(seq 150); do t=$(drone-agent token --min-valid 3600 || true); \
         h=$(printf %s \"$t\" | sha256sum | cut -d' ' -f1); \
         curl -s -o /dev/null --unix-socket /run/drone-agent/agent.sock \
         -d \"{\\\"sha256\\\":\\\"$h\\\"}\" http://localhost/v1/token/rejected; done";
    minter.sh(script).ok();
    let minted = repo.mints() - before;
    assert!((2..=40).contains(&minted), "{minted} tokens were minted");
    // Both are of one account, and the other has its own budget.
    let beside = agent.spawn(&other);
    beside.sh("git fetch -q && drone-agent token >/dev/null").ok();
}

#[test]
fn a_limit_of_the_forge_is_waited_out_by_all_and_hammered_by_none() {
    let world = World::shared();
    let agent = world.own_agent("");
    let [served, asking] =
        ["served", "asking"].map(|label| Repo::describe(label).on_dev_image().create(&world));
    let (in_use, new) = (agent.spawn(&served), agent.spawn(&asking));
    in_use.sh("git fetch -q").ok();
    let path = format!("/app/installations/{}/access_tokens", asking.installation());
    let limit = json!({"kind": "rate_limit", "retry_after": 5});
    let fault = world.forge.fault(&path, &limit);
    agent.hatchery(&["burrow", new.name()]).ok();
    agent.hatchery(&["unburrow", new.name()]).ok();
    let before = asking.mints();
    // More often than its budget has new tokens: what the forge is not asked for costs nothing.
    let script = "for i in $(seq 40); do drone-agent token >/dev/null 2>&1 && exit 9; done; \
         curl -si --unix-socket /run/drone-agent/agent.sock http://localhost/v1/token";
    let told = new.sh(script);
    let head = told.ok().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 503") && head.contains("retry-after: "), "{head}");
    let asked = asking.mints() - before;
    assert!((1..=2).contains(&asked), "the forge was asked {asked} times");
    assert_eq!(in_use.sh("drone-agent token | wc -c").code, 0, "what is cached is served");
    drop(fault);
    wait_until("tokens to be there again", Duration::from_secs(20), || {
        (new.sh("drone-agent token").code == 0).then_some(())
    });
}

/// Memory, memory with swap, processors in billionths, processes.
fn limits(world: &World, container: &str) -> [i64; 4] {
    let format = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} \
         {{.HostConfig.PidsLimit}}";
    let told = world.bed.docker(&["inspect", "--format", format, container]);
    let numbers = told.ok().split(' ').map(|number| number.parse().expect("a number"));
    numbers.collect::<Vec<i64>>().try_into().expect("four")
}

#[test]
fn every_drone_is_bounded_and_so_is_the_sum_of_its_services() {
    const LIMITS: &str = "[drone]\nmemory = \"1GiB\"\ncpus = 2\npids = 1000";
    let bounds = [1 << 30, 1 << 30, 2_000_000_000, 1000];
    let world = World::shared();
    let agent = world.own_agent(LIMITS);
    let (dev, base) =
        (bed::setting("HATCHERY_TEST_IMAGE_DEV"), bed::setting("HATCHERY_TEST_IMAGE_BASE"));
    let greedy =
        "    command: sleep infinity\n    mem_limit: 64g\n    cpus: 64\n    pids_limit: -1\n";
    let compose = format!(
        "services:\n  app:\n    image: {dev}\n{greedy}  db:\n    image: {base}\n{greedy}  \
         cache:\n    image: {base}\n{greedy}    scale: 5\n  shares:\n    image: {base}\n{greedy}    \
         network_mode: service:db\n"
    );
    let plain = Repo::describe("bounded").on_dev_image_with(json!({"runArgs": ["--memory=64g"]}));
    let project = Repo::describe("bounded").named("project");
    let project = project.file(".devcontainer/compose.yaml", &compose).devcontainer(
        &json!({"dockerComposeFile": "compose.yaml", "service": "app", "workspaceFolder": "/workspaces/project"}),
    );
    let (plain, project) = (plain.create(&world), project.create(&world));
    let (plain, project) = (agent.spawn(&plain), agent.spawn(&project));
    assert_eq!(limits(&world, plain.name()), bounds);
    let filter = format!("label=com.docker.compose.project=hatchery-{}", project.name());
    let found = world.bed.docker(&["ps", "-aq", "--filter", &filter]);
    let found: Vec<[i64; 4]> = found.ok().lines().map(|id| limits(&world, id)).collect();
    assert_eq!(found.len(), 4, "one of each service: {found:?}");
    for (at, bound) in bounds.iter().enumerate() {
        assert!(found.iter().all(|service| service[at] > 0), "{found:?}");
        // Compose rounds processors to a few billionths.
        let sum = found.iter().map(|service| service[at]).sum::<i64>();
        assert!(sum <= bound + 100, "{sum} of {bound}: {found:?}");
    }
    let kernel =
        "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null";
    assert_eq!(plain.root_sh(&format!("{kernel} || true")).ok(), (1 << 30).to_string());
}
