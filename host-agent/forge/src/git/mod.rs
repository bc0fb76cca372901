//! Git plumbing over one bare repository, always with a scrubbed environment and a deadline.

pub mod access;
pub mod backend;
pub mod hooks;
pub mod lfs;
pub mod merge;
pub mod seed;

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

/// Longest life of one plumbing command.
const PLUMBING_DEADLINE: Duration = Duration::from_secs(60);

/// Why git did not do what the forge asked of it.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// It could not be started or spoken to.
    #[error("git {command} in {} could not run; is git installed?", dir.display())]
    Io {
        /// The subcommand.
        command: String,
        /// Where.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("git {command} in {} took longer than {PLUMBING_DEADLINE:?}", dir.display())]
    Deadline {
        /// The subcommand.
        command: String,
        /// Where.
        dir: PathBuf,
    },
    /// It failed.
    #[error("git {command} in {} failed: {stderr}", dir.display())]
    Failed {
        /// The subcommand.
        command: String,
        /// Where.
        dir: PathBuf,
        /// What it printed about it.
        stderr: String,
    },
}

/// Git over one directory.
#[derive(Debug, Clone)]
pub struct Git {
    dir: PathBuf,
}

/// A git command that knows nothing of the caller's environment, home or global configuration.
pub fn scrubbed(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.env_clear().current_dir(dir).kill_on_drop(true);
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    command.env("PATH", path).env("HOME", dir).env("LC_ALL", "C");
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    // Whoever seeds a repository need not own its files.
    command.args(["-c", "safe.directory=*", "-c", "gc.auto=0"]);
    command
}

impl Git {
    /// Over this directory.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where it works.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs a command and gives what it printed, without the last newline.
    ///
    /// # Errors
    /// When it cannot run, fails, or takes longer than a minute.
    pub async fn run(&self, args: &[&str]) -> Result<String, GitError> {
        self.run_with(args, &[], b"").await
    }

    /// The same, as raw bytes.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn bytes(&self, args: &[&str]) -> Result<Vec<u8>, GitError> {
        self.output(args, &[], b"").await
    }

    /// The same with further environment variables and something on standard input.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_with(
        &self,
        args: &[&str],
        env: &[(&str, &str)],
        stdin: &[u8],
    ) -> Result<String, GitError> {
        let output = self.output(args, env, stdin).await?;
        Ok(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())
    }

    async fn output(
        &self,
        args: &[&str],
        env: &[(&str, &str)],
        stdin: &[u8],
    ) -> Result<Vec<u8>, GitError> {
        let name = || args.first().copied().unwrap_or_default().to_owned();
        let dir = || self.dir.clone();
        let io = |source| GitError::Io { command: name(), dir: dir(), source };
        let mut command = scrubbed(&self.dir);
        command.args(args).envs(env.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(io)?;
        let pipe = child.stdin.take();
        let feed = async {
            if let Some(mut pipe) = pipe {
                // A command that does not read to the end says so by its exit status.
                let _ = pipe.write_all(stdin).await;
            }
        };
        let whole = async { tokio::join!(feed, child.wait_with_output()).1 };
        let output = timeout(PLUMBING_DEADLINE, whole)
            .await
            .map_err(|_| GitError::Deadline { command: name(), dir: dir() })?
            .map_err(io)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(GitError::Failed { command: name(), dir: dir(), stderr })
    }

    /// The commit that a branch, tag or commit name leads to.
    pub async fn resolve(&self, name: &str) -> Option<String> {
        let commit = format!("{name}^{{commit}}");
        self.run(&["rev-parse", "--verify", "--quiet", "--end-of-options", &commit]).await.ok()
    }

    /// The tip of a branch.
    pub async fn branch(&self, name: &str) -> Option<String> {
        self.resolve(&format!("refs/heads/{name}")).await
    }
}
