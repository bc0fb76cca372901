//! Live tokens beyond the end of this process: only their holder can take them back, so a host
//! agent that is killed must leave them to the next one.
//!
//! Each drone's lie in a sealed file in memory that a [`Keeper`] holds. Every change makes a new
//! file; the keeper gets it before it lets go of the older one. Without a keeper nothing is kept
//! and nothing is remembered here.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hatchery_protocol::wire::Permissions;
use hatchery_protocol::{DroneName, ForgeHost, RepoName};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::keeper::{Keeper, Kept};
use super::token::Live;
use crate::secret::Token;

/// Largest file that is read back, in bytes: a drone gets some hundred tokens an hour at most, of
/// up to some kB each.
const SIZE_MAX: u64 = 4 << 20;

/// Nobody changes a file that has these, its owner included.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// A token of the host agent before this one.
#[derive(Debug)]
pub struct Left {
    /// Whose.
    pub drone: DroneName,
    /// It; what it may do was not kept.
    pub live: Arc<Live>,
    /// It was being taken back already.
    pub ending: bool,
}

/// All drones' live tokens.
#[derive(Default)]
pub struct Vault {
    keeper: OnceLock<Arc<dyn Keeper>>,
    shelves: Mutex<HashMap<DroneName, Shelf>>,
}

/// One drone's.
#[derive(Default)]
struct Shelf {
    tokens: Vec<Entry>,
    /// The files that the keeper has; more than one only after a failure in between.
    files: Vec<u64>,
    /// Of the next file.
    number: u64,
}

struct Entry {
    live: Arc<Live>,
    ending: bool,
}

/// An [`Entry`] in a file.
#[derive(Serialize)]
struct Written<'a> {
    token: &'a str,
    host: &'a ForgeHost,
    expires_at: i64,
    repositories: &'a [RepoName],
    ending: bool,
}

/// The same, read back. No `Debug`: it is a secret until it is a [`Token`].
#[derive(Deserialize)]
struct Read {
    token: String,
    host: ForgeHost,
    expires_at: i64,
    #[serde(default)]
    repositories: Vec<RepoName>,
    #[serde(default)]
    ending: bool,
}

impl Vault {
    /// Has them kept from now on. Once.
    pub fn use_keeper(&self, keeper: Arc<dyn Keeper>) {
        // A second one would not have what the first one has.
        let _ = self.keeper.set(keeper);
    }

    /// Keeps a token. Returns once it would outlive this process.
    pub async fn put(self: &Arc<Self>, drone: &DroneName, live: &Live) {
        let live = Arc::new(Live {
            repository_ids: vec![],
            installation: None,
            token: Arc::clone(&live.token),
            host: live.host.clone(),
            expires_at: live.expires_at,
            repositories: live.repositories.clone(),
            permissions: Permissions::default(),
            sha256: live.sha256.clone(),
        });
        self.change(drone, |tokens| tokens.push(Entry { live, ending: false })).await;
    }

    /// Notes that a token is being taken back: whatever happens, it shall end.
    pub async fn end(self: &Arc<Self>, drone: &DroneName, sha256: &str) {
        let sha256 = sha256.to_owned();
        self.change(drone, move |tokens| {
            for entry in tokens.iter_mut().filter(|entry| entry.live.sha256 == sha256) {
                entry.ending = true;
            }
        })
        .await;
    }

    /// Forgets a token that has ended.
    pub async fn remove(self: &Arc<Self>, drone: &DroneName, sha256: &str) {
        let sha256 = sha256.to_owned();
        self.change(drone, move |tokens| tokens.retain(|entry| entry.live.sha256 != sha256)).await;
    }

    /// Forgets what has expired.
    pub async fn sweep(self: &Arc<Self>, now: OffsetDateTime) {
        let expired = |shelf: &Shelf| shelf.tokens.iter().any(|one| one.live.expires_at <= now);
        let due: Vec<DroneName> = {
            let shelves = self.shelves();
            let due = shelves.iter().filter(|(_, shelf)| expired(shelf));
            due.map(|(drone, _)| drone.clone()).collect()
        };
        for drone in due {
            self.change(&drone, move |tokens| tokens.retain(|one| one.live.expires_at > now)).await;
        }
    }

    /// Changes a drone's tokens and has the outcome kept, off the runtime's workers.
    async fn change(
        self: &Arc<Self>,
        drone: &DroneName,
        change: impl FnOnce(&mut Vec<Entry>) + Send + 'static,
    ) {
        let Some(keeper) = self.keeper.get().cloned() else { return };
        let (vault, drone) = (Arc::clone(self), drone.clone());
        let changed = tokio::task::spawn_blocking(move || {
            let mut shelves = vault.shelves();
            let shelf = shelves.entry(drone.clone()).or_default();
            change(&mut shelf.tokens);
            let now = OffsetDateTime::now_utc();
            shelf.tokens.retain(|entry| entry.live.expires_at > now);
            if let Err(error) = shelf.keep(&drone, &*keeper) {
                tracing::warn!(%drone, %error, "its tokens are not kept: killed now, they live on");
            }
            if shelf.tokens.is_empty() && shelf.files.is_empty() {
                shelves.remove(&drone);
            }
        });
        // Fails only when the runtime ends.
        let _ = changed.await;
    }

    /// Takes what was kept for the host agent before this one; what cannot be read is dropped.
    /// Blocks.
    pub fn take_over(&self, files: Vec<(DroneName, u64, OwnedFd)>) -> Vec<Left> {
        let Some(keeper) = self.keeper.get() else { return vec![] };
        let mut drones: HashMap<DroneName, Vec<(u64, OwnedFd)>> = HashMap::new();
        for (drone, number, file) in files {
            drones.entry(drone).or_default().push((number, file));
        }
        let (now, mut left) = (OffsetDateTime::now_utc(), Vec::new());
        for (drone, mut files) in drones {
            files.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
            let mut shelf = Shelf::default();
            shelf.files.extend(files.iter().map(|(number, _)| *number));
            shelf.number = shelf.files.first().map_or(0, |newest| newest.saturating_add(1));
            let readable = files.into_iter().find_map(|(number, file)| {
                let read = read(File::from(file), now);
                let told =
                    |error: &io::Error| tracing::warn!(%drone, number, %error, "kept tokens");
                read.inspect_err(told).ok()
            });
            shelf.tokens = readable.unwrap_or_default();
            left.extend(shelf.tokens.iter().map(|entry| Left {
                drone: drone.clone(),
                live: Arc::clone(&entry.live),
                ending: entry.ending,
            }));
            // One file again; none where all have expired.
            if let Err(error) = shelf.keep(&drone, &**keeper) {
                tracing::warn!(%drone, %error, "its tokens stay in older files");
            }
            self.shelves().insert(drone, shelf);
        }
        left
    }

    fn shelves(&self) -> MutexGuard<'_, HashMap<DroneName, Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// Has the keeper keep the tokens as they are now, then let go of what it had.
    fn keep(&mut self, drone: &DroneName, keeper: &dyn Keeper) -> io::Result<()> {
        let older = self.files.clone();
        if !self.tokens.is_empty() {
            let number = self.number;
            let kept = Kept::Tokens { drone: drone.clone(), number };
            keeper.keep(&kept.to_string(), write(&self.tokens)?.as_fd())?;
            self.number = number.saturating_add(1);
            self.files.push(number);
        }
        for number in older {
            let kept = Kept::Tokens { drone: drone.clone(), number };
            keeper.let_go(&kept.to_string())?;
            self.files.retain(|known| *known != number);
        }
        Ok(())
    }
}

/// Counts what it is given.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sealed file with these tokens.
fn write(tokens: &[Entry]) -> io::Result<OwnedFd> {
    let written: Vec<Written<'_>> = tokens
        .iter()
        .map(|Entry { live, ending }| Written {
            token: live.token.expose(),
            host: &live.host,
            expires_at: live.expires_at.unix_timestamp(),
            repositories: &live.repositories,
            ending: *ending,
        })
        .collect();
    // Its length first: a buffer that grows leaves copies behind that nobody wipes.
    let mut length = Length(0);
    serde_json::to_writer(&mut length, &written)?;
    let mut text = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *text, &written)?;
    let mut file = File::from(memory_file()?);
    file.write_all(&text)?;
    rustix::fs::fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

fn memory_file() -> io::Result<OwnedFd> {
    const NAME: &str = "hatchery-tokens";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rustix::fs::memfd_create(NAME, flags | MemfdFlags::NOEXEC_SEAL) {
        // Linux 6.3 knows it.
        Err(Errno::INVAL) => Ok(rustix::fs::memfd_create(NAME, flags)?),
        other => Ok(other?),
    }
}

/// The tokens in a file that have not expired.
fn read(file: File, now: OffsetDateTime) -> io::Result<Vec<Entry>> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    if !rustix::fs::fcntl_get_seals(&file)?.contains(SEALS) {
        return Err(wrong("the file is not sealed"));
    }
    let size = file.metadata()?.len();
    if size > SIZE_MAX {
        return Err(wrong("the file is too large"));
    }
    let mut text = Zeroizing::new(vec![0; usize::try_from(size).map_err(io::Error::other)?]);
    file.read_exact_at(&mut text, 0)?;
    // What serde says of a text that does not parse may quote it.
    let read: Vec<Read> =
        serde_json::from_slice(&text).map_err(|_| wrong("the file is of another version"))?;
    Ok(read
        .into_iter()
        .filter_map(Read::into_entry)
        .filter(|it| it.live.expires_at > now)
        .collect())
}

impl Read {
    fn into_entry(self) -> Option<Entry> {
        let token = Token::new(self.token);
        let live = Live {
            repository_ids: vec![],
            installation: None,
            sha256: token.sha256(),
            token: Arc::new(token),
            host: self.host,
            expires_at: OffsetDateTime::from_unix_timestamp(self.expires_at).ok()?,
            repositories: self.repositories,
            permissions: Permissions::default(),
        };
        Some(Entry { live: Arc::new(live), ending: self.ending })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::keeper::double::Shelf as Keeping;
    use super::*;

    fn drone() -> DroneName {
        "acme-web".parse().expect("a name")
    }

    fn live(secret: &str, life: i64) -> Live {
        let token = Token::new(secret.to_owned());
        Live {
            repository_ids: vec![],
            installation: None,
            sha256: token.sha256(),
            token: Arc::new(token),
            host: "github.com".parse().expect("a host"),
            expires_at: OffsetDateTime::now_utc() + time::Duration::seconds(life),
            repositories: vec!["acme/web".parse().expect("a repository")],
            permissions: Permissions::default(),
        }
    }

    fn entry(secret: &str) -> Entry {
        Entry { live: Arc::new(live(secret, 600)), ending: false }
    }

    fn vault(keeping: &Arc<Keeping>) -> Arc<Vault> {
        let vault = Arc::new(Vault::default());
        vault.use_keeper(keeping.clone());
        vault
    }

    fn kept(keeping: &Keeping) -> Vec<(DroneName, u64, OwnedFd)> {
        let files = keeping.hand_over().into_iter();
        files
            .map(|(name, file)| match name.parse().expect("a name of ours") {
                Kept::Tokens { drone, number } => (drone, number, file),
                Kept::Socket { .. } => panic!("{name}"),
            })
            .collect()
    }

    /// What the next host agent finds: secret and whether it was ending.
    fn left(keeping: &Arc<Keeping>) -> Vec<(String, bool)> {
        let left = vault(keeping).take_over(kept(keeping));
        left.into_iter().map(|one| (one.live.token.expose().to_owned(), one.ending)).collect()
    }

    #[tokio::test]
    async fn the_next_host_agent_finds_what_lives_and_what_was_to_end() {
        let keeping = Arc::new(Keeping::default());
        let vault = vault(&keeping);
        let (one, two, three) = (live("ghs_one", 600), live("ghs_two", 600), live("ghs_3", 600));
        for token in [&one, &two, &three] {
            vault.put(&drone(), token).await;
        }
        vault.end(&drone(), &two.sha256).await;
        vault.remove(&drone(), &three.sha256).await;
        assert_eq!(keeping.names(), ["tokens-acme-web.4"], "the newest alone");
        let wanted = [("ghs_one".to_owned(), false), ("ghs_two".to_owned(), true)];
        assert_eq!(left(&keeping), wanted);
        // And the one after that.
        assert_eq!(keeping.names(), ["tokens-acme-web.5"]);
        assert_eq!(left(&keeping), wanted);
    }

    #[tokio::test]
    async fn nothing_is_left_of_what_has_ended() {
        let keeping = Arc::new(Keeping::default());
        let vault = vault(&keeping);
        let (one, other) = (live("ghs_one", 600), live("ghs_other", 600));
        vault.put(&drone(), &one).await;
        vault.put(&"acme-api".parse().expect("a name"), &other).await;
        vault.remove(&drone(), &one.sha256).await;
        assert_eq!(keeping.names(), ["tokens-acme-api.0"]);
        let late = OffsetDateTime::now_utc() + Duration::from_secs(601);
        vault.sweep(late).await;
        assert_eq!(keeping.names(), Vec::<String>::new());
        vault.put(&drone(), &live("ghs_gone", -1)).await;
        assert_eq!(keeping.names(), Vec::<String>::new());
        assert!(vault.shelves().is_empty());
    }

    #[tokio::test]
    async fn a_kill_between_keeping_and_letting_go_loses_nothing() {
        let keeping = Arc::new(Keeping::default());
        let vault = vault(&keeping);
        vault.put(&drone(), &live("ghs_old", 600)).await;
        let file = write(&[entry("ghs_new")]).expect("a file");
        keeping.keep("tokens-acme-web.1", file.as_fd()).expect("kept");
        assert_eq!(left(&keeping), [("ghs_new".to_owned(), false)]);
        assert_eq!(keeping.names(), ["tokens-acme-web.2"]);
    }

    #[tokio::test]
    async fn what_somebody_could_have_changed_is_not_believed() {
        let keeping = Arc::new(Keeping::default());
        let vault = vault(&keeping);
        vault.put(&drone(), &live("ghs_old", 600)).await;
        let mut open = File::from(memory_file().expect("a file"));
        open.write_all(br#"[{"token":"ghs_x","host":"github.com","expires_at":9999999999}]"#)
            .expect("written");
        keeping.keep("tokens-acme-web.7", open.as_fd()).expect("kept");
        assert_eq!(left(&keeping), [("ghs_old".to_owned(), false)]);
        assert_eq!(keeping.names(), ["tokens-acme-web.8"]);
    }

    #[test]
    fn a_kept_file_cannot_be_written() {
        let file = write(&[entry("ghs_one")]).expect("a file");
        let file = File::from(file);
        assert!(file.write_all_at(b"x", 0).is_err());
        assert!(file.set_len(0).is_err());
        assert!(rustix::fs::fcntl_add_seals(&file, SealFlags::FUTURE_WRITE).is_err());
    }

    #[tokio::test]
    async fn without_a_keeper_nothing_is_remembered() {
        let vault = Arc::new(Vault::default());
        vault.put(&drone(), &live("ghs_one", 600)).await;
        assert!(vault.shelves().is_empty());
    }
}
