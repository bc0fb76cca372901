//! A spawn, rebuild or slay under way, watched by its events.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::{HostAgent, Run, wait_until};

/// Longest wait for an event.
const LIMIT: Duration = Duration::from_secs(120);

/// `hatchery --json <operation>` that runs.
#[derive(Debug)]
pub struct Operation {
    child: Option<Child>,
    shown: String,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Operation {
    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(agent: &HostAgent, args: &[&str]) -> Self {
        let mut command = agent.hatchery_command(&[&["--json"], args].concat());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("hatchery starts");
        let stdout = child.stdout.take().expect("a pipe");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let shown = format!("hatchery --json {}", args.join(" "));
        Self { child: Some(child), shown, lines, reader: Some(reader) }
    }

    /// Waits until a step is in a phase (`start`, `end`, `failed`).
    ///
    /// # Panics
    /// When the operation ends before.
    pub fn wait_for(&mut self, step: &str, phase: &str) {
        let lines = Arc::clone(&self.lines);
        let child = self.child.as_mut().expect("it runs");
        let what = format!("step {step} of {} to {phase}", self.shown);
        wait_until(&what, LIMIT, || {
            let ended = child.try_wait().expect("a child of ours");
            let seen = events(&lock(&lines)).iter().any(|event| {
                event["event"] == "step" && event["step"] == step && event["phase"] == phase
            });
            assert!(seen || ended.is_none(), "it ended first: {:#?}", lock(&lines));
            seen.then_some(())
        });
    }

    /// Asserts that it goes on still.
    ///
    /// # Panics
    /// When it has ended.
    pub fn assert_under_way(&mut self) {
        let child = self.child.as_mut().expect("it runs");
        let ended = child.try_wait().expect("a child of ours");
        assert!(ended.is_none(), "{} ended: {:#?}", self.shown, lock(&self.lines));
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        Run::of(Command::new("kill").args(["-INT", &pid])).ok();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn finish(mut self) -> Run {
        let mut run = Run::finish(self.child.take().expect("it runs"), self.shown.clone());
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends with its pipe");
        }
        run.stdout = lock(&self.lines).join("\n");
        run
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The JSON objects among lines of output.
pub fn events(lines: &[String]) -> Vec<Value> {
    lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn lock(lines: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
