//! Who got, or was refused, what and when: `audit.jsonl`, append-only.
//!
//! A line is one write to a descriptor in `O_APPEND` mode, made by whoever has it to say and before
//! anything comes of it: the kernel has it then, and the end of this process, however it comes,
//! takes no line with it that an answer, a grant or a revocation has followed. Only an end of the
//! machine could, and for that a thread of its own has the disk sync them in batches; grants wait
//! for it. A line that was torn nevertheless stays where it is; the next one begins on a line of its
//! own. Tokens appear by the first digits of their SHA-256.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

use hatchery_protocol::DroneName;
use hatchery_protocol::wire::Permissions;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::watch;

use super::budget::Budget;

/// Size in bytes at which the file is set aside as `.1`, `.1` as `.2` and so on.
const ROTATE_AT: u64 = 16 << 20;
/// Files kept beside the current one.
const KEPT: u32 = 4;
/// Lines that the disk may be behind; whoever has more to say waits.
const BEHIND: u64 = 1024;
/// How many of them have the disk sync at once.
const MANY: u64 = BEHIND / 2;
/// How long lines are gathered for one sync while nobody waits for it. Rather long: a write that
/// meets a sync takes the milliseconds of the disk in place of half a microsecond.
const GATHER: Duration = Duration::from_millis(50);
/// The same while somebody waits.
const GATHER_SHORTLY: Duration = Duration::from_millis(2);
/// Hex digits of a token's SHA-256 that a line shows.
const PREFIX: usize = 12;
/// Lines on requests that a drone gets at once; then one a second. One drone that floods must not
/// push the others' history out of the files kept.
const LINES: u32 = 1000;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The forge made a token.
    Mint,
    /// A drone, or the host for its clone, got a token.
    Token,
    /// A request was refused.
    Refuse,
    /// A drone said that the forge did not take its token.
    Reject,
    /// A token was taken back.
    Revoke,
    /// Somebody who is no process of the drone was turned away at its socket.
    Attest,
    /// A drone may reach a repository, with these permissions; `reason` says by what.
    Grant,
    /// A drone may no longer reach a repository.
    Withdraw,
    /// The policy decided about something that the repository asks for; see `verdict`.
    Policy,
}

/// What the policy decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A `[[policy]]` rule permits it here.
    Allow,
    /// Needless here: it went.
    Strip,
    /// Not from this repository.
    Refuse,
}

/// One line. Only new fields may come.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    /// When, by the host's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What.
    pub event: Event,
    /// The drone it is about.
    pub drone: &'a DroneName,
    /// Full id of its container.
    pub container: Option<&'a str>,
    /// The process that asked; `None`: the host agent itself.
    pub pid: Option<u32>,
    /// `owner/repo`; several are separated by commas, which no name contains.
    pub repository: Option<String>,
    /// What the token may do.
    pub permissions: Option<&'a Permissions>,
    /// The first digits of its SHA-256.
    pub token_sha256_prefix: Option<&'a str>,
    /// Why it was refused; by what it was granted.
    pub reason: Option<String>,
    /// What the policy decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Lines on this drone's requests that were left out before this one.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl<'a> Line<'a> {
    /// A line about `drone`, now.
    pub fn new(event: Event, drone: &'a DroneName) -> Self {
        Self {
            at: OffsetDateTime::now_utc(),
            event,
            drone,
            container: None,
            pid: None,
            repository: None,
            permissions: None,
            token_sha256_prefix: None,
            reason: None,
            verdict: None,
            left_out: 0,
        }
    }

    fn text(&self) -> Option<String> {
        let mut text = serde_json::to_string(self).ok()?;
        text.push('\n');
        Some(text)
    }

    /// With the digits of `sha256` that a line shows.
    pub fn token(mut self, sha256: &'a str) -> Self {
        self.token_sha256_prefix = prefix(sha256);
        self
    }
}

/// The digits of a token's SHA-256 that a line shows.
pub fn prefix(sha256: &str) -> Option<&str> {
    sha256.get(..PREFIX)
}

#[derive(Debug)]
struct Share {
    budget: Budget,
    left_out: u64,
}

/// The audit log.
#[derive(Debug)]
pub struct Audit {
    log: Arc<Log>,
    syncing: Mutex<Option<JoinHandle<()>>>,
    shares: Mutex<HashMap<DroneName, Share>>,
}

impl Audit {
    /// Opens or makes the file and starts the thread that syncs it.
    ///
    /// # Errors
    /// When the file cannot be opened for appending.
    pub fn open(path: &Path) -> io::Result<Self> {
        let log = Arc::new(Log::open(path)?);
        let synced = Arc::clone(&log);
        let syncing = std::thread::Builder::new()
            .name("audit".to_owned())
            .stack_size(128 << 10)
            .spawn(move || synced.sync_until_closed())?;
        Ok(Self { log, syncing: Mutex::new(Some(syncing)), shares: Mutex::default() })
    }

    /// Writes a line down, after those before it: the kernel has it when this returns. Waits when
    /// the disk is behind: nothing happens that the log could not take. Whether the drone's share of
    /// the log had room for it.
    pub async fn write(&self, line: Line<'_>) -> bool {
        self.append(line).await.is_some()
    }

    /// Writes a line down and waits until it is on disk: for what must not happen without a trace.
    pub async fn write_through(&self, line: Line<'_>) {
        if let Some(number) = self.append(line).await {
            self.log.hurry();
            self.log.on_disk(number).await;
        }
    }

    /// Writes down that a drone gets a token, without a wait; `line` is made only when its share of
    /// the log has room. `false` when the disk is behind: then it must not get it yet.
    pub fn write_now<'a>(&self, drone: &'a DroneName, line: impl FnOnce(&mut Line<'a>)) -> bool {
        let mut state = match self.log.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Who has it may be waiting for the disk.
            Err(TryLockError::WouldBlock) => return false,
        };
        if !state.has_room() {
            return false;
        }
        let mut told = Line::new(Event::Token, drone);
        if let Some(left_out) = self.share(drone, told.at) {
            told.left_out = left_out;
            line(&mut told);
            if let Some(text) = told.text() {
                self.log.append(&mut state, &text);
            }
        }
        true
    }

    /// Appends a line off the runtime's workers, for the disk may have it wait; returns its number.
    async fn append(&self, mut line: Line<'_>) -> Option<u64> {
        if matches!(line.event, Event::Token | Event::Refuse | Event::Attest) {
            line.left_out = self.share(line.drone, line.at)?;
        }
        let text: Arc<str> = line.text()?.into();
        loop {
            let (log, text) = (Arc::clone(&self.log), Arc::clone(&text));
            let appending = tokio::task::spawn_blocking(move || {
                let mut state = lock(&log.state);
                if !state.has_room() {
                    return Err(state.written - BEHIND + 1);
                }
                Ok(log.append(&mut state, &text))
            });
            match appending.await {
                Ok(Ok(number)) => return Some(number),
                Ok(Err(number)) => self.log.on_disk(number).await,
                // The runtime ends.
                Err(_) => return None,
            }
        }
    }

    /// Lines left out so far when this one may be written, `None` when it may not.
    fn share(&self, drone: &DroneName, now: OffsetDateTime) -> Option<u64> {
        let mut shares = lock(&self.shares);
        if !shares.contains_key(drone) {
            let budget = Budget::new(LINES, 1.0, now);
            shares.insert(drone.clone(), Share { budget, left_out: 0 });
        }
        let share = shares.get_mut(drone)?;
        if share.budget.take(now).is_err() {
            share.left_out += 1;
            return None;
        }
        Some(std::mem::take(&mut share.left_out))
    }

    /// Ends the log: what was said before is on disk when this returns.
    pub async fn close(&self) {
        self.log.close();
        let syncing = lock(&self.syncing).take();
        if let Some(syncing) = syncing
            && tokio::task::spawn_blocking(move || syncing.join()).await.is_err()
        {
            tracing::error!("the audit log's thread did not end well");
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        // Ends the thread; it has the rest synced still.
        self.log.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file, who writes and who syncs it.
#[derive(Debug)]
struct Log {
    state: Mutex<State>,
    /// Tells the thread that syncs.
    bell: Condvar,
    /// Lines on disk.
    on_disk: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    file: LogFile,
    /// Lines that the kernel has,
    written: u64,
    /// and those of them that are on disk.
    synced: u64,
    /// The thread that syncs waits for a line.
    idle: bool,
    /// Somebody waits for the disk.
    hurried: bool,
    closed: bool,
}

impl State {
    /// Whether the disk is not too far behind for one more. At the end nobody is held up.
    fn has_room(&self) -> bool {
        self.closed || self.written - self.synced < BEHIND
    }

    fn is_urgent(&self) -> bool {
        self.closed || self.hurried || self.written - self.synced >= MANY
    }
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        let state = State {
            file: LogFile::open(path)?,
            written: 0,
            synced: 0,
            idle: false,
            hurried: false,
            closed: false,
        };
        let (on_disk, _) = watch::channel(0);
        Ok(Self { state: Mutex::new(state), bell: Condvar::new(), on_disk })
    }

    /// Appends a line; returns its number.
    fn append(&self, state: &mut State, line: &str) -> u64 {
        state.file.append(line);
        state.written += 1;
        if std::mem::take(&mut state.idle) || state.written - state.synced == MANY {
            self.bell.notify_one();
        }
        state.written
    }

    /// Has the disk sync shortly.
    fn hurry(&self) {
        lock(&self.state).hurried = true;
        self.bell.notify_one();
    }

    fn close(&self) {
        lock(&self.state).closed = true;
        self.bell.notify_one();
    }

    /// Returns once so many lines are on disk.
    async fn on_disk(&self, number: u64) {
        // Fails only when this log is gone, and it is borrowed here.
        let _ = self.on_disk.subscribe().wait_for(|synced| *synced >= number).await;
    }

    /// Syncs whenever there are lines that are not on disk, and ends when there will be none.
    fn sync_until_closed(&self) {
        loop {
            let mut state = lock(&self.state);
            while state.written == state.synced {
                if state.closed {
                    return;
                }
                state.idle = true;
                state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let waited = self.bell.wait_timeout_while(state, GATHER, |it| !it.is_urgent());
            let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let hurried = state.hurried;
            drop(state);
            if hurried {
                std::thread::sleep(GATHER_SHORTLY);
            }
            self.sync();
        }
    }

    fn sync(&self) {
        let (written, file, aside) = {
            let mut state = lock(&self.state);
            state.hurried = false;
            let aside = state.file.set_aside_if_full();
            (state.written, Arc::clone(&state.file.file), aside)
        };
        // Not under the lock: whoever writes goes on.
        for file in aside.iter().chain([&file]) {
            if let Err(error) = file.sync_data() {
                tracing::error!(%error, "cannot sync the audit log");
            }
        }
        lock(&self.state).synced = written;
        self.on_disk.send_replace(written);
    }
}

/// The file and its size.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: Arc<File>,
    size: u64,
    /// Lines that could not be written, said when one can.
    lost: u64,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let size = file.metadata()?.len();
        if size > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok(Self { path: path.to_owned(), file: Arc::new(file), size, lost: 0 })
    }

    fn append(&mut self, line: &str) {
        match self.write(line) {
            Ok(()) => self.lost = 0,
            Err(error) => {
                self.lost += 1;
                tracing::error!(path = %self.path.display(), %error, lost = self.lost,
                    "cannot write the audit log; free some disk space");
            }
        }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let mut file = &*self.file;
        // One write: a second writer or a crash cannot interleave or split it by our doing.
        let written = file.write(line.as_bytes())?;
        self.size += written as u64;
        if written < line.len() {
            file.write_all(b"\n")?;
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }

    /// Begins another file when this one is full. Returns the one before, which may not be synced.
    fn set_aside_if_full(&mut self) -> Option<Arc<File>> {
        if self.size < ROTATE_AT {
            return None;
        }
        match self.set_aside() {
            Ok(next) => Some(std::mem::replace(self, next).file),
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error,
                    "cannot set the full audit log aside");
                None
            }
        }
    }

    fn set_aside(&self) -> io::Result<Self> {
        for number in (0..KEPT).rev() {
            match std::fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Self::open(&self.path)
    }
}

/// Every file that the log at `path` may have, the present one first.
pub fn files(path: &Path) -> impl Iterator<Item = PathBuf> {
    (0..=KEPT).map(move |number| numbered(path, number))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    if number > 0 {
        name.push(format!(".{number}"));
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drone() -> DroneName {
        "acme-web".parse().expect("a name")
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).expect("the log");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    #[tokio::test]
    async fn a_line_says_who_what_and_when_and_hides_the_token() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        let audit = Audit::open(&path).expect("open");
        let drone = drone();
        audit.write(Line::new(Event::Token, &drone).token(&"ab".repeat(32))).await;
        audit.close().await;
        let written = lines(&path);
        let line = written.first().expect("a line");
        for field in [
            "at",
            "event",
            "drone",
            "container",
            "pid",
            "repository",
            "permissions",
            "token_sha256_prefix",
            "reason",
        ] {
            assert!(line.get(field).is_some(), "no {field} in {line}");
        }
        assert_eq!(line["event"], "token");
        assert_eq!(line["token_sha256_prefix"], "abababababab");
    }

    #[tokio::test]
    async fn a_torn_last_line_costs_only_itself() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        std::fs::write(&path, "{\"at\":\"2026-01-01T00:00:00Z\"}\n{\"at\":\"20").expect("write");
        let audit = Audit::open(&path).expect("open");
        audit.write(Line::new(Event::Mint, &drone())).await;
        audit.close().await;
        let events: Vec<_> = lines(&path).iter().map(|line| line["event"].clone()).collect();
        assert_eq!(events, [serde_json::Value::Null, "mint".into()]);
    }

    #[tokio::test]
    async fn a_flood_of_one_drone_is_cut_and_the_cut_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let audit = Audit::open(&directory.path().join("audit.jsonl")).expect("open");
        let (drone, now) = (drone(), OffsetDateTime::UNIX_EPOCH);
        let written = (0..2 * LINES).filter(|_| audit.share(&drone, now).is_some()).count();
        assert_eq!(written, LINES as usize);
        let later = now + Duration::from_secs(1);
        assert_eq!(audit.share(&drone, later), Some(u64::from(LINES)));
        audit.close().await;
    }

    /// A log that is synced when a test says so.
    fn unsynced(path: &Path) -> Audit {
        let log = Arc::new(Log::open(path).expect("open"));
        Audit { log, syncing: Mutex::default(), shares: Mutex::default() }
    }

    #[tokio::test]
    async fn a_line_is_in_the_file_before_anything_comes_of_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        // The disk never gets to it, and nothing is closed: as when this process is killed.
        let (audit, drone) = (unsynced(&path), drone());
        assert!(audit.write_now(&drone, |line| line.pid = Some(7)));
        let now = lines(&path);
        assert_eq!((&now[0]["event"], &now[0]["pid"]), (&"token".into(), &7.into()));
        for event in [Event::Mint, Event::Refuse, Event::Attest, Event::Revoke, Event::Policy] {
            let before = lines(&path).len();
            assert!(audit.write(Line::new(event, &drone)).await);
            assert_eq!(lines(&path).len(), before + 1, "{event:?}");
        }
    }

    #[test]
    fn without_a_wait_nothing_happens_that_the_log_could_not_take() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        let (audit, drone) = (unsynced(&path), drone());
        let held = lock(&audit.log.state);
        assert!(!audit.write_now(&drone, |_| {}), "who writes may wait for the disk");
        drop(held);
        lock(&audit.log.state).written = BEHIND;
        assert!(!audit.write_now(&drone, |_| {}), "the disk is behind");
        audit.log.sync();
        assert!(audit.write_now(&drone, |_| {}));
        // Later than now: no time that passes meanwhile adds to the share.
        let later = OffsetDateTime::now_utc() + Duration::from_secs(3600);
        while audit.share(&drone, later).is_some() {}
        let beyond = |_: &mut Line<'_>| panic!("made for nothing");
        assert!(audit.write_now(&drone, beyond), "its share is used up: counted, not written");
        assert_eq!(lines(&path).len(), 1);
    }

    #[tokio::test]
    async fn who_has_more_to_say_than_the_disk_takes_waits_for_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        let (audit, drone) = (unsynced(&path), drone());
        lock(&audit.log.state).written = BEHIND;
        let (written, ()) = tokio::join!(audit.write(Line::new(Event::Mint, &drone)), async {
            assert_eq!(lines(&path).len(), 0);
            audit.log.sync();
        });
        assert!(written);
        assert_eq!(lines(&path).len(), 1);
    }

    #[tokio::test]
    async fn who_waits_for_the_disk_is_told_and_the_end_syncs_the_rest() {
        let directory = tempfile::tempdir().expect("a directory");
        let audit = Audit::open(&directory.path().join("audit.jsonl")).expect("open");
        let drone = drone();
        audit.write_through(Line::new(Event::Grant, &drone)).await;
        assert_eq!(*audit.log.on_disk.borrow(), 1);
        audit.write(Line::new(Event::Mint, &drone)).await;
        audit.close().await;
        assert_eq!(*audit.log.on_disk.borrow(), 2);
    }

    #[test]
    fn a_full_file_is_set_aside_and_old_ones_go() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        let mut log = LogFile::open(&path).expect("open");
        assert!(log.set_aside_if_full().is_none());
        for round in 0..KEPT + 3 {
            log.size = ROTATE_AT;
            assert!(log.set_aside_if_full().is_some());
            log.append(&format!("{{\"round\":{round}}}\n"));
        }
        let mut names: Vec<_> = std::fs::read_dir(directory.path())
            .expect("list")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        assert_eq!(names.len(), KEPT as usize + 1, "{names:?}");
        let newest = std::fs::read_to_string(&path).expect("read");
        assert_eq!(newest, format!("{{\"round\":{}}}\n", KEPT + 2));
    }
}
