//! The engines that `scripts/testbed` brought up, each in a network namespace of its own.

use std::path::PathBuf;
use std::process::Command;

use crate::Run;

/// Which engine a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// BuildKit and Compose v2: what users have.
    Main,
    /// The classic builder of 20.10.
    Classic,
    /// As `Main`, on a data root that can be filled.
    Bounded,
}

impl Engine {
    /// Its name for `scripts/testbed engine`.
    fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Classic => "classic",
            Self::Bounded => "bounded",
        }
    }
}

/// An engine with its network: every program of a test starts here.
#[derive(Debug, Clone, Copy)]
pub struct Bed {
    engine: Engine,
}

/// Reads what `scripts/testbed env` says.
///
/// # Panics
/// When it is not there: the tests were not started by `scripts/test`.
pub fn setting(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set; run these tests by scripts/test"))
}

impl Bed {
    /// The bed of `engine`, which is up.
    pub fn of(engine: Engine) -> Self {
        Self { engine }
    }

    /// Which engine it is.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// A program in this engine's network that speaks to this engine, in a clean environment.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.netns())).arg(program).env_clear();
        command.env("PATH", self.path()).env("HOME", std::env::temp_dir()).env("LANG", "C.UTF-8");
        command.env("DOCKER_HOST", self.docker_host()).env("DOCKER_CONFIG", self.docker_config());
        command
    }

    /// Docker's client on this engine.
    pub fn docker(&self, args: &[&str]) -> Run {
        Run::of(self.command("docker").args(args))
    }

    /// `start`, `stop`, `kill` (as by `kill -9`) or `restart` of this engine.
    pub fn control(&self, verb: &str) {
        let mut command = Command::new(setting("HATCHERY_TEST_CONTROL"));
        Run::of(command.args(["engine", verb, self.engine.name()])).ok();
    }

    /// The engine's own socket.
    pub fn docker_host(&self) -> String {
        setting(match self.engine {
            Engine::Main => "DOCKER_HOST",
            Engine::Classic => "HATCHERY_TEST_CLASSIC_DOCKER_HOST",
            Engine::Bounded => "HATCHERY_TEST_BOUNDED_DOCKER_HOST",
        })
    }

    /// A folder of the checkout.
    pub fn checkout(below: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(below)
    }

    pub(crate) fn docker_config(&self) -> String {
        setting(match self.engine {
            Engine::Main | Engine::Bounded => "DOCKER_CONFIG",
            Engine::Classic => "HATCHERY_TEST_CLASSIC_DOCKER_CONFIG",
        })
    }

    fn netns(&self) -> String {
        setting(match self.engine {
            Engine::Main => "HATCHERY_TEST_NETNS",
            Engine::Classic => "HATCHERY_TEST_CLASSIC_NETNS",
            Engine::Bounded => "HATCHERY_TEST_BOUNDED_NETNS",
        })
    }

    pub(crate) fn path(&self) -> String {
        let path = setting("PATH");
        match self.engine {
            Engine::Main | Engine::Bounded => path,
            Engine::Classic => format!("{}:{path}", setting("HATCHERY_TEST_CLASSIC_BIN")),
        }
    }
}
