//! The devcontainer CLI: builds images, brings Compose drones up, runs hooks.
//!
//! It runs with an environment made from nothing (`${localEnv:X}` reads it), under a watchdog, and
//! writes no lock file but over ours. Its standard error is a stream of JSON lines with stack traces in
//! plain text between them; its standard output one line of JSON that tells the outcome.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::sync::OwnedSemaphorePermit;

use super::cut_off::CutOff;
use super::exec::{self, ExecError, Pipe, Run};
use super::hook_watch::HookWatch;
use super::{Machine, cli_home};
use crate::config::env;
use crate::lifecycle::devcontainers::{
    BuildRequest, DevcontainerError, Devcontainers, HooksRequest, Lock, Output, OutputLine,
    UpRequest,
};
use crate::lifecycle::engine::ContainerEngine as _;
use crate::secret::hex;

/// First engine whose built-in BuildKit frontend knows the build contexts that features need.
const BUILDKIT_MAJOR: u32 = 23;

/// First Compose that is a plugin of Docker's client, and knows all that our file says.
const COMPOSE_MAJOR: u32 = 2;

/// How long `docker buildx version` may take.
const PROBE: Duration = Duration::from_secs(20);

/// What the CLI's own names of images begin with: `vsc-<folder>-<SHA-256 of its path>[-features]`. It
/// gives one to whatever it makes for Compose, beside the name that is asked for.
const BYPRODUCT: &str = "vsc-";

/// Level of what is meant for people.
const INFORMATION: u8 = 3;

/// Longest progress text, in characters.
const PROGRESS_MAX: usize = 200;

/// Which builder the engine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuilderKind {
    /// Builds run side by side.
    BuildKit,
    /// Builds share one global tag in the CLI: one at a time, or drones get each other's features.
    Classic,
}

impl BuilderKind {
    fn flag(self) -> &'static str {
        match self {
            Self::BuildKit => "auto",
            Self::Classic => "never",
        }
    }
}

/// The line of JSON on standard output. Unknown keys are the CLI's right.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Outcome {
    outcome: String,
    message: Option<String>,
    description: Option<String>,
    #[serde(rename = "containerId")]
    container_id: Option<String>,
}

/// A line of JSON on standard error.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LogLine {
    #[serde(rename = "type")]
    kind: String,
    /// 1: trace, 2: debug, 3: information, 4: warning, 5: error.
    level: u8,
    text: String,
    name: String,
    status: String,
    #[serde(rename = "stepDetail")]
    step_detail: String,
}

impl Devcontainers for Machine {
    async fn build(&self, request: &BuildRequest, output: Output) -> Result<(), DevcontainerError> {
        let builder = self.builder().await;
        let _permit = self.build_permit(builder).await;
        let classic = builder == BuilderKind::Classic;
        let mut notes = if classic { self.take_notes(&request.notes).await } else { None };
        let mut run = self.devcontainer("build", builder, request.limit, None);
        argument(&mut run, "--workspace-folder", request.workspace.as_os_str());
        argument(&mut run, "--config", request.config.as_os_str());
        argument(&mut run, "--image-name", &request.image);
        if !request.features.is_empty() {
            let features = serde_json::Value::Object(request.features.clone()).to_string();
            argument(&mut run, "--additional-features", features);
        }
        run.arguments.extend(lock_flag(request.lock).map(OsString::from));
        let heard = |line: &str| {
            if let (Some(notes), Some(text)) = (&mut notes, raw_text(line)) {
                notes.hear(&text);
            }
        };
        let built = self.outcome("build", &run, &output, heard).await;
        self.drop_byproducts(&request.workspace).await;
        if classic {
            self.sweep_alone(&request.notes).await;
        }
        built.map(drop)
    }

    async fn check_compose(&self) -> Result<(), DevcontainerError> {
        self.compose.get_or_try_init(|| self.probe_compose()).await.copied()
    }

    async fn up(&self, request: &UpRequest, output: Output) -> Result<String, DevcontainerError> {
        let builder = self.builder().await;
        let mut run = self.devcontainer("up", builder, request.limit, Some(&request.project));
        argument(&mut run, "--workspace-folder", request.workspace.as_os_str());
        argument(&mut run, "--override-config", request.config.as_os_str());
        argument(&mut run, "--id-label", &request.id_label);
        argument(&mut run, "--update-remote-user-uid-default", "never");
        run.arguments.extend(["--no-lockfile".into(), "--skip-post-create".into()]);
        let watched = CutOff::unless_ended(&self.cut_off);
        let outcome = self.outcome("up", &run, &output, |_| ()).await;
        watched.ended();
        outcome?.container_id.ok_or_else(|| DevcontainerError::Failed {
            message: "devcontainer up named no container".to_owned(),
        })
    }

    async fn sweep(&self, notes: &Path) {
        self.sweep_soon(notes).await;
    }

    fn is_byproduct(&self, image: &str, workspace: &Path) -> bool {
        let digest = hex(&Sha256::digest(workspace.as_os_str().as_encoded_bytes()));
        image.strip_prefix(BYPRODUCT).is_some_and(|rest| rest.contains(&digest))
    }

    async fn end_orphans(&self, workspace: &Path) {
        let needle = workspace.to_owned();
        let ended = tokio::task::spawn_blocking(move || exec::end_groups_on(&needle)).await;
        if let Ok(count @ 1..) = ended {
            tracing::info!(count, "programs that an operation had left behind were ended");
            drop(CutOff::unless_ended(&self.cut_off));
        }
    }

    async fn run_hooks(
        &self,
        request: &HooksRequest,
        output: Output,
    ) -> Result<(), DevcontainerError> {
        let command = "run-user-commands";
        let project = request.project.as_deref();
        let mut run = Run {
            arguments: vec![command.into()],
            // Each hook has its own time, which the watch keeps.
            ..self.plain_devcontainer(Duration::MAX, project)
        };
        run.arguments.extend(["--log-format".into(), "json".into()]);
        let docker = match (&self.hook_client, &request.runner) {
            // This program may have been taken away under us.
            (Some(stand_in), Some(runner)) if stand_in.exists() => {
                run.environment.push((env::HOOK_DOCKER, self.programs.docker.clone().into()));
                run.environment.push((env::HOOK_RUNNER, runner.into()));
                stand_in
            }
            _ => &self.programs.docker,
        };
        argument(&mut run, "--docker-path", docker.as_os_str());
        argument(&mut run, "--workspace-folder", request.workspace.as_os_str());
        argument(&mut run, "--override-config", request.config.as_os_str());
        argument(&mut run, "--id-label", &request.id_label);
        argument(&mut run, "--container-id", &request.container);
        let (watch, limit) = (HookWatch::new(), request.hook_limit);
        tokio::select! {
            done = self.outcome(command, &run, &output, |line| watch.hear(line)) => done.map(drop),
            late = watch.overdue(limit) => Err(match late {
                Some(hook) => DevcontainerError::Hook { hook, limit },
                None => DevcontainerError::Deadline { command, limit },
            }),
        }
    }
}

impl Machine {
    /// Asked once: an engine that gets another builder is restarted, and so are we.
    async fn builder(&self) -> BuilderKind {
        *self
            .builder
            .get_or_init(|| async {
                let modern = self.facts().await.is_ok_and(|facts| facts.major >= BUILDKIT_MAJOR);
                let probe = Run {
                    program: self.programs.docker.clone(),
                    arguments: vec!["buildx".into(), "version".into()],
                    ..self.plain_devcontainer(PROBE, None)
                };
                let plugin = probe.output().await.is_ok_and(|(status, ..)| status.success());
                if modern && plugin { BuilderKind::BuildKit } else { BuilderKind::Classic }
            })
            .await
    }

    /// Takes the CLI's own names away. What they named has ours, if it came to that.
    async fn drop_byproducts(&self, workspace: &Path) {
        let names = self.image_names().await.unwrap_or_default();
        for name in names.iter().filter(|name| self.is_byproduct(name, workspace)) {
            if let Err(error) = self.remove_image(name).await {
                tracing::warn!(image = name, %error, "a name of the devcontainer CLI's stays");
            }
        }
    }

    async fn probe_compose(&self) -> Result<(), DevcontainerError> {
        let program = self.programs.docker.clone();
        let probe = Run {
            program: program.clone(),
            arguments: ["compose", "version", "--short"].map(OsString::from).into(),
            ..self.plain_devcontainer(PROBE, None)
        };
        let (status, out, err) = probe.output().await.map_err(|error| match error {
            ExecError::Deadline(limit) => DevcontainerError::Deadline { command: "compose", limit },
            ExecError::Io(source) => DevcontainerError::Run { program, source },
        })?;
        if status.success() && compose_major(&out).is_some_and(|major| major >= COMPOSE_MAJOR) {
            return Ok(());
        }
        let mut lines = err.lines().chain(out.lines()).map(str::trim);
        let said = lines.find(|line| !line.is_empty()).unwrap_or("nothing");
        Err(DevcontainerError::NoCompose { said: shortened(&plain(said)) })
    }

    pub(super) async fn build_permit(&self, builder: BuilderKind) -> Option<OwnedSemaphorePermit> {
        let permits = match builder {
            BuilderKind::BuildKit => 1,
            BuilderKind::Classic => self.build_permits,
        };
        // The semaphore is never closed.
        self.builds.clone().acquire_many_owned(permits).await.ok()
    }

    pub(super) fn plain_devcontainer(&self, limit: Duration, project: Option<&str>) -> Run {
        let mut host = OsString::from("unix://");
        host.push(&self.programs.docker_socket);
        let mut environment = vec![
            ("DOCKER_HOST", host),
            ("COMPOSE_DISABLE_ENV_FILE", "1".into()),
            ("NO_COLOR", "1".into()),
        ];
        if let Some(project) = project {
            environment.push(("COMPOSE_PROJECT_NAME", project.into()));
        }
        Run {
            program: self.programs.devcontainer.clone(),
            arguments: vec![],
            environment,
            home: self.home.clone(),
            directory: self.scratch.clone(),
            input: None,
            limit,
        }
    }

    fn devcontainer(
        &self,
        command: &str,
        builder: BuilderKind,
        limit: Duration,
        project: Option<&str>,
    ) -> Run {
        let mut run = self.plain_devcontainer(limit, project);
        run.arguments.push(command.into());
        run.arguments.extend(["--log-format".into(), "json".into()]);
        argument(&mut run, "--docker-path", self.programs.docker.as_os_str());
        argument(&mut run, "--buildkit", builder.flag());
        run
    }

    async fn outcome(
        &self,
        command: &'static str,
        run: &Run,
        output: &Output,
        heard: impl FnMut(&str) + Send,
    ) -> Result<Outcome, DevcontainerError> {
        let unmade = |source| DevcontainerError::Run { program: run.program.clone(), source };
        let (temporary, run) = self.with_temporary(run).await.map_err(unmade)?;
        let done = self.ended(command, &run, output, heard).await;
        // An interrupted run drops it here and now instead.
        let _ = tokio::task::spawn_blocking(move || drop(temporary)).await;
        done
    }

    /// A temporary directory of its own for a run, which has to be over before that is dropped.
    pub(super) async fn with_temporary(&self, run: &Run) -> io::Result<(TempDir, Run)> {
        let scratch = self.scratch.clone();
        let made = tokio::task::spawn_blocking(move || cli_home::make(&scratch)).await;
        let temporary = made.unwrap_or_else(|error| Err(error.into()))?;
        let mut run = run.clone();
        run.environment.push(("TMPDIR", temporary.path().into()));
        Ok((temporary, run))
    }

    async fn ended(
        &self,
        command: &'static str,
        run: &Run,
        output: &Output,
        mut heard: impl FnMut(&str) + Send,
    ) -> Result<Outcome, DevcontainerError> {
        let mut outcome = None;
        let mut last = String::new();
        let status = run
            .lines(|pipe, text| match pipe {
                Pipe::Out => {
                    outcome = serde_json::from_str::<Outcome>(text).ok().or(outcome.take())
                }
                Pipe::Err => {
                    heard(text);
                    for line in log_lines(text) {
                        if let OutputLine::Log(text) | OutputLine::Progress(text) = &line
                            && !text.trim().is_empty()
                        {
                            last.clone_from(text);
                        }
                        // A reader that is gone is no reason to end a build.
                        let _ = output.send(line);
                    }
                }
            })
            .await
            .map_err(|error| match error {
                ExecError::Deadline(limit) => DevcontainerError::Deadline { command, limit },
                ExecError::Io(source) => {
                    DevcontainerError::Run { program: run.program.clone(), source }
                }
            })?;
        let outcome = outcome.unwrap_or_default();
        if status.success() && outcome.outcome == "success" {
            return Ok(outcome);
        }
        let said = outcome.description.or(outcome.message).filter(|text| !text.is_empty());
        Err(DevcontainerError::Failed {
            message: said.unwrap_or_else(|| format!("devcontainer {command} failed: {last}")),
        })
    }
}

/// What the CLI is told about a lock file. Without a word it obeys the one that is there, and adds to
/// it what it lacks.
fn lock_flag(lock: Lock) -> Option<&'static str> {
    match lock {
        Lock::None => Some("--no-lockfile"),
        Lock::Repository => Some("--frozen-lockfile"),
        Lock::Ours => None,
    }
}

/// The major version in what `docker compose version --short` prints: `2.26.1-4`, or `v2.17.0`.
fn compose_major(text: &str) -> Option<u32> {
    text.trim().trim_start_matches('v').split('.').next()?.parse().ok()
}

fn argument(run: &mut Run, name: &str, value: impl Into<OsString>) {
    run.arguments.extend([OsString::from(name), value.into()]);
}

/// The text of a line on standard error that hands on what a child of the CLI's said.
fn raw_text(line: &str) -> Option<String> {
    let line: LogLine = serde_json::from_str(line).ok()?;
    (line.kind == "raw").then_some(line.text)
}

/// What a line on standard error says; plain text passes as it is.
fn log_lines(text: &str) -> Vec<OutputLine> {
    let Ok(line) = serde_json::from_str::<LogLine>(text) else {
        return vec![OutputLine::Trace(text.to_owned())];
    };
    match line.kind.as_str() {
        "progress" if line.status == "running" => {
            vec![OutputLine::Progress(shortened(&format!("{} {}", line.name, line.step_detail)))]
        }
        "progress" => vec![OutputLine::Trace(format!("{} {}", line.name, line.status))],
        "start" | "stop" => line.text.lines().map(|text| OutputLine::Trace(plain(text))).collect(),
        "raw" | "text" if line.level < INFORMATION => {
            line.text.lines().map(|text| OutputLine::Trace(plain(text))).collect()
        }
        "raw" => line.text.lines().map(raw_line).collect(),
        _ => line.text.lines().map(text_line).collect(),
    }
}

/// Output of a build or a hook: steps of either builder are progress.
fn raw_line(text: &str) -> OutputLine {
    let text = plain(text);
    let step = text.starts_with("Step ") || (text.starts_with('#') && text.contains('['));
    if step { OutputLine::Progress(shortened(&text)) } else { OutputLine::Log(text) }
}

/// What the CLI itself says; the ends of its errors are stack traces.
fn text_line(text: &str) -> OutputLine {
    let text = plain(text);
    if text.starts_with("    at ") || text.starts_with("Error: Command failed") {
        OutputLine::Trace(text)
    } else {
        OutputLine::Log(text)
    }
}

/// Text without terminal sequences and other control characters.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(one) = characters.next() {
        match one {
            '\u{1b}' => {
                // A control sequence ends with its first letter.
                let _ = characters.by_ref().find(|next| next.is_ascii_alphabetic());
            }
            '\t' => plain.push(' '),
            one if one.is_control() => {}
            one => plain.push(one),
        }
    }
    plain
}

fn shortened(text: &str) -> String {
    text.trim().chars().take(PROGRESS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_stream_is_read_leniently() {
        let progress = r#"{"type":"progress","name":"Running postCreateCommand...","status":"running","stepDetail":"make","channel":"postCreate","new":1}"#;
        assert_eq!(
            log_lines(progress),
            [OutputLine::Progress("Running postCreateCommand... make".to_owned())]
        );
        let raw = r##"{"type":"raw","level":3,"text":"#7 [2/3] RUN make\r\nplain\n"}"##;
        assert_eq!(
            log_lines(raw),
            [
                OutputLine::Progress("#7 [2/3] RUN make".to_owned()),
                OutputLine::Log("plain".to_owned())
            ]
        );
        assert_eq!(compose_major("2.26.1-4\n"), Some(2));
        assert_eq!(compose_major("v2.17.0"), Some(2));
        assert_eq!(compose_major("Docker Compose"), None);
        assert_eq!(log_lines("    at x.js:1"), [OutputLine::Trace("    at x.js:1".to_owned())]);
    }
}
