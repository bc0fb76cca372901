//! `hatchery serve` with directories of its own, and the command line that speaks to it. Any number
//! run beside each other on an engine; each sees the others' drones as `unknown` and must leave
//! them alone.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::{
    Bed, Drone, OrdinaryUser, Repo, Run, ServiceManager, World, bed, forge, http, nursery,
    wait_until, world,
};

/// Longest time that a host agent may take to answer, or to end: it waits for what is under way.
const LIMIT: Duration = Duration::from_secs(40);

/// What a host agent logs, for whoever looks into a test that failed.
const LOG: &str = "info,hatchery=debug";

/// A host agent. Killed, and its directories removed, when dropped.
#[derive(Debug)]
pub struct HostAgent {
    world: &'static World,
    home: PathBuf,
    /// `HATCHERY_LOG`.
    log: &'static str,
    /// Who runs it, where that is not root.
    user: Option<OrdinaryUser>,
    process: Mutex<Option<Child>>,
    manager: Option<ServiceManager>,
}

impl HostAgent {
    /// Starts one; `config` is TOML whose tables replace the tests' usual ones.
    pub(crate) fn start(world: &'static World, config: &str) -> Self {
        let agent = Self::make(world, config);
        agent.start_again();
        agent
    }

    /// Starts one that logs everything that there is to log.
    pub(crate) fn start_talkative(world: &'static World, config: &str) -> Self {
        let mut agent = Self::make(world, config);
        agent.log = "trace";
        agent.start_again();
        agent
    }

    /// Starts one as an ordinary user, with the directories that such a user has by default.
    /// `groups` are further lines of that user's `/etc/group`.
    pub(crate) fn start_ordinary(world: &'static World, config: &str, groups: &str) -> Self {
        let home = world.agent_home();
        let user = OrdinaryUser::make(world, &home, groups);
        let text = user.configuration(world, &configuration(world, &waiving_firewall(config)));
        std::fs::write(user.config_file(), text).expect("the configuration");
        let process = Mutex::new(None);
        let agent = Self { world, home, log: LOG, user: Some(user), process, manager: None };
        agent.start_again();
        agent
    }

    /// The same as a service of a service manager.
    pub(crate) fn start_managed(world: &'static World, config: &str) -> Self {
        let mut agent = Self::make(world, config);
        agent.manager = Some(ServiceManager::start(&agent.home, &agent.control_socket()));
        agent.start_again();
        agent
    }

    fn make(world: &'static World, config: &str) -> Self {
        let (home, process) = (world.agent_home(), Mutex::new(None));
        let agent = Self { world, home, log: LOG, user: None, process, manager: None };
        std::fs::create_dir_all(&agent.home).expect("a directory for the host agent");
        agent.configure(config);
        agent
    }

    /// Writes its configuration file: TOML whose tables replace the tests' usual ones.
    pub fn configure(&self, config: &str) {
        std::fs::write(self.home.join("config.toml"), configuration(self.world, config))
            .expect("the configuration");
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.signal("HUP");
    }

    /// Its service manager.
    ///
    /// # Panics
    /// When it was started without one.
    pub fn manager(&self) -> &ServiceManager {
        self.manager.as_ref().expect("a service of a service manager")
    }

    /// Starts it once more after it ended, and waits until it answers.
    pub fn start_again(&self) {
        self.start_and_leave();
        wait_until("the host agent", LIMIT, || {
            if let Some(status) = self.lock().as_mut().and_then(|child| child.try_wait().ok()?) {
                panic!("hatchery serve ended ({status}):\n{}", self.log());
            }
            if let Some(manager) = &self.manager {
                // Whoever asks before waits, however the host agent fares.
                return manager.told().iter().any(|told| told == "READY=1").then_some(());
            }
            http::request(&self.control_socket(), "GET", "/v1/version", "").ok().map(drop)
        });
    }

    /// Starts it once more without waiting.
    pub fn start_and_leave(&self) {
        let mut command = self.command("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(self.program()).arg("serve");
        command.env("HATCHERY_LOG", self.log);
        let log = std::fs::File::options().create(true).append(true).open(self.log_file());
        let log = log.expect("the host agent's log");
        if let Some(manager) = &self.manager {
            command = manager.prepare(command);
        }
        command.stdout(log.try_clone().expect("a second handle")).stderr(log);
        let process = nursery::start(command);
        if let Some(manager) = &self.manager {
            manager.started(process.id());
        }
        *self.lock() = Some(process);
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
        self.signal("TERM");
        self.end()
    }

    /// A signal by its name, and no more.
    pub fn signal(&self, name: &str) {
        Run::of(Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()])).ok();
    }

    /// Waits for its end; returns its exit code.
    pub fn end(&self) -> Option<i32> {
        let mut child = self.lock().take().expect("it runs");
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
        let mut command = self.command(&self.program().to_string_lossy());
        command.args(args);
        command
    }

    /// The program under test, as whoever runs it sees it.
    fn program(&self) -> PathBuf {
        let program = world::hatchery();
        self.user.as_ref().map_or_else(|| program.clone(), |user| user.seen(&program))
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
        self.user.as_ref().map_or_else(|| self.home.join("s"), OrdinaryUser::state_dir)
    }

    /// The socket of the control API.
    pub fn control_socket(&self) -> PathBuf {
        self.runtime_dir().join("control.sock")
    }

    fn runtime_dir(&self) -> PathBuf {
        self.user.as_ref().map_or_else(|| self.home.join("r"), OrdinaryUser::runtime_dir)
    }

    fn log_file(&self) -> PathBuf {
        self.home.join("serve.log")
    }

    fn command(&self, program: &str) -> Command {
        if let Some(user) = &self.user {
            let mut command = user.command(self.world.bed, program);
            command.env("HATCHERY_PLAIN", "");
            return command;
        }
        let mut command = self.world.bed.command(program);
        command
            .env("HATCHERY_CONFIG", self.home.join("config.toml"))
            .env("HATCHERY_RUNTIME_DIR", self.runtime_dir())
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

/// A user's configuration: without root there is no firewall for the engine that the tests share.
fn waiving_firewall(own: &str) -> String {
    if own.contains("[network]") {
        return own.to_owned();
    }
    format!("{own}\n[network]\nhost_ports = [443]\nfirewall = false\n")
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
