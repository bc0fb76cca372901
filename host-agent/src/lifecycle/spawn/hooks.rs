//! `hooks`: the lifecycle hooks of features and repository, after the boot, so that git and `gh`
//! work in them.

use hatchery_protocol::paths;
use serde_json::{Value, json};

use super::super::devcontainers::HooksRequest;
use super::super::engine::ContainerEngine;
use super::super::failure::Failure;
use super::super::stage::Stage;
use super::super::telling::Telling;
use super::super::view::Step;
use super::super::{Lifecycle, blocking, labels};
use super::clone::stage_failure;
use super::{Built, Made};
use crate::config::DroneFeature;
use crate::credentials::Forge;
use crate::policy::{Form, Hooks, Plan};
use crate::records::Record;

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
        let text = stand_in(plan, built).to_string();
        let target = config.clone();
        blocking(move || std::fs::write(target, text))
            .await
            .map_err(|error| stage_failure(&error))?;
        let request = HooksRequest {
            workspace: stage.checkout(),
            config,
            id_label: labels::id_label(&record.drone),
            container: id.to_owned(),
            project: project(plan, record),
            hook_limit: self.config.limits.hook_timeout,
            runner: runner(&self.config.features.drone),
        };
        let engine = &self.engine;
        let ran = telling
            .with_output(Step::Hooks, async |output| engine.run_hooks(&request, output).await)
            .await;
        ran.map_err(|error| match Failure::from(error) {
            failure if self.known.is_out_of_memory(id) => failure
                .hint("the kernel killed a process for memory: give the drone more with --memory"),
            failure => failure,
        })
    }
}

/// The drone's own runner of hooks. A drone feature from elsewhere may be older than it.
fn runner(feature: &DroneFeature) -> Option<String> {
    match feature {
        DroneFeature::BuiltIn => Some(format!("{} hook", paths::BINARY)),
        DroneFeature::Reference(_) => None,
    }
}

/// What stands in for devcontainer.json: enough to find the container by.
fn stand_in(plan: &Plan, built: &Built) -> Value {
    let folder = &plan.workspace.folder;
    match &plan.form {
        Form::Image { .. } | Form::Dockerfile { .. } => {
            json!({"image": built.name, "workspaceFolder": folder})
        }
        Form::Compose(compose) => json!({
            "dockerComposeFile": compose.paths, "service": compose.service,
            "workspaceFolder": folder,
        }),
    }
}

/// The Compose project, where there is one.
fn project(plan: &Plan, record: &Record) -> Option<String> {
    match &plan.form {
        Form::Image { .. } | Form::Dockerfile { .. } => None,
        Form::Compose(_) => Some(labels::project(&record.drone)),
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
