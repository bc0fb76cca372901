//! Why an operation did not succeed: one shape for the log, the control API and the person.

use serde::{Deserialize, Serialize};

/// What callers branch on; the command line maps each to an exit code and, some, to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// A reason that has no kind of its own.
    Failed,
    /// Wrong usage or configuration; a missing, broken or ambiguous devcontainer.json.
    Usage,
    /// No such drone.
    NoDrone,
    /// No such repository, or the App is not installed on it.
    NoRepository,
    /// The drone exists already.
    Exists,
    /// Another operation on the drone is under way.
    Busy,
    /// No capacity for another drone.
    NoCapacity,
    /// Refused by policy or grants.
    Refused,
    /// Work would be lost.
    WorkWouldBeLost,
    /// Forge, tailnet or registry unreachable or refusing.
    Outside,
    /// Docker or the devcontainer CLI unreachable or failing; a build or a hook failed.
    Engine,
    /// The drone was killed for memory.
    OutOfMemory,
    /// The host agent does not run.
    NoHostAgent,
    /// Interrupted by the user, and rolled back.
    Interrupted,
}

/// A failure, whole: what happened, with which repository or file, what to do now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What to branch on.
    pub kind: FailureKind,
    /// What happened, one sentence without a full stop.
    pub message: String,
    /// What to do now; one step a line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// Causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What belongs to it: findings of the policy, work that would be lost, the end of a log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// The spawn step it happened in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The log file with the whole story.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_file: Option<String>,
}

impl Failure {
    /// A failure that says `message`.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: vec![],
            causes: vec![],
            details: vec![],
            step: None,
            log_file: None,
        }
    }

    /// Adds what to do now.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds `error` and everything behind it as causes.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }

    /// Adds lines that belong to it.
    #[must_use]
    pub fn details(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(lines);
        self
    }
}
