//! Reading the audit log: the files that were set aside first, then the present one, and on as it
//! grows. A line that a crash tore says nothing and is passed over.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hatchery_protocol::DroneName;
use hatchery_protocol::wire::Permissions;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::audit;

/// A line as readers see it: later host agents may write more, and know more events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What happened, by its name in [`audit::Event`].
    pub event: String,
    /// The drone it is about.
    pub drone: DroneName,
    /// The process that asked.
    #[serde(default)]
    pub pid: Option<u32>,
    /// `owner/repo`, several separated by commas.
    #[serde(default)]
    pub repository: Option<String>,
    /// What was granted, or what a token may do.
    #[serde(default)]
    pub permissions: Option<Permissions>,
    /// The first digits of the token's SHA-256.
    #[serde(default)]
    pub token_sha256_prefix: Option<String>,
    /// Why, or by what.
    #[serde(default)]
    pub reason: Option<String>,
    /// What the policy decided.
    #[serde(default)]
    pub verdict: Option<String>,
    /// Lines on this drone's requests that were left out before this one.
    #[serde(default)]
    pub left_out: u64,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this drone alone.
    pub drone: Option<DroneName>,
    /// Not older than this.
    pub since: Option<OffsetDateTime>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    drone: DroneName,
}

impl Wanted {
    fn takes(&self, line: &[u8]) -> bool {
        let Ok(head) = serde_json::from_slice::<Head>(line) else { return false };
        self.drone.as_ref().is_none_or(|drone| *drone == head.drone)
            && self.since.is_none_or(|since| head.at >= since)
    }
}

/// The audit log as somebody reads it. Blocks for the disk.
#[derive(Debug)]
pub struct Trail {
    path: PathBuf,
    wanted: Wanted,
    /// Files still to read, the oldest last.
    older: Vec<File>,
    /// The file that is read; `None` before there is any.
    present: Option<BufReader<File>>,
    /// A line that is not whole yet.
    partial: Vec<u8>,
}

impl Trail {
    /// Opens what there is of the log at `path`.
    ///
    /// # Errors
    /// When a file of it cannot be opened.
    pub fn open(path: &Path, wanted: Wanted) -> io::Result<Self> {
        // The newest first, each once: a file that is set aside meanwhile is met again.
        let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
        for name in audit::files(path) {
            match File::open(&name) {
                Ok(file) if seen.insert(file.metadata()?.ino()) => files.push(file),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let present = files.pop().map(BufReader::new);
        let partial = Vec::new();
        Ok(Self { path: path.to_owned(), wanted, older: files, present, partial })
    }

    /// The next wanted line with its end; `None` where there is none (yet).
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let Some(present) = &mut self.present else {
                if !self.go_on()? {
                    return Ok(None);
                }
                continue;
            };
            present.read_until(b'\n', &mut self.partial)?;
            if self.partial.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                if self.wanted.takes(&line) {
                    return Ok(Some(line));
                }
            } else if !self.go_on()? {
                return Ok(None);
            }
        }
    }

    /// Moves on to the next file, when there is one: what is left of this one was torn.
    fn go_on(&mut self) -> io::Result<bool> {
        let next = match self.older.pop() {
            Some(file) => Some(file),
            None => self.begun()?,
        };
        let Some(file) = next else { return Ok(false) };
        self.partial.clear();
        self.present = Some(BufReader::new(file));
        Ok(true)
    }

    /// The file that lines go to now, if it is another than the one that is read.
    fn begun(&self) -> io::Result<Option<File>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(present) = &self.present else { return Ok(Some(file)) };
        let same = present.get_ref().metadata()?.ino() == file.metadata()?.ino();
        Ok((!same).then_some(file))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn line(drone: &str, second: u8) -> String {
        format!(
            "{{\"at\":\"2026-11-21T10:00:{second:02}Z\",\"event\":\"token\",\"drone\":\"{drone}\"}}\n"
        )
    }

    fn rest(trail: &mut Trail) -> Vec<String> {
        let mut lines = vec![];
        while let Some(line) = trail.next_line().expect("readable") {
            lines.push(String::from_utf8(line).expect("text"));
        }
        lines
    }

    #[test]
    fn files_set_aside_come_first_and_torn_lines_not_at_all() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        let aside = |number: u8| directory.path().join(format!("audit.jsonl.{number}"));
        std::fs::write(aside(2), line("a", 1)).expect("write");
        std::fs::write(aside(1), line("a", 2) + "{\"at\":\"20\n" + &line("b", 3)).expect("write");
        std::fs::write(&path, line("a", 4) + "{\"at\":\"2026-11").expect("write");
        let mut all = Trail::open(&path, Wanted::default()).expect("open");
        let expected = [line("a", 1), line("a", 2), line("b", 3), line("a", 4)];
        assert_eq!(rest(&mut all), expected);
        let drone = "a".parse().ok();
        let since = OffsetDateTime::parse(
            "2026-11-21T10:00:02Z",
            &time::format_description::well_known::Rfc3339,
        );
        let wanted = Wanted { drone, since: since.ok() };
        assert_eq!(
            rest(&mut Trail::open(&path, wanted).expect("open")),
            [line("a", 2), line("a", 4)]
        );
    }

    #[test]
    fn what_is_written_later_is_read_across_a_rotation() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        let mut trail = Trail::open(&path, Wanted::default()).expect("open");
        assert!(rest(&mut trail).is_empty(), "there is no log yet");
        std::fs::write(&path, line("a", 1)).expect("write");
        assert_eq!(rest(&mut trail), [line("a", 1)]);
        let mut file = File::options().append(true).open(&path).expect("open");
        let (one, other) = (line("a", 2), line("a", 3));
        let (begin, end) = one.split_at(20);
        file.write_all(begin.as_bytes()).expect("write");
        assert!(rest(&mut trail).is_empty(), "half a line");
        file.write_all(end.as_bytes()).expect("write");
        std::fs::rename(&path, directory.path().join("audit.jsonl.1")).expect("rename");
        std::fs::write(&path, &other).expect("write");
        assert_eq!(rest(&mut trail), [one, other]);
    }
}
