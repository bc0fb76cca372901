//! Actions runs.

use time::OffsetDateTime;

use crate::model::{CheckRun, Repository, WorkflowRun};

/// Makes each job of a run a check run of its commit, as Actions does; the ids are the same.
pub fn mirror_checks(repo: &mut Repository, run: &WorkflowRun, now: OffsetDateTime) {
    for job in &run.jobs {
        repo.check_runs.retain(|check| check.id != job.id);
        repo.check_runs.push(CheckRun {
            id: job.id,
            head_sha: run.head_sha.clone(),
            name: job.name.clone(),
            status: job.status.clone(),
            conclusion: job.conclusion.clone(),
            details_url: Some(format!("/actions/runs/{}/job/{}", run.id, job.id)),
            started_at: run.created_at,
            completed_at: (job.status == "completed").then_some(now),
        });
    }
}
