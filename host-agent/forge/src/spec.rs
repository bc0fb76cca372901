//! What can be asked of the forge from outside: by the builder, a [`RunningForge`] handle, or as
//! JSON over the admin socket. The JSON field names are the field names here.
//!
//! [`RunningForge`]: crate::RunningForge

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{model::AccountKind, permissions::Permissions};

/// An account to create; when the login exists its keys are replaced, if any are given.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSpec {
    /// Login.
    pub login: String,
    /// `User` (default) or `Organization`.
    #[serde(default)]
    pub kind: AccountKind,
    /// Numeric id; a fresh one when absent.
    #[serde(default)]
    pub id: Option<u64>,
    /// Lines that `/<login>.keys` serves.
    #[serde(default)]
    pub keys: Vec<String>,
}

/// A repository to create. When `owner/name` exists already it is left as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositorySpec {
    /// Login of the owner; created as a user when unknown.
    pub owner: String,
    /// Name.
    pub name: String,
    /// Numeric id; a fresh one when absent.
    #[serde(default)]
    pub id: Option<u64>,
    /// Readable without a token; repositories are private otherwise.
    #[serde(default)]
    pub public: bool,
    /// Branch that the seed becomes; `main` when absent.
    #[serde(default)]
    pub default_branch: Option<String>,
    /// One line about it.
    #[serde(default)]
    pub description: String,
    /// `owner/name` of the repository to fork: its branches and tags are the seed, and pull
    /// requests may go from one to the other.
    #[serde(default)]
    pub fork_of: Option<String>,
    /// Seed: paths and their text, committed as the first commit.
    #[serde(default)]
    pub files: BTreeMap<String, SeedFile>,
    /// Seed: a directory. A git repository (bare or not) gives all its branches and tags as they
    /// are committed; any other directory becomes the first commit.
    #[serde(default)]
    pub directory: Option<PathBuf>,
}

/// Content of a seeded file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SeedFile {
    /// Text of an ordinary file.
    Text(String),
    /// Text of a file that is executable or not.
    Mode {
        /// The text.
        content: String,
        /// Mode 100755 instead of 100644.
        executable: bool,
    },
}

impl SeedFile {
    /// The text.
    pub fn content(&self) -> &str {
        match self {
            Self::Text(content) | Self::Mode { content, .. } => content,
        }
    }

    /// True for mode 100755.
    pub fn executable(&self) -> bool {
        matches!(self, Self::Mode { executable: true, .. })
    }
}

impl From<&str> for SeedFile {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// What to change about a repository; absent fields stay.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryChange {
    /// New name: the old one redirects (301) until it is taken again.
    #[serde(default)]
    pub name: Option<String>,
    /// New owner (a transfer): the old name redirects.
    #[serde(default)]
    pub owner: Option<String>,
    /// Readable without a token.
    #[serde(default)]
    pub public: Option<bool>,
}

/// The App installed on an account; replaces an installation that is there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallationSpec {
    /// Login of the account; created as a user when unknown.
    pub account: String,
    /// Numeric id; the present one, else a fresh one, when absent.
    #[serde(default)]
    pub id: Option<u64>,
    /// What the owner accepted; `metadata: read` is always added.
    pub permissions: Permissions,
    /// Names of the chosen repositories, without the owner; `null` or absent is `all`.
    #[serde(default)]
    pub repositories: Option<Vec<String>>,
    /// Suspended from the start.
    #[serde(default)]
    pub suspended: bool,
}

/// What to change about an installation; absent fields stay.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallationChange {
    /// Suspend or take back.
    #[serde(default)]
    pub suspended: Option<bool>,
    /// What the owner accepts now.
    #[serde(default)]
    pub permissions: Option<Permissions>,
    /// Names of the chosen repositories, without the owner.
    #[serde(default)]
    pub repositories: Option<Vec<String>>,
    /// True: every repository of the account (wins over `repositories`).
    #[serde(default)]
    pub all: bool,
    /// Life in seconds of the tokens minted from now on; GitHub's is an hour, for everybody.
    #[serde(default)]
    pub token_seconds: Option<u32>,
}

/// Form of minted tokens when the mint's `X-GitHub-Stateless-S2S-Token` header does not force one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenFormat {
    /// `ghs_` and 36 letters and digits.
    Short,
    /// `ghs_<appid>_<jwt>`, about 520 characters, as github.com issues since mid-2026.
    #[default]
    Stateless,
}

/// A check run to report on a commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckSpec {
    /// Branch, tag or commit.
    pub commit: String,
    /// What is checked; replaces a check run of that name on that commit.
    pub name: String,
    /// `queued`, `in_progress` or `completed` (default).
    #[serde(default = "completed")]
    pub status: String,
    /// `success`, `failure`, ...
    #[serde(default)]
    pub conclusion: Option<String>,
}

/// An Actions run to report.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// Name of the workflow.
    pub workflow: String,
    /// Branch; its tip is the commit.
    pub branch: String,
    /// `queued`, `in_progress` or `completed` (default).
    #[serde(default = "completed")]
    pub status: String,
    /// `success`, `failure`, ...
    #[serde(default)]
    pub conclusion: Option<String>,
    /// `push` when absent.
    #[serde(default = "push")]
    pub event: String,
    /// Jobs of the run.
    #[serde(default)]
    pub jobs: Vec<JobSpec>,
}

/// A job of a [`RunSpec`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// Name; also that of its check run.
    pub name: String,
    /// The run's, when absent.
    #[serde(default)]
    pub status: Option<String>,
    /// The run's, when absent.
    #[serde(default)]
    pub conclusion: Option<String>,
    /// Steps, first one first.
    #[serde(default)]
    pub steps: Vec<crate::model::Step>,
}

/// A later state of an Actions run; absent fields stay.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunChange {
    /// For the run and its unfinished jobs.
    #[serde(default)]
    pub status: Option<String>,
    /// For the run and its unfinished jobs.
    #[serde(default)]
    pub conclusion: Option<String>,
}

fn completed() -> String {
    "completed".to_owned()
}

fn push() -> String {
    "push".to_owned()
}
