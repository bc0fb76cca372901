//! `hooks`: the lifecycle hooks of features and repository, after the boot, so that git and `gh`
//! work in them.

use std::time::Duration;

use serde_json::json;

use super::super::devcontainers::{DevcontainerError, HooksRequest};
use super::super::engine::ContainerEngine;
use super::super::failure::Failure;
use super::super::stage::Stage;
use super::super::telling::Telling;
use super::super::view::Step;
use super::super::{Lifecycle, blocking, labels};
use super::Made;
use super::clone::stage_failure;
use crate::credentials::Forge;
use crate::policy::{Form, Hooks};
use crate::records::Record;

/// How long all hooks together may take.
const HOOKS: Duration = Duration::from_secs(2 * 60 * 60);

/// Name of the file that stands in for devcontainer.json: the image's label has all the rest.
const CONFIG: &str = "run.json";

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(in crate::lifecycle) async fn run_hooks(
        &self,
        stage: &Stage,
        record: &Record,
        id: &str,
        (plan, built): Made<'_>,
        telling: &Telling,
    ) -> Result<(), Failure> {
        if !any(&built.effective.hooks) {
            return Ok(());
        }
        let config = stage.file(CONFIG);
        let folder = &plan.workspace.folder;
        let (text, project) = match &plan.form {
            Form::Image { .. } | Form::Dockerfile { .. } => {
                (json!({"image": built.name, "workspaceFolder": folder}), None)
            }
            Form::Compose(compose) => (
                json!({
                    "dockerComposeFile": compose.paths, "service": compose.service,
                    "workspaceFolder": folder,
                }),
                Some(labels::project(&record.drone)),
            ),
        };
        let target = config.clone();
        blocking(move || std::fs::write(target, text.to_string()))
            .await
            .map_err(|error| stage_failure(&error))?;
        let request = HooksRequest {
            workspace: stage.checkout(),
            config,
            id_label: labels::id_label(&record.drone),
            container: id.to_owned(),
            project,
            limit: HOOKS,
        };
        let engine = &self.engine;
        let ran = telling
            .with_output(Step::Hooks, async |output| engine.run_hooks(&request, output).await)
            .await;
        ran.map_err(|error| self.hook_failure(id, error))
    }

    /// What failed, and that it was for memory where the engine saw that.
    fn hook_failure(&self, id: &str, error: DevcontainerError) -> Failure {
        let failure = Failure::from(error);
        if !self.known.is_out_of_memory(id) {
            return failure;
        }
        failure.hint("the kernel killed a process for memory: give the drone more with --memory")
    }
}

fn any(hooks: &Hooks) -> bool {
    [
        &hooks.on_create,
        &hooks.update_content,
        &hooks.post_create,
        &hooks.post_start,
        &hooks.post_attach,
    ]
    .iter()
    .any(|commands| !commands.is_empty())
}
