//! Lookups over the state, and its file: written whole beside the old one, then renamed.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use time::OffsetDateTime;
use tokio::sync::watch;

use crate::model::{
    Account, AccountKind, App, Installation, OpenState, Pull, Repository, State, WorkflowRun,
};

/// Name of the state file in the data directory.
pub const STATE_FILE: &str = "state.json";

impl State {
    /// An empty forge with this App; ids begin at 1001, so that they differ from numbers of issues.
    pub fn new(app: App) -> Self {
        Self {
            next_id: 1001,
            app,
            accounts: Default::default(),
            repositories: Default::default(),
            installations: Default::default(),
            tokens: Vec::new(),
        }
    }

    /// A numeric id nobody had before.
    pub fn fresh_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Takes `wanted` as an id, or a fresh one; later fresh ids are above it.
    pub fn claim_id(&mut self, wanted: Option<u64>) -> u64 {
        match wanted {
            Some(id) => {
                self.next_id = self.next_id.max(id + 1);
                id
            }
            None => self.fresh_id(),
        }
    }

    /// The account with this login, compared without case.
    pub fn account(&self, login: &str) -> Option<&Account> {
        self.accounts.values().find(|account| account.login.eq_ignore_ascii_case(login))
    }

    /// The login of an account id; GitHub calls deleted ones `ghost`.
    pub fn login(&self, id: u64) -> &str {
        self.accounts.get(&id).map_or("ghost", |account| account.login.as_str())
    }

    /// The account that the App acts as.
    pub fn bot(&self) -> Option<&Account> {
        self.accounts.values().find(|account| account.kind == AccountKind::Bot)
    }

    /// The repository that has this owner and name now.
    pub fn repository(&self, owner: &str, name: &str) -> Option<&Repository> {
        self.repositories.values().find(|repo| {
            repo.name.eq_ignore_ascii_case(name)
                && self.login(repo.owner_id).eq_ignore_ascii_case(owner)
        })
    }

    /// The repository that had this owner and name before a rename, unless the name is taken.
    pub fn renamed_repository(&self, owner: &str, name: &str) -> Option<&Repository> {
        if self.repository(owner, name).is_some() {
            return None;
        }
        self.repositories.values().find(|repo| {
            repo.former_names.iter().any(|former| {
                former.owner.eq_ignore_ascii_case(owner) && former.name.eq_ignore_ascii_case(name)
            })
        })
    }

    /// `owner/name` as spelled now.
    pub fn full_name(&self, repo: &Repository) -> String {
        format!("{}/{}", self.login(repo.owner_id), repo.name)
    }

    /// The installation on an account.
    pub fn installation_of(&self, account_id: u64) -> Option<&Installation> {
        self.installations.values().find(|one| one.account_id == account_id)
    }

    /// True when the installation reaches the repository.
    pub fn covers(&self, installation: &Installation, repo: &Repository) -> bool {
        repo.owner_id == installation.account_id
            && installation.repositories.as_ref().is_none_or(|chosen| chosen.contains(&repo.id))
    }

    /// Ids of all repositories the installation reaches.
    pub fn reach(&self, installation: &Installation) -> Vec<u64> {
        let reached = self.repositories.values().filter(|repo| self.covers(installation, repo));
        reached.map(|repo| repo.id).collect()
    }
}

/// Labels that every repository begins with, some of GitHub's.
const LABELS: [&str; 3] = ["bug", "documentation", "enhancement"];

impl Repository {
    /// A private repository without anything in it.
    pub fn new((id, owner_id): (u64, u64), name: &str, now: OffsetDateTime) -> Self {
        Self {
            id,
            owner_id,
            name: name.to_owned(),
            private: true,
            default_branch: String::new(),
            description: String::new(),
            fork_of: None,
            created_at: now,
            former_names: Vec::new(),
            next_number: 1,
            pulls: Vec::new(),
            issues: Vec::new(),
            check_runs: Vec::new(),
            statuses: Vec::new(),
            runs: Vec::new(),
            labels: LABELS.map(str::to_owned).to_vec(),
        }
    }

    /// A pull request by number.
    pub fn pull(&self, number: u64) -> Option<&Pull> {
        self.pulls.iter().find(|pull| pull.issue.number == number)
    }

    /// The same, to change it.
    pub fn pull_mut(&mut self, number: u64) -> Option<&mut Pull> {
        self.pulls.iter_mut().find(|pull| pull.issue.number == number)
    }

    /// The open pull request from `head` into `base`.
    pub fn open_pull(&self, head: &str, base: &str) -> Option<&Pull> {
        self.pulls.iter().find(|pull| {
            pull.issue.state == OpenState::Open && pull.head == head && pull.base == base
        })
    }

    /// An Actions run by id.
    pub fn run(&self, id: u64) -> Option<&WorkflowRun> {
        self.runs.iter().find(|run| run.id == id)
    }

    /// Takes the next number for an issue or a pull request.
    pub fn claim_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }
}

/// The state in memory, and the generation of it that is on disk.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    saved: watch::Sender<u64>,
}

impl Store {
    /// A store over `state` that writes to `directory`.
    pub fn new(directory: &Path, state: State) -> Self {
        Self {
            path: directory.join(STATE_FILE),
            state: Mutex::new(state),
            changed: watch::Sender::new(1),
            saved: watch::Sender::new(0),
        }
    }

    /// Reads the state file of a data directory; `None` when there is none yet.
    ///
    /// # Errors
    /// When it cannot be read, or holds something else than a state.
    pub fn load(directory: &Path) -> io::Result<Option<State>> {
        match fs::read(directory.join(STATE_FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A poisoned lock still holds a whole state: each change below is one closure.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state; the lock is held for as long as `look` runs.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the state and has it written.
    pub fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        self.changed.send_modify(|generation| *generation += 1);
        result
    }

    /// Returns once every change made before this call is in the file.
    pub async fn persisted(&self) {
        let wanted = *self.changed.borrow();
        let mut saved = self.saved.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = saved.wait_for(|generation| *generation >= wanted).await;
    }

    /// Writes the state whenever it changed, for as long as the future is polled.
    pub async fn keep_saving(&self) {
        let mut changed = self.changed.subscribe();
        loop {
            let generation = *changed.borrow_and_update();
            if *self.saved.borrow() < generation {
                self.save(generation).await;
            }
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    async fn save(&self, generation: u64) {
        let bytes = self.read(serde_json::to_vec_pretty);
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || write_whole(&path, &bytes?)).await;
        match written.map_err(io::Error::other).and_then(|result| result) {
            Ok(()) => {}
            Err(error) => tracing::error!(%error, path = %self.path.display(), "state not saved"),
        }
        self.saved.send_replace(generation);
    }
}

/// Writes a file readable by its owner only, whole or not at all.
///
/// There is no fsync: what must survive here is the death of the process, not of the machine.
///
/// # Errors
/// What the file system says.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
    io::Write::write_all(&mut file, bytes)?;
    fs::rename(&beside, path)
}

/// Lets everybody read a file that holds no secret.
///
/// # Errors
/// What the file system says.
pub fn make_readable(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644))
}
