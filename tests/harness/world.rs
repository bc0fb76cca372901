//! An engine, a forge and a host agent for all tests of that engine, and whose turn it is.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{Bed, Engine, Forge, HostAgent};

/// The program under test.
///
/// # Panics
/// When there is none: `scripts/build` makes it.
pub fn hatchery() -> PathBuf {
    let built = || Bed::checkout("target/release/hatchery");
    let path = std::env::var_os("HATCHERY_TEST_BIN").map_or_else(built, PathBuf::from);
    assert!(path.is_file(), "{} is not there; run scripts/build first", path.display());
    path
}

/// An engine with a forge on its bridge.
#[derive(Debug)]
pub struct World {
    /// The engine.
    pub bed: Bed,
    /// The forge.
    pub forge: Forge,
    home: PathBuf,
    agent: OnceLock<HostAgent>,
    agents: AtomicUsize,
    turns: RwLock<()>,
}

/// A test's turn in a world: lasts until dropped.
#[derive(Debug)]
pub struct Turn {
    world: &'static World,
    _held: Held,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held, never looked at")]
enum Held {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Deref for Turn {
    type Target = World;

    fn deref(&self) -> &World {
        self.world
    }
}

impl World {
    /// The main engine, beside other tests.
    pub fn shared() -> Turn {
        Self::of(Engine::Main).beside_others()
    }

    /// The main engine and its forge for this test alone.
    pub fn alone() -> Turn {
        Self::of(Engine::Main).without_others()
    }

    /// The classic engine and its forge for this test alone.
    pub fn classic_alone() -> Turn {
        Self::of(Engine::Classic).without_others()
    }

    fn without_others(&'static self) -> Turn {
        // A test that failed left its own drones at worst: the lock guards no data.
        let turn = self.turns.write().unwrap_or_else(PoisonError::into_inner);
        Turn { world: self, _held: Held::Alone(turn) }
    }

    /// The classic engine, beside other tests.
    pub fn classic() -> Turn {
        Self::of(Engine::Classic).beside_others()
    }

    /// The engine whose disk can be filled, beside other tests.
    pub fn bounded() -> Turn {
        Self::of(Engine::Bounded).beside_others()
    }

    fn beside_others(&'static self) -> Turn {
        let turn = self.turns.read().unwrap_or_else(PoisonError::into_inner);
        Turn { world: self, _held: Held::Shared(turn) }
    }

    fn of(engine: Engine) -> &'static Self {
        static WORLDS: [OnceLock<World>; 3] = [const { OnceLock::new() }; 3];
        let (index, name) = match engine {
            Engine::Main => (0, "m"),
            Engine::Classic => (1, "c"),
            Engine::Bounded => (2, "b"),
        };
        WORLDS[index].get_or_init(|| Self::start(engine, name))
    }

    fn start(engine: Engine, name: &str) -> Self {
        let bed = Bed::of(engine);
        bed.control("start");
        // Short, because the path of a Unix socket ends at 107 bytes; one place for all runs, so that
        // what a killed run left is gone; the testbed's own, so that its end removes it.
        let home =
            PathBuf::from(format!("/run/{}/w/{name}", crate::bed::setting("HATCHERY_TESTBED")));
        let _ = std::fs::remove_dir_all(&home);
        std::fs::create_dir_all(&home).expect("a directory for this run");
        crate::inventory::clear(bed);
        let forge = Forge::start(bed, &home.join("forge"));
        let (agent, agents, turns) = (OnceLock::new(), AtomicUsize::new(0), RwLock::new(()));
        Self { bed, forge, home, agent, agents, turns }
    }

    /// The host agent that ordinary tests share.
    pub fn agent(&'static self) -> &'static HostAgent {
        self.agent.get_or_init(|| HostAgent::start(self, ""))
    }

    /// A directory for one more host agent.
    pub(crate) fn agent_home(&self) -> PathBuf {
        self.home.join(self.agents.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

impl Turn {
    /// The private key of an App that this world's forge does not know.
    pub fn other_app_key(&self) -> PathBuf {
        let data = self.world.agent_home();
        Forge::make_key(self.world.bed, &data)
    }

    /// The world whose turn it is.
    pub(crate) fn world(&self) -> &'static World {
        self.world
    }

    /// The host agent that ordinary tests share.
    pub fn agent(&self) -> &'static HostAgent {
        self.world.agent()
    }

    /// A host agent of one's own, to be killed or configured otherwise: `config` goes into its
    /// configuration file, tables of ours replaced by those of the same name.
    pub fn own_agent(&self, config: &str) -> HostAgent {
        HostAgent::start(self.world, config)
    }

    /// One that logs everything that there is to log, of every library too.
    pub fn talkative_agent(&self, config: &str) -> HostAgent {
        HostAgent::start_talkative(self.world, config)
    }

    /// One that an ordinary user of the engine runs, without root; `groups` are further lines of
    /// that user's `/etc/group`.
    pub fn ordinary_agent(&self, config: &str, groups: &str) -> HostAgent {
        HostAgent::start_ordinary(self.world, config, groups)
    }

    /// The same as a service of a service manager.
    pub fn own_service(&self, config: &str) -> HostAgent {
        HostAgent::start_managed(self.world, config)
    }
}
