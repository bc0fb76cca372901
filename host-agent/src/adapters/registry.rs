//! Registries, by way of the programs that people log in to them with: the devcontainer CLI for
//! features, Docker's client for images.

use std::ffi::OsString;
use std::time::Duration;

use serde::Deserialize;

use super::Machine;
use super::devcontainer_cli::plain;
use super::exec::{ExecError, Pipe, Run};
use crate::lifecycle::devcontainers::{Output, OutputLine};
use crate::lifecycle::registries::{FeatureManifest, Registries, RegistryError};

/// How long looking up a feature may take.
const LOOK_UP: Duration = Duration::from_secs(60);

/// How long pulling an image may take.
const PULL: Duration = Duration::from_secs(60 * 60);

/// Lines of what a program said that go into an error, at most.
const SAID: usize = 3;

/// What `features info manifest` prints; an empty object where the registry has nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Info {
    manifest: Manifest,
    #[serde(rename = "canonicalId")]
    canonical_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Manifest {
    annotations: Annotations,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "dev.containers.metadata")]
    metadata: Option<String>,
}

impl Registries for Machine {
    async fn feature(&self, reference: &str) -> Result<FeatureManifest, RegistryError> {
        let mut run = self.plain_devcontainer(LOOK_UP, None);
        run.arguments = ["features", "info", "manifest", reference].map(OsString::from).into();
        run.arguments.extend(["--output-format", "json"].map(OsString::from));
        let not_run = |error| not_run(reference, &run, error);
        let made = self.with_temporary(&run).await;
        let (temporary, own) = made.map_err(|error| not_run(error.into()))?;
        let done = own.output().await;
        let _ = tokio::task::spawn_blocking(move || drop(temporary)).await;
        let (_, out, err) = done.map_err(not_run)?;
        let (what, reference) = ("feature", reference.to_owned());
        match manifest(&out) {
            Some(manifest) => Ok(manifest),
            // It was told no, and says nothing of it.
            None if out.trim() == "{}" => Err(RegistryError::Unknown { what, reference }),
            None => Err(RegistryError::Refused { what, reference, said: said(&err) }),
        }
    }

    async fn pull(&self, reference: &str, output: Output) -> Result<(), RegistryError> {
        let run = Run {
            program: self.programs.docker.clone(),
            arguments: ["pull", reference].map(OsString::from).into(),
            ..self.plain_devcontainer(PULL, None)
        };
        let mut err = String::new();
        let pulled = run.lines(|pipe, text| match pipe {
            // A reader that is gone is no reason to end a pull.
            Pipe::Out => drop(output.send(OutputLine::Progress(plain(text)))),
            Pipe::Err => {
                err.push_str(text);
                err.push('\n');
            }
        });
        let status = pulled.await.map_err(|error| not_run(reference, &run, error))?;
        if status.success() {
            return Ok(());
        }
        let (what, reference) = ("image", reference.to_owned());
        Err(RegistryError::Refused { what, reference, said: said(&err) })
    }
}

fn not_run(reference: &str, run: &Run, error: ExecError) -> RegistryError {
    match error {
        ExecError::Deadline(limit) => {
            RegistryError::Deadline { reference: reference.to_owned(), limit }
        }
        ExecError::Io(source) => RegistryError::Run { program: run.program.clone(), source },
    }
}

fn manifest(text: &str) -> Option<FeatureManifest> {
    let info: Info = serde_json::from_str(text).ok()?;
    let pinned = Some(info.canonical_id).filter(|id| id.contains("@sha256:"))?;
    Some(FeatureManifest { pinned, metadata: info.manifest.annotations.metadata })
}

/// What a program said of its failure: its errors, or else its last line.
fn said(text: &str) -> Vec<String> {
    let lines: Vec<String> = text.lines().map(plain).collect();
    let errors = lines.iter().filter(|line| line.to_ascii_lowercase().starts_with("error"));
    let mut said: Vec<String> = errors.take(SAID).cloned().collect();
    if said.is_empty() {
        said.extend(lines.into_iter().rfind(|line| !line.trim().is_empty()));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_or_there_is_none() {
        let text = r#"{"manifest": {"schemaVersion": 2, "annotations":
                       {"dev.containers.metadata": "{}", "other": "x"}},
                       "canonicalId": "ghcr.io/a/b@sha256:00"}"#;
        let found = manifest(text).expect("a manifest");
        assert_eq!(
            (found.pinned.as_str(), found.metadata.as_deref()),
            ("ghcr.io/a/b@sha256:00", Some("{}"))
        );
        let old = r#"{"manifest": {}, "canonicalId": "ghcr.io/a/b@sha256:00"}"#;
        assert_eq!(manifest(old).and_then(|found| found.metadata), None);
        for text in ["{}", "", "{\"canonicalId\": \"ghcr.io/a/b:1\"}"] {
            assert_eq!(manifest(text), None, "{text}");
        }
    }

    #[test]
    fn an_error_has_the_errors_alone() {
        let text = "[2026-11-21T16:49:11.352Z] Sending\n\u{1b}[31mError: connect ECONNREFUSED\n    at \
                    TCPConnectWrap.afterConnect\n  errno: -111,\n}\n";
        assert_eq!(said(text), ["Error: connect ECONNREFUSED"]);
        assert_eq!(said("first\nlast\n\n"), ["last"]);
    }
}
