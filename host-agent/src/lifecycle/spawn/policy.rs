//! `policy`: what is left of the repository's configuration once it has been through the policy's
//! first pass, put into the stage.

use std::collections::HashSet;

use hatchery_protocol::DroneName;

use super::super::engine::ContainerEngine;
use super::super::failure::Failure;
use super::super::stage::Stage;
use super::super::telling::Telling;
use super::super::{Lifecycle, blocking};
use super::clone::stage_failure;
use super::compose::for_build;
use crate::credentials::Forge;
use crate::credentials::audit::Verdict;
use crate::policy::{self, Finding, Form, Plan, Scope};
use crate::records::Record;

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(in crate::lifecycle) async fn plan(
        &self,
        stage: &Stage,
        record: &Record,
        telling: &Telling,
    ) -> Result<Plan, Failure> {
        let subpaths = self.engine.facts().await?.volume_subpaths();
        let local: HashSet<String> = self.engine.image_names().await?.into_iter().collect();
        let (config, stage) = (self.config.clone(), stage.clone());
        let (drone, repo) = (record.drone.clone(), record.repo.name.clone());
        let choices = record.choices.clone();
        let (findings, accepted) = blocking(move || {
            let scope = Scope::new(&config, &drone, &repo, subpaths);
            let is_local = |reference: &str| is_named(&local, reference);
            let chosen = choices.devcontainer.as_deref();
            let review = policy::check_text(&stage.checkout(), chosen, &scope, &is_local)?;
            let findings = review.findings.clone();
            let accepted = review.accept(choices.without_refused).and_then(|accepted| {
                put(&stage, &accepted.outcome, &drone).map_err(|error| stage_failure(&error))?;
                Ok(accepted)
            });
            Ok::<_, Failure>((findings, accepted))
        })
        .await?;
        self.judged(record, &findings).await;
        let accepted = accepted?;
        for notice in accepted.notices {
            telling.notice(notice).await;
        }
        Ok(accepted.outcome)
    }

    /// Writes down what the policy decided.
    pub(super) async fn judged(&self, record: &Record, findings: &[Finding]) {
        for finding in findings {
            let verdict = match finding.verdict {
                policy::Verdict::Permit => Verdict::Allow,
                policy::Verdict::Strip => Verdict::Strip,
                policy::Verdict::Refuse => Verdict::Refuse,
            };
            self.credentials.judged(record, verdict, finding.to_string()).await;
        }
    }
}

/// Whether `reference` is among the engine's names, which always have a tag.
fn is_named(names: &HashSet<String>, reference: &str) -> bool {
    let plain = reference.strip_prefix("docker.io/").unwrap_or(reference);
    let plain = plain.strip_prefix("library/").unwrap_or(plain);
    names.contains(plain) || names.contains(&format!("{plain}:latest"))
}

/// Puts what the policy left into the stage.
fn put(stage: &Stage, plan: &Plan, drone: &DroneName) -> std::io::Result<()> {
    stage.write(&plan.config_path, &plan.devcontainer_json.to_string())?;
    if let Form::Compose(compose) = &plan.form {
        for (path, text) in for_build(compose, drone) {
            stage.write(&path, &text)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_image_is_found_by_every_spelling() {
        let names: HashSet<String> = ["debian:12", "web:latest"].map(str::to_owned).into();
        for reference in ["debian:12", "docker.io/library/debian:12", "web", "web:latest"] {
            assert!(is_named(&names, reference), "{reference}");
        }
        assert!(!is_named(&names, "debian") && !is_named(&names, "ghcr.io/web"));
    }
}
