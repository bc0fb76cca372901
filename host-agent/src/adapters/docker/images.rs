//! Images: look at, relabel, remove. Building them is the devcontainer CLI's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use bollard::query_parameters as query;
use futures_util::StreamExt as _;

use super::{CALL, KEPT_MAX, Machine, gone_is_fine};
use crate::lifecycle::engine::{EngineError, Image};

/// How long relabelling may take: no step of it runs anything.
const RELABEL: Duration = Duration::from_secs(120);

impl Machine {
    pub(super) async fn engine_image(&self, reference: &str) -> Result<Option<Image>, EngineError> {
        let action = format!("inspect image {reference}");
        let inspected = match self.docker()?.inspect_image(reference).await {
            Ok(inspected) => inspected,
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(self.explain(&action, error)),
        };
        let config = inspected.config.unwrap_or_default();
        Ok(Some(Image {
            id: inspected.id.unwrap_or_default(),
            labels: config.labels.unwrap_or_default().into_iter().collect(),
            user: config.user.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
            env: config.env.unwrap_or_default(),
            tags: inspected.repo_tags.unwrap_or_default(),
            digests: inspected.repo_digests.unwrap_or_default(),
        }))
    }

    pub(super) async fn engine_image_names(&self) -> Result<Vec<String>, EngineError> {
        let call = self.docker()?.list_images(None::<query::ListImagesOptions>);
        let list = self.call("list images", CALL, call).await?;
        Ok(list.into_iter().flat_map(|image| image.repo_tags).collect())
    }

    /// A build of two lines, without a step that runs anything. `FROM` takes the id: a name could
    /// mean another image by now.
    pub(super) async fn engine_relabel(
        &self,
        base: &str,
        labels: &BTreeMap<String, String>,
        name: &str,
    ) -> Result<String, EngineError> {
        let action = format!("label image {name}");
        let context = context(base, labels).map_err(|error| EngineError::Refused {
            action: action.clone(),
            message: error.to_string(),
        })?;
        let options = query::BuildImageOptions {
            dockerfile: "Dockerfile".to_owned(),
            t: Some(name.to_owned()),
            q: true,
            rm: true,
            forcerm: true,
            ..Default::default()
        };
        let body = bollard::body_full(context.into());
        let mut steps = Box::pin(self.docker()?.build_image(options, None, Some(body)));
        let build = async {
            while let Some(step) = steps.next().await {
                let failed = step?.error_detail.and_then(|detail| detail.message);
                if let Some(error) = failed {
                    return Err(bollard::errors::Error::DockerStreamError { error });
                }
            }
            Ok(())
        };
        self.call(&action, RELABEL, build).await?;
        match self.engine_image(name).await? {
            Some(image) => Ok(image.id),
            None => Err(EngineError::Absent { action }),
        }
    }

    pub(super) async fn engine_remove_image(&self, name: &str) -> Result<(), EngineError> {
        let call = self.docker()?.remove_image(name, None::<query::RemoveImageOptions>, None);
        match self.call(&format!("remove image {name}"), CALL, call).await.map(|_| ()) {
            Err(EngineError::Refused { message, .. }) if message.contains("No such image") => {
                Ok(())
            }
            other => gone_is_fine(other),
        }
    }
}

/// The build's context: a Dockerfile alone. Values are quoted for the Dockerfile's own parser, in
/// which a double-quoted string keeps everything but `"`, `\` and `$`.
fn context(base: &str, labels: &BTreeMap<String, String>) -> std::io::Result<Vec<u8>> {
    let mut dockerfile = format!("FROM {base}\n");
    for (name, value) in labels {
        let mut quoted = String::with_capacity(value.len() + 16);
        for character in value.chars() {
            match character {
                '"' | '\\' | '$' => quoted.extend(['\\', character]),
                '\n' | '\r' => quoted.push(' '),
                other => quoted.push(other),
            }
        }
        let _ = writeln!(dockerfile, "LABEL {name}=\"{quoted}\"");
    }
    debug_assert!(dockerfile.len() < KEPT_MAX);
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(dockerfile.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "Dockerfile", dockerfile.as_bytes())?;
    archive.into_inner()
}
