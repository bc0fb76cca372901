//! git on the host: clones for the stage, and looks into such fresh clones. Never run in a tree
//! that a drone has written, where its configuration would run programs here.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Machine;
use super::exec::{ExecError, Pipe, Run};
use crate::lifecycle::checkouts::{Checkouts, CloneError, CloneRequest};
use crate::lifecycle::devcontainers::OutputLine;
use crate::secret::Token;

/// Variable that tells the credential helper which pipe to read.
const TOKEN_PIPE: &str = "HATCHERY_TOKEN_PIPE";

/// The credential helper of a clone: one line of the pipe is the token.
const HELPER: &str = "!f() { test \"$1\" = get || return 0; IFS= read -r token \
    < \"$HATCHERY_TOKEN_PIPE\" && printf 'username=x-access-token\\npassword=%s\\n' \"$token\"; }; f";

/// How often git may ask for the token during one clone.
const TOKEN_READS: usize = 4;

/// Time between two lines that say how far a clone is.
const PROGRESS: Duration = Duration::from_secs(1);

/// How long a look into a fresh clone may take.
const LOOK: Duration = Duration::from_secs(30);

impl Checkouts for Machine {
    async fn clone_repository(
        &self,
        request: &CloneRequest,
        lines: mpsc::UnboundedSender<OutputLine>,
    ) -> Result<(), CloneError> {
        let host = |source| CloneError::Host { url: request.url.clone(), source };
        let pipe = TokenPipe::new(&self.scratch, &request.token).map_err(host)?;
        let mut run = self.git(self.scratch.clone(), request.limit);
        run.environment.push((TOKEN_PIPE, pipe.path().into()));
        run.arguments.extend(clone_arguments(request));
        let mut last = String::new();
        let mut shown = None;
        let status = run
            .lines(|pipe, text| {
                if shown.is_none_or(|shown: Instant| shown.elapsed() > PROGRESS) || !is_share(text)
                {
                    shown = Some(Instant::now());
                    let _ = lines.send(OutputLine::Progress(text.trim_end().to_owned()));
                }
                if pipe == Pipe::Err && (text.starts_with("fatal:") || last.is_empty()) {
                    last = text.trim_start_matches("fatal: ").to_owned();
                }
            })
            .await
            .map_err(|error| match error {
                ExecError::Deadline(limit) => {
                    CloneError::Deadline { url: request.url.clone(), limit }
                }
                ExecError::Io(source) => host(source),
            })?;
        if status.success() { Ok(()) } else { Err(refusal(request, last)) }
    }

    async fn tree_id(&self, root: &Path, path: &str) -> Result<Option<String>, CloneError> {
        let mut run = self.git(root.to_owned(), LOOK);
        // This clone's own, whatever the tree has in it.
        run.environment.push(("GIT_DIR", root.join(".git").into()));
        let path = path.trim_matches('/').trim_start_matches("./");
        let path = if path == "." { "" } else { path };
        run.arguments.extend(
            ["rev-parse", "--verify", "--quiet", &format!("HEAD:{path}")].map(OsString::from),
        );
        let failed = |source| CloneError::Host { url: root.display().to_string(), source };
        let (status, out, _) = run.output().await.map_err(|error| match error {
            ExecError::Deadline(_) => failed(io::ErrorKind::TimedOut.into()),
            ExecError::Io(source) => failed(source),
        })?;
        Ok(status.success().then(|| out.trim().to_owned()).filter(|id| !id.is_empty()))
    }
}

impl Machine {
    /// git without any configuration of the host's or the user's, and without hooks.
    fn git(&self, directory: std::path::PathBuf, limit: Duration) -> Run {
        let settings = ["core.hooksPath=/dev/null", "core.fsmonitor=false", "gc.auto=0"];
        Run {
            program: self.programs.git.clone(),
            arguments: settings
                .iter()
                .flat_map(|setting| ["-c", setting])
                .map(Into::into)
                .collect(),
            environment: vec![
                ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
                ("GIT_CONFIG_SYSTEM", "/dev/null".into()),
                ("GIT_CONFIG_NOSYSTEM", "1".into()),
                ("GIT_TERMINAL_PROMPT", "0".into()),
                ("GIT_LFS_SKIP_SMUDGE", "1".into()),
                ("LC_ALL", "C".into()),
            ],
            home: self.scratch.clone(),
            directory,
            input: None,
            limit,
        }
    }
}

fn clone_arguments(request: &CloneRequest) -> Vec<OsString> {
    let mut settings: Vec<OsString> = vec![
        "protocol.allow=never".into(),
        "protocol.https.allow=always".into(),
        "transfer.credentialsInUrl=die".into(),
        "transfer.fsckObjects=false".into(),
        "credential.helper=".into(),
        format!("credential.helper={HELPER}").into(),
        "http.followRedirects=false".into(),
    ];
    if let Some(file) = &request.ca_file {
        let mut setting = OsString::from("http.sslCAInfo=");
        setting.push(file);
        settings.push(setting);
    }
    if let Some((address, (host, port))) = request.address.zip(host_and_port(&request.url)) {
        settings.push(format!("http.curloptResolve={host}:{port}:{address}").into());
    }
    let mut arguments: Vec<OsString> =
        settings.into_iter().flat_map(|setting| ["-c".into(), setting]).collect();
    let fixed = ["clone", "--progress", "--no-recurse-submodules", "--template="];
    arguments.extend(fixed.map(OsString::from));
    if let Some(branch) = &request.branch {
        arguments.push(format!("--branch={branch}").into());
    }
    arguments.extend(["--".into(), (&request.url).into(), request.target.clone().into()]);
    arguments
}

/// Host and port of an https URL.
fn host_and_port(url: &str) -> Option<(&str, u16)> {
    let authority = url.strip_prefix("https://")?.split('/').next()?;
    match authority.rsplit_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((authority, 443)),
    }
}

/// Whether a line is one of hundreds that only count up.
fn is_share(text: &str) -> bool {
    text.contains("% (") && !text.contains("100%")
}

fn refusal(request: &CloneRequest, last: String) -> CloneError {
    match &request.branch {
        Some(branch) if last.contains("Remote branch") => {
            CloneError::NoBranch { url: request.url.clone(), branch: branch.clone() }
        }
        Some(_) | None => CloneError::Refused { url: request.url.clone(), message: last },
    }
}

/// A named pipe in a directory of its own, 0700, through which git's credential helper gets the
/// token: it is never in an argument, an environment or a file.
struct TokenPipe {
    directory: tempfile::TempDir,
    /// Open for reading too, so that opening does not wait and what was written stays until then.
    _open: std::fs::File,
}

impl TokenPipe {
    fn new(parent: &Path, token: &Token) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("clone-").tempdir_in(parent)?;
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700))?;
        let path = directory.path().join("token");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)?;
        let mut open = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
        for _ in 0..TOKEN_READS {
            // Far below the pipe's 64 KiB: this does not wait.
            writeln!(open, "{}", token.expose())?;
        }
        Ok(Self { directory, _open: open })
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_told_for_the_port_of_the_url() {
        assert_eq!(host_and_port("https://forge.test/a/b.git"), Some(("forge.test", 443)));
        assert_eq!(host_and_port("https://forge.test:8443/a"), Some(("forge.test", 8443)));
        assert_eq!(host_and_port("http://forge.test/a"), None);
    }

    #[tokio::test]
    async fn the_helper_gets_the_token_through_the_pipe_as_often_as_git_asks() {
        let directory = tempfile::tempdir().expect("a directory");
        let pipe = TokenPipe::new(directory.path(), &Token::new("ghs_x".into())).expect("a pipe");
        let run = Run {
            program: "/bin/sh".into(),
            arguments: vec![
                "-c".into(),
                format!("{} get; f get; f store", HELPER.trim_start_matches('!')).into(),
            ],
            environment: vec![(TOKEN_PIPE, pipe.path().into())],
            home: directory.path().into(),
            directory: directory.path().into(),
            input: None,
            limit: Duration::from_secs(10),
        };
        let (_, out, _) = run.output().await.expect("runs");
        assert_eq!(out, "username=x-access-token\npassword=ghs_x\n".repeat(2));
    }
}
