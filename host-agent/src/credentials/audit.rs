//! Who got, or was refused, what and when: `audit.jsonl`, append-only.
//!
//! One thread owns the file, so that no disk blocks the runtime: each line is one write to a
//! descriptor in `O_APPEND` mode, synced in batches. A line that a crash tore stays where it is;
//! the next one begins on a line of its own. Tokens appear by the first digits of their SHA-256.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hatchery_protocol::DroneName;
use hatchery_protocol::wire::Permissions;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};

use super::budget::Budget;

/// Size in bytes at which the file is set aside as `.1`, `.1` as `.2` and so on.
const ROTATE_AT: u64 = 16 << 20;
/// Files kept beside the current one.
const KEPT: u32 = 4;
/// Lines that may wait for the disk; whoever has more to say waits.
const QUEUE: usize = 1024;
/// Lines synced at once at most.
const BATCH: usize = 256;
/// How long lines are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(5);
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

/// What the writing thread is given.
#[derive(Debug)]
enum Entry {
    Line(String),
    /// Told when every line before it is on disk.
    Written(oneshot::Sender<()>),
}

/// The audit log.
#[derive(Debug)]
pub struct Audit {
    sender: Mutex<Option<mpsc::Sender<Entry>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    shares: Mutex<HashMap<DroneName, Share>>,
}

impl Audit {
    /// Opens or makes the file and starts the thread that writes it.
    ///
    /// # Errors
    /// When the file cannot be opened for appending.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut log = LogFile::open(path)?;
        let (sender, mut entries) = mpsc::channel::<Entry>(QUEUE);
        let writer = std::thread::Builder::new()
            .name("audit".to_owned())
            .stack_size(128 << 10)
            .spawn(move || {
                while let Some(first) = entries.blocking_recv() {
                    // Who writes next need not wake this thread, and one sync does for all.
                    std::thread::sleep(GATHER);
                    let (mut batch, mut waiting) = (Vec::new(), Vec::new());
                    let mut next = Some(first);
                    while let Some(entry) = next.take() {
                        match entry {
                            Entry::Line(line) => batch.push(line),
                            Entry::Written(told) => waiting.push(told),
                        }
                        if batch.len() < BATCH {
                            next = entries.try_recv().ok();
                        }
                    }
                    log.append(batch.into_iter());
                    for told in waiting {
                        // Who does not wait any more need not be told.
                        let _ = told.send(());
                    }
                }
            })?;
        Ok(Self {
            sender: Mutex::new(Some(sender)),
            writer: Mutex::new(Some(writer)),
            shares: Mutex::default(),
        })
    }

    /// Writes a line down, after those before it. Waits when the disk is behind: nothing happens
    /// that the log could not take. Whether the drone's share of the log had room for it.
    pub async fn write(&self, mut line: Line<'_>) -> bool {
        if matches!(line.event, Event::Token | Event::Refuse | Event::Attest) {
            match self.share(line.drone, line.at) {
                Some(left_out) => line.left_out = left_out,
                None => return false,
            }
        }
        let sender = lock(&self.sender).clone();
        if let (Some(sender), Some(text)) = (sender, line.text()) {
            // Fails only when the thread is gone, which says so itself.
            let _ = sender.send(Entry::Line(text)).await;
        }
        true
    }

    /// Writes a line down and waits until it is on disk: for what must not happen without a trace.
    pub async fn write_through(&self, line: Line<'_>) {
        self.write(line).await;
        let (told, written) = oneshot::channel();
        let sender = lock(&self.sender).clone();
        if let Some(sender) = sender
            && sender.send(Entry::Written(told)).await.is_ok()
        {
            // Fails as above.
            let _ = written.await;
        }
    }

    /// Writes down that a drone gets a token, without a wait; `line` is made only when its share of
    /// the log has room. `false` when the disk is behind: then it must not get it yet.
    pub fn write_now<'a>(&self, drone: &'a DroneName, line: impl FnOnce(&mut Line<'a>)) -> bool {
        let sender = lock(&self.sender).clone();
        let permit = sender.as_ref().map(mpsc::Sender::try_reserve);
        if let Some(Err(mpsc::error::TrySendError::Full(()))) = permit {
            return false;
        }
        let mut told = Line::new(Event::Token, drone);
        if let Some(left_out) = self.share(drone, told.at) {
            told.left_out = left_out;
            line(&mut told);
            if let (Some(Ok(permit)), Some(text)) = (permit, told.text()) {
                permit.send(Entry::Line(text));
            }
        }
        true
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
        drop(lock(&self.sender).take());
        let writer = lock(&self.writer).take();
        if let Some(writer) = writer
            && tokio::task::spawn_blocking(move || writer.join()).await.is_err()
        {
            tracing::error!("the audit log's thread did not end well");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file and its size.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
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
        Ok(Self { path: path.to_owned(), file, size, lost: 0 })
    }

    fn append(&mut self, lines: impl Iterator<Item = String>) {
        for line in lines {
            if let Err(error) = self.append_line(&line) {
                self.lost += 1;
                tracing::error!(path = %self.path.display(), %error, lost = self.lost,
                    "cannot write the audit log; free some disk space");
            }
        }
        if let Err(error) = self.file.sync_data() {
            tracing::error!(path = %self.path.display(), %error, "cannot sync the audit log");
        }
    }

    fn append_line(&mut self, line: &str) -> io::Result<()> {
        if self.size >= ROTATE_AT {
            self.rotate()?;
        }
        // One write: a second writer or a crash cannot interleave or split it by our doing.
        let written = self.file.write(line.as_bytes())?;
        self.size += written as u64;
        if written < line.len() {
            self.file.write_all(b"\n")?;
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.lost = 0;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        for number in (0..KEPT).rev() {
            match std::fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        *self = Self::open(&self.path)?;
        Ok(())
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

    #[test]
    fn without_a_wait_nothing_happens_that_the_log_could_not_take() {
        let (sender, mut queue) = mpsc::channel(1);
        let audit = Audit {
            sender: Mutex::new(Some(sender)),
            writer: Mutex::default(),
            shares: Mutex::default(),
        };
        let drone = drone();
        assert!(audit.write_now(&drone, |line| line.pid = Some(7)));
        assert!(!audit.write_now(&drone, |_| {}), "the queue is full");
        let Entry::Line(text) = queue.try_recv().expect("a line") else { panic!("no line") };
        let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&line["event"], &line["pid"]), (&"token".into(), &7.into()));
        assert!(text.ends_with('\n'));
        // Later than now: no time that passes meanwhile adds to the share.
        let later = OffsetDateTime::now_utc() + Duration::from_secs(3600);
        while audit.share(&drone, later).is_some() {}
        let beyond = |_: &mut Line<'_>| panic!("made for nothing");
        assert!(audit.write_now(&drone, beyond), "its share is used up: counted, not written");
        assert!(queue.try_recv().is_err());
    }

    #[test]
    fn a_full_file_is_set_aside_and_old_ones_go() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        for round in 0..KEPT + 3 {
            let mut log = LogFile::open(&path).expect("open");
            log.size = ROTATE_AT;
            log.append([format!("{{\"round\":{round}}}\n")].into_iter());
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
