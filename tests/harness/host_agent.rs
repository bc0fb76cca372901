//! `hatchery serve` with directories of its own, and the command line that speaks to it. Any number
//! run beside each other on an engine; each sees the others' drones as `unknown` and must leave
//! them alone.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::{Bed, Drone, Repo, Run, World, bed, forge, http, nursery, wait_until, world};

/// Longest time that a host agent may take to answer, or to end: it waits for what is under way.
const LIMIT: Duration = Duration::from_secs(40);

/// A host agent. Killed, and its directories removed, when dropped.
#[derive(Debug)]
pub struct HostAgent {
    world: &'static World,
    home: PathBuf,
    /// `HATCHERY_LOG`.
    log: &'static str,
    process: Mutex<Option<Child>>,
}

impl HostAgent {
    /// Starts one; `config` is TOML whose tables replace the tests' usual ones.
    pub(crate) fn start(world: &'static World, config: &str) -> Self {
        Self::start_at(world, config, "info,hatchery=debug")
    }

    /// The same with a log of this level.
    pub(crate) fn start_at(world: &'static World, config: &str, log: &'static str) -> Self {
        let agent = Self { world, home: world.agent_home(), log, process: Mutex::new(None) };
        std::fs::create_dir_all(&agent.home).expect("a directory for the host agent");
        std::fs::write(agent.home.join("config.toml"), configuration(world, config))
            .expect("the configuration");
        agent.start_again();
        agent
    }

    /// Starts it once more after it ended, and waits until it answers.
    pub fn start_again(&self) {
        self.start_and_leave();
        wait_until("the host agent", LIMIT, || {
            if let Some(status) = self.lock().as_mut().and_then(|child| child.try_wait().ok()?) {
                panic!("hatchery serve ended ({status}):\n{}", self.log());
            }
            http::request(&self.control_socket(), "GET", "/v1/version", "").ok()
        });
    }

    /// Starts it once more without waiting.
    pub fn start_and_leave(&self) {
        let mut command = self.command("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(world::hatchery()).arg("serve");
        command.env("HATCHERY_LOG", self.log);
        let log = std::fs::File::options().create(true).append(true).open(self.log_file());
        let log = log.expect("the host agent's log");
        command.stdout(log.try_clone().expect("a second handle")).stderr(log);
        *self.lock() = Some(nursery::start(command));
    }

    /// `kill -9`.
    pub fn kill(&self) {
        if let Some(mut child) = self.lock().take() {
            child.kill().expect("a child of ours");
            child.wait().expect("a child of ours");
        }
    }

    /// SIGTERM; returns its exit code.
    pub fn stop(&self) -> Option<i32> {
        let mut child = self.lock().take().expect("it runs");
        Run::of(Command::new("kill").args(["-TERM", &child.id().to_string()])).ok();
        let ended = || child.try_wait().expect("a child of ours");
        wait_until("the host agent's end", LIMIT, ended).code()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.lock().as_ref().expect("it runs").id()
    }

    /// `hatchery` with this host agent's environment.
    pub fn hatchery(&self, args: &[&str]) -> Run {
        Run::of(&mut self.hatchery_command(args))
    }

    /// The same, not started yet.
    pub fn hatchery_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(&world::hatchery().to_string_lossy());
        command.args(args);
        command
    }

    /// `hatchery --json`: its one JSON value, or the last of its lines.
    pub fn json(&self, args: &[&str]) -> Value {
        let run = self.hatchery(&[&["--json"], args].concat());
        let text = run.ok();
        serde_json::from_str(text)
            .or_else(|_| serde_json::from_str(text.lines().last().unwrap_or_default()))
            .unwrap_or_else(|error| panic!("no JSON ({error})\n{}", run.report()))
    }

    /// Spawns a drone for `repo`.
    ///
    /// # Panics
    /// When that fails.
    pub fn spawn(&self, repo: &Repo) -> Drone<'_> {
        self.spawn_with(repo, &[])
    }

    /// The same with flags.
    pub fn spawn_with(&self, repo: &Repo, flags: &[&str]) -> Drone<'_> {
        let run = self.hatchery(&[&["spawn", &repo.name()], flags].concat());
        let name = run.ok().to_owned();
        assert_eq!(name, repo.drone(), "spawn prints the drone's name\n{}", run.report());
        Drone::new(self, name)
    }

    /// A drone that is there already.
    pub fn drone(&self, name: &str) -> Drone<'_> {
        Drone::new(self, name.to_owned())
    }

    /// The drones of `list --json`.
    pub fn list(&self) -> Vec<Value> {
        let listed = self.json(&["list"]);
        listed["drones"].as_array().expect("a list").clone()
    }

    /// A drone's state as `list` shows it; `None` when it is not listed.
    pub fn state(&self, drone: &str) -> Option<String> {
        let listed = self.list().into_iter().find(|listed| listed["drone"] == drone)?;
        Some(listed["state"].as_str().expect("a state").to_owned())
    }

    /// Waits until a drone is in this state.
    pub fn wait_for_state(&self, drone: &str, state: &str) {
        let what = format!("{drone} to be {state}");
        wait_until(&what, Duration::from_secs(60), || {
            (self.state(drone).as_deref() == Some(state)).then_some(())
        });
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Its audit log, an object a line.
    pub fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.state_dir().join("audit.jsonl"));
        let text = text.unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The world that it is in.
    pub fn world(&self) -> &'static World {
        self.world
    }

    /// Where everything of it lies: configuration, state, runtime directory and log.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Its state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.home.join("s")
    }

    /// The socket of the control API.
    pub fn control_socket(&self) -> PathBuf {
        self.home.join("r/control.sock")
    }

    fn log_file(&self) -> PathBuf {
        self.home.join("serve.log")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.world.bed.command(program);
        command
            .env("HATCHERY_CONFIG", self.home.join("config.toml"))
            .env("HATCHERY_RUNTIME_DIR", self.home.join("r"))
            .env("HATCHERY_STATE_DIR", self.state_dir())
            .env("HATCHERY_FEATURE_DIR", Bed::checkout("feature/src/drone"))
            .env("HATCHERY_PLAIN", "");
        command
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HostAgent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("-- log of {}\n{}", self.home.display(), self.log());
        }
        if let Some(mut child) = self.lock().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// The tests' usual configuration, with the tables of `own` in place of those of the same name.
fn configuration(world: &World, own: &str) -> String {
    let own_tables: Vec<&str> = own.lines().filter(|line| line.starts_with('[')).collect();
    let mut text = own.to_owned();
    for (header, body) in usual(world) {
        if !own_tables.contains(&header) {
            let _ = write!(text, "\n{header}\n{body}\n");
        }
    }
    text
}

fn usual(world: &World) -> [(&'static str, String); 7] {
    let devcontainer = bed::setting("HATCHERY_TEST_DEVCONTAINER");
    [
        (
            "[limits]",
            "max_drones = 0\nfree_memory_floor = \"64MiB\"\nfree_disk_floor = \"64MiB\"".to_owned(),
        ),
        ("[drone]", "memory = \"1GiB\"\ncpus = 2".to_owned()),
        ("[[forge]]", forge_table(world, "")),
        ("[tailnet]", "control = \"none\"".to_owned()),
        ("[network]", "host_ports = [443]".to_owned()),
        ("[features]", "sshd = \"\"".to_owned()),
        ("[programs]", format!("devcontainer = {devcontainer:?}")),
    ]
}

/// The forge of `world` as host agents know it; `api_url` where a test wants another.
pub fn forge_table(world: &World, api_url: &str) -> String {
    let host = forge::HOST;
    let usual = format!("https://{host}/api/v3");
    let api_url = if api_url.is_empty() { &usual } else { api_url };
    let (ca, key) = (world.forge.ca_file(), world.forge.app_key_file());
    format!(
        "host = \"{host}\"\napi_url = \"{api_url}\"\ngit_url = \"https://{host}\"\n\
         address = \"{}\"\nca_file = {ca:?}\n\
         app = {{ client_id = {:?}, private_key_file = {key:?} }}",
        forge::ADDRESS,
        world.forge.client_id(),
    )
}
