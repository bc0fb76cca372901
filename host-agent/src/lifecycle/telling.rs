//! An operation's voice: steps with their duration to the user, to everybody who watches, to the
//! log of the program; output of children to the drone's log file.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hatchery_protocol::DroneName;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::devcontainers::{Output, OutputLine};
use super::explain::{DISK_FULL, is_full};
use super::failure::Failure;
use super::journal::Journal;
use super::progress::Progress;
use super::view::{Event, EventKind, Phase, Step};

/// Lines of a log that a failure carries.
const TAIL: usize = 20;

/// An operation's voice.
#[derive(Debug, Clone)]
pub struct Telling {
    drone: Option<DroneName>,
    progress: Progress,
    journal: Arc<Journal>,
    log: Option<Arc<LogFile>>,
}

impl Telling {
    /// A voice without a drone's name yet.
    pub fn new(progress: Progress, journal: Arc<Journal>) -> Self {
        Self { drone: None, progress, journal, log: None }
    }

    /// From here on it is about `drone`, and output goes to its log file, too.
    #[must_use]
    pub fn about(mut self, drone: &DroneName, log: Option<LogFile>) -> Self {
        self.drone = Some(drone.clone());
        self.log = log.map(Arc::new);
        self
    }

    /// Ends when the user interrupted the operation.
    pub async fn cancelled(&self) {
        self.progress.cancelled().await;
    }

    /// Says something that the user has to see.
    pub async fn tell(&self, kind: EventKind) {
        self.journal.record(self.event(kind.clone()));
        self.progress.tell(self.drone.as_ref(), kind).await;
    }

    /// Says something that stops nothing.
    pub async fn notice(&self, text: impl Into<String>) {
        let text = text.into();
        self.write(&format!("notice: {text}"));
        self.tell(EventKind::Notice { text }).await;
    }

    /// Does `work` as `step`: told at its start and end, in a span of its own.
    ///
    /// # Errors
    /// What `work` fails with, with the step, the end of the log and the log file added.
    pub async fn step<T>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let drone = self.drone.as_ref().map(tracing::field::display);
        let span = tracing::info_span!("step", step = step.name(), drone);
        let began = Instant::now();
        self.write(&format!("--- {}", step.name()));
        self.tell(EventKind::Step { step, phase: Phase::Start, duration_ms: None, error: None })
            .await;
        let done =
            work.instrument(span.clone()).await.map_err(|failure| self.placed(step, failure));
        let duration_ms = Some(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        let (phase, error) = match &done {
            Ok(_) => (Phase::End, None),
            Err(failure) => (Phase::Failed, Some(failure.message.clone())),
        };
        span.in_scope(|| match &error {
            None => tracing::info!(duration_ms, "step done"),
            Some(error) => tracing::warn!(duration_ms, error, "step failed"),
        });
        self.tell(EventKind::Step { step, phase, duration_ms, error }).await;
        done
    }

    /// Runs `work` with a place for its output: lines go to the log file, progress to the user.
    pub async fn with_output<T>(&self, step: Step, work: impl AsyncFnOnce(Output) -> T) -> T {
        let (sender, mut lines) = mpsc::unbounded_channel();
        let reading = async {
            while let Some(line) = lines.recv().await {
                match line {
                    OutputLine::Log(text) => self.write(&text),
                    OutputLine::Trace(text) => self.trace(&text),
                    OutputLine::Progress(text) => {
                        self.write(&text);
                        let text = text.chars().filter(|one| !one.is_control()).collect();
                        self.progress.hint(self.drone.as_ref(), EventKind::Progress { step, text });
                    }
                }
            }
        };
        let (done, ()) = tokio::join!(work(sender), reading);
        done
    }

    /// Writes a line to the drone's log file.
    pub fn write(&self, line: &str) {
        if let Some(log) = &self.log {
            log.write(line);
        }
    }

    fn trace(&self, line: &str) {
        if let Some(log) = &self.log {
            log.trace(line);
        }
    }

    fn placed(&self, step: Step, mut failure: Failure) -> Failure {
        failure.step.get_or_insert_with(|| step.name().to_owned());
        if let Some(log) = &self.log {
            self.write(&format!("failed: {failure}"));
            if failure.details.is_empty() {
                failure.details = log.tail();
                if failure.hints.is_empty() && failure.details.iter().any(|line| is_full(line)) {
                    failure.hints.push(DISK_FULL.to_owned());
                }
            }
            if let (true, Some(drone)) = (failure.hints.is_empty(), &self.drone) {
                failure.hints.push(format!("see all of it: `hatchery logs {drone}`"));
            }
            failure.log_file.get_or_insert_with(|| log.path.display().to_string());
        }
        failure
    }

    fn event(&self, kind: EventKind) -> Event {
        Event { at: OffsetDateTime::now_utc(), drone: self.drone.clone(), kind }
    }
}

impl Step {
    /// Its name in the design, in events and in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Reserve => "reserve",
            Self::Grant => "grant",
            Self::Clone => "clone",
            Self::Policy => "policy",
            Self::Build => "build",
            Self::Create => "create",
            Self::Inspect => "inspect",
            Self::Boot => "boot",
            Self::Hooks => "hooks",
            Self::Ready => "ready",
            Self::Stop => "stop",
            Self::Remove => "remove",
        }
    }
}

/// The file with everything that git, builds and hooks of a drone said.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: io::BufWriter<std::fs::File>,
    /// The last lines of the step under way.
    tail: VecDeque<String>,
}

impl LogFile {
    /// Where the log of `drone` lies in `directory`.
    pub fn path(directory: &Path, drone: &DroneName) -> PathBuf {
        directory.join(format!("{drone}.log"))
    }

    /// Opens the log of `drone`; a spawn begins it anew, others add to it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(directory: &Path, drone: &DroneName, anew: bool) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let path = Self::path(directory, drone);
        let mut options = std::fs::OpenOptions::new();
        options.create(true).write(true).append(!anew).truncate(anew);
        let file = io::BufWriter::new(options.open(&path)?);
        let inner = Inner { file, tail: VecDeque::with_capacity(TAIL) };
        Ok(Self { path, inner: Mutex::new(inner) })
    }

    /// A line into the page cache: this waits for no disk. A full disk costs the log, nothing else.
    fn write(&self, line: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if line.starts_with("--- ") {
            inner.tail.clear();
        } else {
            if inner.tail.len() == TAIL {
                inner.tail.pop_front();
            }
            inner.tail.push_back(line.to_owned());
        }
        let _ = writeln!(inner.file, "{line}").and_then(|()| inner.file.flush());
    }

    /// A line that is not shown with a failure.
    fn trace(&self, line: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(inner.file, "{line}");
    }

    fn tail(&self) -> Vec<String> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.tail.iter().filter(|line| !line.starts_with("failed: ")).cloned().collect()
    }
}
