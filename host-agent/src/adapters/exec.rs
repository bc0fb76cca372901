//! Child processes: each with an environment made from nothing, a deadline, and an owner that ends
//! its whole process group.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::BytesMut;
use rustix::process::{Pid, Signal, getpgid, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, Command};

/// Longest line handed on, in bytes; the rest of a longer one becomes further lines.
const LINE_MAX: usize = 256 * 1024;

/// How long output is read on after the program itself has ended: a grandchild may hold the pipes.
const DRAIN: Duration = Duration::from_secs(2);

/// Variables of the host agent's own that every child gets.
const INHERITED: [&str; 2] = ["PATH", "DOCKER_CONFIG"];

/// Where git looks for a repository, and where it finds none. buildx asks git about each build
/// context, the devcontainer CLI about each workspace: there a repository's own settings would run
/// programs, and a directory of plain files can be one.
const NO_REPOSITORY: (&str, &str) = ("GIT_DIR", "/nonexistent");

/// A program to run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The program.
    pub program: PathBuf,
    /// Its arguments: visible to every process of the host, so never a secret.
    pub arguments: Vec<OsString>,
    /// Its environment beside `PATH`, `HOME` and `DOCKER_CONFIG`.
    pub environment: Vec<(&'static str, OsString)>,
    /// `HOME`.
    pub home: PathBuf,
    /// Where it runs.
    pub directory: PathBuf,
    /// What it reads from its standard input; `None`: nothing.
    pub input: Option<String>,
    /// How long it may take.
    pub limit: Duration,
}

/// Which pipe a line came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipe {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Why a program has no exit status.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It took too long and was ended.
    #[error("it took longer than {} s and was ended", .0.as_secs())]
    Deadline(Duration),
    /// It cannot be run.
    #[error("it cannot be run")]
    Io(#[from] io::Error),
}

/// Ends a process group when dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // A group that has ended already answers ESRCH, which is what was wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Run {
    /// Runs it to its end and hands on each line of output. Dropping the future ends the program
    /// and everything that it started.
    ///
    /// # Errors
    /// When it cannot be run or takes too long.
    pub async fn lines(
        &self,
        mut line: impl FnMut(Pipe, &str) + Send,
    ) -> Result<ExitStatus, ExecError> {
        let mut child = self.command().spawn()?;
        let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
        let writing = feed(child.stdin.take(), self.input.clone().unwrap_or_default());
        let out = child.stdout.take().map(LineReader::new);
        let err = child.stderr.take().map(LineReader::new);
        let running = async {
            let mut pipes = Pipes { out, err };
            let status = loop {
                tokio::select! {
                    Some((pipe, text)) = pipes.next() => line(pipe, &text),
                    status = child.wait() => break status?,
                }
            };
            let drain = async {
                while let Some((pipe, text)) = pipes.next().await {
                    line(pipe, &text);
                }
            };
            let _ = tokio::time::timeout(DRAIN, drain).await;
            Ok(status)
        };
        let both = async { tokio::join!(running, writing).0 };
        let ended = tokio::time::timeout(self.limit, both).await;
        drop(group);
        ended.unwrap_or(Err(ExecError::Deadline(self.limit)))
    }

    /// Runs it to its end; returns its status, standard output and standard error.
    ///
    /// # Errors
    /// As [`Run::lines`].
    pub async fn output(&self) -> Result<(ExitStatus, String, String), ExecError> {
        let (mut out, mut err) = (String::new(), String::new());
        let status = self
            .lines(|pipe, text| {
                let kept = match pipe {
                    Pipe::Out => &mut out,
                    Pipe::Err => &mut err,
                };
                kept.push_str(text);
                kept.push('\n');
            })
            .await?;
        Ok((status, out, err))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))))
            .env("HOME", &self.home)
            .env(NO_REPOSITORY.0, NO_REPOSITORY.1)
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            .current_dir(&self.directory)
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// Ends the process groups of all processes that have an argument below `path`, a directory that
/// only this program hands to others. Returns how many processes that were.
pub fn end_groups_on(path: &Path) -> usize {
    let below = [path.as_os_str().as_encoded_bytes(), b"/"].concat();
    let mut ended = 0;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let ours = arguments.split(|&byte| byte == 0).any(|argument| argument.starts_with(&below));
        if ours && let Ok(group) = getpgid(Some(pid)) {
            let _ = kill_process_group(group, Signal::KILL);
            ended += 1;
        }
    }
    ended
}

/// Writes all of `input` and closes the pipe. A program that does not read it to its end has its
/// own reasons.
async fn feed(pipe: Option<ChildStdin>, input: String) {
    if let Some(mut pipe) = pipe {
        let _ = pipe.write_all(input.as_bytes()).await;
    }
}

/// Both pipes, each until its end.
struct Pipes<O, E> {
    out: Option<LineReader<O>>,
    err: Option<LineReader<E>>,
}

impl<O: AsyncRead + Unpin, E: AsyncRead + Unpin> Pipes<O, E> {
    /// The next line of either; `None` when both have ended. Cancel-safe.
    async fn next(&mut self) -> Option<(Pipe, String)> {
        loop {
            let (pipe, text) = match (&mut self.out, &mut self.err) {
                (Some(out), Some(err)) => tokio::select! {
                    text = out.next() => (Pipe::Out, text),
                    text = err.next() => (Pipe::Err, text),
                },
                (Some(out), None) => (Pipe::Out, out.next().await),
                (None, Some(err)) => (Pipe::Err, err.next().await),
                (None, None) => return None,
            };
            match (text, pipe) {
                (Some(text), pipe) => return Some((pipe, text)),
                (None, Pipe::Out) => self.out = None,
                (None, Pipe::Err) => self.err = None,
            }
        }
    }
}

/// Lines of a pipe, which end with a line feed or, as progress bars do, a carriage return.
struct LineReader<R> {
    reader: R,
    pending: BytesMut,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    fn new(reader: R) -> Self {
        Self { reader, pending: BytesMut::new() }
    }

    /// The next line that is not empty; `None` at the end. Cancel-safe: what was read stays.
    async fn next(&mut self) -> Option<String> {
        loop {
            let end = self.pending.iter().position(|&byte| byte == b'\n' || byte == b'\r');
            let line = match end {
                Some(end) => self.pending.split_to(end + 1),
                None if self.pending.len() >= LINE_MAX => self.pending.split(),
                None => match self.reader.read_buf(&mut self.pending).await {
                    Ok(0) | Err(_) if self.pending.is_empty() => return None,
                    Ok(0) | Err(_) => self.pending.split(),
                    Ok(_) => continue,
                },
            };
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            if !text.is_empty() {
                return Some(text.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Run {
        Run {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![],
            home: "/nonexistent".into(),
            directory: "/".into(),
            input: None,
            limit,
        }
    }

    #[tokio::test]
    async fn every_line_comes_and_the_last_needs_no_end() {
        let script = "printf 'a\\r\\nb\\rc'; printf 'd\\n' >&2; exit 3";
        let run = shell(script, Duration::from_secs(10));
        let (status, out, err) = run.output().await.expect("runs");
        assert_eq!((status.code(), out.as_str(), err.as_str()), (Some(3), "a\nb\nc\n", "d\n"));
    }

    #[tokio::test]
    async fn the_environment_is_made_from_nothing() {
        let (_, out, _) = shell("env", Duration::from_secs(10)).output().await.expect("runs");
        let allowed =
            ["PATH=", "HOME=", "PWD=", "DOCKER_CONFIG=", "_=", "SHLVL=", "OLDPWD=", "GIT_DIR="];
        for line in out.lines() {
            assert!(allowed.iter().any(|name| line.starts_with(name)), "leaked {line}");
        }
    }

    #[tokio::test]
    async fn git_finds_no_repository_wherever_a_child_runs_it() {
        let tree = tempfile::tempdir().expect("a directory");
        let mut made = std::process::Command::new("git");
        made.args(["init", "-q"]).arg(tree.path());
        assert!(made.status().expect("git").success());
        let mut run = shell("git rev-parse --git-dir", Duration::from_secs(10));
        run.directory = tree.path().into();
        let (status, out, said) = run.output().await.expect("runs");
        assert!(!status.success() && said.contains("not a git repository"), "{out}{said}");
    }

    #[tokio::test]
    async fn a_program_that_takes_too_long_is_ended_with_its_children() {
        let run = shell("sleep 600 & echo $!; wait", Duration::from_millis(300));
        let mut child = None;
        let ended = run.lines(|_, text| child = text.parse::<i32>().ok()).await;
        assert!(matches!(ended, Err(ExecError::Deadline(_))));
        let child = child.and_then(Pid::from_raw).expect("the child's pid");
        let started = std::time::Instant::now();
        while is_alive(child) {
            assert!(started.elapsed() < Duration::from_secs(10), "the grandchild lives on");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn orphans_are_found_by_the_stage_that_they_work_on() {
        let stage = tempfile::tempdir().expect("a directory");
        let argument = stage.path().join("checkout/web");
        let mut run = shell("echo ready; sleep 600", Duration::from_secs(60));
        run.arguments.extend(["sh".into(), argument.into()]);
        let mut ended = 0;
        let status = run.lines(|_, _| ended = end_groups_on(stage.path())).await.expect("ends");
        assert!(!status.success() && ended >= 1);
        assert_eq!(end_groups_on(&stage.path().join("checkout/we")), 0);
    }

    /// Whether a process exists and is no zombie that its new parent has yet to collect.
    fn is_alive(pid: Pid) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }
}
