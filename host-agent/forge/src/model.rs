//! What the forge knows: accounts, repositories, installations, and what lives in a repository.
//!
//! Plain data that serde writes to the state file as it is. Rules live with the resources that
//! enforce them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::permissions::Permissions;

/// Person or organisation; GitHub spells them so in `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum AccountKind {
    /// A person.
    #[default]
    User,
    /// An organisation.
    Organization,
    /// The user that an App acts as, `<slug>[bot]`.
    Bot,
}

impl AccountKind {
    /// GitHub's spelling in `type` and `__typename`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Organization => "Organization",
            Self::Bot => "Bot",
        }
    }
}

/// A user, an organisation, or the App's bot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// Numeric id, stable over renames.
    pub id: u64,
    /// Login, as spelled; compared without case.
    pub login: String,
    /// Person, organisation or bot.
    pub kind: AccountKind,
    /// `authorized_keys` lines without comments, as `/<login>.keys` serves them.
    #[serde(default)]
    pub keys: Vec<String>,
}

/// The GitHub App that everything here is installed for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct App {
    /// Numeric App id.
    pub id: u64,
    /// Client id, the recommended `iss`.
    pub client_id: String,
    /// URL name; the bot is `<slug>[bot]`.
    pub slug: String,
    /// Display name.
    pub name: String,
    /// Public half of the App's key, PKCS#1 PEM. The private half is a file of its own.
    pub public_key_pem: String,
}

/// An owner and a name that once led to a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerName {
    /// Login of the owner at that time.
    pub owner: String,
    /// Name at that time.
    pub name: String,
}

/// A repository; its objects and refs are a bare git directory named by id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Repository {
    /// Numeric id, stable over renames.
    pub id: u64,
    /// Account id of the owner.
    pub owner_id: u64,
    /// Name, as spelled; compared without case.
    pub name: String,
    /// Hidden from whoever holds no token for it.
    pub private: bool,
    /// Branch that `HEAD` names.
    pub default_branch: String,
    /// One line about it.
    #[serde(default)]
    pub description: String,
    /// Id of the repository it was forked from.
    #[serde(default)]
    pub fork_of: Option<u64>,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Names that redirect here until another repository takes them.
    #[serde(default)]
    pub former_names: Vec<FormerName>,
    /// Next number for an issue or a pull request: they share one sequence.
    pub next_number: u64,
    /// Pull requests, oldest first.
    #[serde(default)]
    pub pulls: Vec<Pull>,
    /// Issues, oldest first.
    #[serde(default)]
    pub issues: Vec<Issue>,
    /// Check runs, oldest first.
    #[serde(default)]
    pub check_runs: Vec<CheckRun>,
    /// Commit statuses, oldest first.
    #[serde(default)]
    pub statuses: Vec<CommitStatus>,
    /// Actions runs, oldest first.
    #[serde(default)]
    pub runs: Vec<WorkflowRun>,
    /// Labels that issues and pull requests may carry.
    #[serde(default)]
    pub labels: Vec<String>,
}

/// The App installed on one account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Installation {
    /// Numeric id.
    pub id: u64,
    /// Account it is installed on.
    pub account_id: u64,
    /// Ids of the chosen repositories; `None` is `all` of the account, future ones too.
    pub repositories: Option<Vec<u64>>,
    /// What its owner accepted.
    pub permissions: Permissions,
    /// Suspended by its owner.
    #[serde(default)]
    pub suspended: bool,
    /// Life of its tokens in seconds, for tests that see one end; `None`: GitHub's.
    #[serde(default)]
    pub token_seconds: Option<u32>,
    /// When it was installed.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A minted token. The token itself is never kept, only its digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenRecord {
    /// SHA-256 of the token, lower-case hex.
    pub sha256: String,
    /// Installation it acts for.
    pub installation_id: u64,
    /// Ids of its repositories; `None` is every repository of the installation.
    pub repositories: Option<Vec<u64>>,
    /// What it may do.
    pub permissions: Permissions,
    /// When it was minted, by the forge's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it ends, by the forge's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// Text somebody wrote under an issue or a pull request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comment {
    /// Numeric id.
    pub id: u64,
    /// Account id of the writer.
    pub author_id: u64,
    /// Markdown.
    pub body: String,
    /// When it was written.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// Open or closed; a merged pull request is closed with a [`Merge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OpenState {
    /// Open.
    Open,
    /// Closed.
    Closed,
}

/// An issue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Issue {
    /// Numeric id.
    pub id: u64,
    /// Number within the repository.
    pub number: u64,
    /// Account id of the author.
    pub author_id: u64,
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// Open or closed.
    pub state: OpenState,
    /// Labels it carries.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Logins it is assigned to.
    #[serde(default)]
    pub assignees: Vec<String>,
    /// Comments, oldest first.
    #[serde(default)]
    pub comments: Vec<Comment>,
    /// When it was opened.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// When it was closed.
    #[serde(with = "time::serde::rfc3339::option", default)]
    pub closed_at: Option<OffsetDateTime>,
}

/// Verdict of a review, in GitHub's spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReviewState {
    /// Approved.
    Approved,
    /// Changes wanted before a merge.
    ChangesRequested,
    /// Remarks only.
    Commented,
}

/// A review of a pull request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Review {
    /// Numeric id.
    pub id: u64,
    /// Account id of the reviewer.
    pub author_id: u64,
    /// Markdown.
    pub body: String,
    /// The verdict.
    pub state: ReviewState,
    /// Commit that was reviewed.
    pub commit: String,
    /// When it was submitted.
    #[serde(with = "time::serde::rfc3339")]
    pub submitted_at: OffsetDateTime,
}

/// How a pull request ended in its base.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Merge {
    /// Commit on the base branch.
    pub commit: String,
    /// Account id of who merged.
    pub by: u64,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// A pull request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pull {
    /// What it has in common with an issue.
    #[serde(flatten)]
    pub issue: Issue,
    /// Branch to merge into.
    pub base: String,
    /// Branch that is offered.
    pub head: String,
    /// Repository of the head when it is another one (a fork).
    #[serde(default)]
    pub head_repo: Option<u64>,
    /// Tip of the head when it was last seen; final once closed.
    pub head_sha: String,
    /// Tip of the base when it was opened.
    pub base_sha: String,
    /// Not ready for review.
    #[serde(default)]
    pub draft: bool,
    /// Reviews, oldest first.
    #[serde(default)]
    pub reviews: Vec<Review>,
    /// Logins whose review was asked for.
    #[serde(default)]
    pub requested_reviewers: Vec<String>,
    /// Set once merged.
    #[serde(default)]
    pub merge: Option<Merge>,
}

/// A check run of some App on a commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckRun {
    /// Numeric id.
    pub id: u64,
    /// Commit.
    pub head_sha: String,
    /// What is checked.
    pub name: String,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// `success`, `failure`, ... once completed.
    #[serde(default)]
    pub conclusion: Option<String>,
    /// Where its details are.
    #[serde(default)]
    pub details_url: Option<String>,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option", default)]
    pub completed_at: Option<OffsetDateTime>,
}

/// A commit status of the older kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CommitStatus {
    /// Numeric id.
    pub id: u64,
    /// Commit.
    pub sha: String,
    /// What it is about; the newest of a context counts.
    pub context: String,
    /// `success`, `failure`, `error` or `pending`.
    pub state: String,
    /// One line.
    #[serde(default)]
    pub description: String,
    /// Where its details are.
    #[serde(default)]
    pub target_url: Option<String>,
    /// When it was set.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// One step of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// What it does.
    pub name: String,
    /// `success`, `failure`, `skipped`, ... once completed.
    #[serde(default)]
    pub conclusion: Option<String>,
    /// What it printed, without time stamps.
    #[serde(default)]
    pub log: String,
}

/// One job of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Numeric id.
    pub id: u64,
    /// Name.
    pub name: String,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// `success`, `failure`, ... once completed.
    #[serde(default)]
    pub conclusion: Option<String>,
    /// Steps, first one first.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// An Actions run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkflowRun {
    /// Numeric id.
    pub id: u64,
    /// Name of the workflow.
    pub workflow: String,
    /// Path of the workflow's file, `.github/workflows/ci.yml`.
    pub path: String,
    /// Title that lists show, usually the commit's subject.
    pub title: String,
    /// Branch.
    pub head_branch: String,
    /// Commit.
    pub head_sha: String,
    /// `push`, `pull_request`, ...
    pub event: String,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// `success`, `failure`, ... once completed.
    #[serde(default)]
    pub conclusion: Option<String>,
    /// Counts from 1; a rerun adds one.
    pub attempt: u64,
    /// Number within the workflow.
    pub run_number: u64,
    /// Jobs of the latest attempt.
    #[serde(default)]
    pub jobs: Vec<Job>,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Everything that outlives a restart of the forge.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// Next numeric id of whatever kind.
    pub next_id: u64,
    /// The App.
    pub app: App,
    /// Accounts by id.
    #[serde(default)]
    pub accounts: BTreeMap<u64, Account>,
    /// Repositories by id.
    #[serde(default)]
    pub repositories: BTreeMap<u64, Repository>,
    /// Installations by id.
    #[serde(default)]
    pub installations: BTreeMap<u64, Installation>,
    /// Tokens that were neither revoked nor swept after their end.
    #[serde(default)]
    pub tokens: Vec<TokenRecord>,
}
