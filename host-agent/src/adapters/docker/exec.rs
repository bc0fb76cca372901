//! Running something in a container.

use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::{CALL, KEPT_MAX, Machine};
use crate::lifecycle::engine::{EngineError, Exec, ExecOutcome};

impl Machine {
    pub(super) async fn engine_exec(
        &self,
        id: &str,
        exec: &Exec,
        lines: Option<mpsc::UnboundedSender<String>>,
    ) -> Result<ExecOutcome, EngineError> {
        let program = exec.command.first().map_or("", String::as_str);
        let action = format!("run {program} in container {id}");
        let docker = self.docker()?;
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(exec.command.clone()),
            env: Some(exec.env.clone()),
            user: Some(exec.user.clone()),
            working_dir: exec.workdir.clone(),
            ..Default::default()
        };
        let made = self.call(&action, CALL, docker.create_exec(id, config)).await?;
        let run = async {
            let options = StartExecOptions { detach: false, tty: false, output_capacity: None };
            let mut kept = Kept { lines, ..Kept::default() };
            if let StartExecResults::Attached { mut output, .. } =
                docker.start_exec(&made.id, Some(options)).await?
            {
                while let Some(chunk) = output.next().await {
                    kept.take(chunk?);
                }
            }
            let ended = docker.inspect_exec(&made.id).await?;
            Ok(kept.into_outcome(ended.exit_code.unwrap_or(-1)))
        };
        self.call(&action, exec.limit, run).await
    }
}

/// Output as it comes.
#[derive(Default)]
struct Kept {
    out: Vec<u8>,
    err: Vec<u8>,
    lines: Option<mpsc::UnboundedSender<String>>,
    line: Vec<u8>,
}

impl Kept {
    fn take(&mut self, chunk: LogOutput) {
        let (kept, message) = match chunk {
            LogOutput::StdErr { message } => (&mut self.err, message),
            LogOutput::StdOut { message }
            | LogOutput::StdIn { message }
            | LogOutput::Console { message } => (&mut self.out, message),
        };
        let room = KEPT_MAX.saturating_sub(kept.len()).min(message.len());
        kept.extend_from_slice(message.get(..room).unwrap_or_default());
        if let Some(lines) = &self.lines {
            self.line.extend_from_slice(&message);
            while let Some(end) = self.line.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.line.drain(..=end).collect();
                let _ = lines.send(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.line.len() > KEPT_MAX {
                self.line.clear();
            }
        }
    }

    fn into_outcome(self, code: i64) -> ExecOutcome {
        if let Some(lines) = self.lines.filter(|_| !self.line.is_empty()) {
            let _ = lines.send(String::from_utf8_lossy(&self.line).into_owned());
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ExecOutcome { code, stdout: text(&self.out), stderr: text(&self.err) }
    }
}
