//! `policy`: what is left of the repository's configuration once it has been through the policy's
//! first two passes, put into the stage.

use std::collections::HashSet;

use hatchery_protocol::DroneName;

use super::super::engine::ContainerEngine;
use super::super::failure::Failure;
use super::super::stage::Stage;
use super::super::telling::Telling;
use super::super::view::EventKind;
use super::super::{Lifecycle, blocking};
use super::clone::stage_failure;
use super::compose::for_build;
use crate::credentials::Forge;
use crate::credentials::audit::Verdict;
use crate::policy::{self, Examined, Finding, Form, Plan, Report, Scope, refusals_as_failure};
use crate::records::Record;

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(in crate::lifecycle) async fn plan(
        &self,
        stage: &Stage,
        record: &Record,
        telling: &Telling,
    ) -> Result<Plan, Failure> {
        let examined = self.examine(stage, record).await?;
        self.judged(record, &examined.findings).await;
        let accepted = examined.into_review()?.accept(record.choices.without_refused)?;
        for notice in accepted.notices {
            telling.notice(notice).await;
        }
        let mut plan = accepted.outcome;
        self.pin(stage, record, &mut plan, telling).await?;
        let (stage, staged, drone) = (stage.clone(), plan.clone(), record.drone.clone());
        let putting = blocking(move || put(&stage, &staged, &drone));
        putting.await.map_err(|error| stage_failure(&error))?;
        Ok(plan)
    }

    /// Tells what the policy finds, and fails as a spawn would.
    pub(super) async fn judge(
        &self,
        stage: &Stage,
        record: &Record,
        telling: &Telling,
    ) -> Result<(), Failure> {
        let mut examined = self.examine(stage, record).await?;
        let without_refused = record.choices.without_refused;
        let mut report = Report::new(&examined.config_path, &examined.findings, without_refused);
        let broken = examined.is_only_broken();
        let refused = refusals_as_failure(&examined.findings, without_refused);
        let mut unknown = None;
        if let (Some(plan), false, None) = (&examined.plan, broken, &refused) {
            match self.preview(stage, record, plan).await {
                Ok((findings, references)) => {
                    examined.findings.extend(findings);
                    report =
                        Report::new(&examined.config_path, &examined.findings, without_refused);
                    report.references = references;
                }
                Err(failure) => unknown = Some(failure),
            }
        }
        if !broken {
            telling.tell(EventKind::Policy { report }).await;
        }
        // What is refused is in the report already.
        if let Some(refused) = refusals_as_failure(&examined.findings, without_refused) {
            return Err(Failure { details: vec![], ..refused });
        }
        examined.into_review()?.accept(without_refused)?;
        unknown.map_or(Ok(()), Err)
    }

    /// The first pass over the staged checkout.
    async fn examine(&self, stage: &Stage, record: &Record) -> Result<Examined, Failure> {
        let subpaths = self.engine.facts().await?.volume_subpaths();
        let local: HashSet<String> = self.engine.image_names().await?.into_iter().collect();
        let (config, checkout) = (self.config.clone(), stage.checkout());
        let (drone, repo) = (record.drone.clone(), record.repo.name.clone());
        let chosen = record.choices.devcontainer.clone();
        blocking(move || {
            let scope = Scope::new(&config, &drone, &repo, subpaths);
            let is_local = |reference: &str| policy::is_named(&local, reference);
            policy::examine(&checkout, chosen.as_deref(), &scope, &is_local)
        })
        .await
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
