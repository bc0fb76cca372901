//! What GitHub answers, as far as it is looked at.

use hatchery_protocol::RepoName;
use hatchery_protocol::wire::Permissions;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Of every error.
#[derive(Debug, Deserialize)]
pub struct Failure {
    /// What to match, after the status.
    #[serde(default)]
    pub message: String,
}

/// `GET /repos/{owner}/{repo}/installation`, the same of a repository's id or of an account, and an
/// item of `GET /app/installations`.
#[derive(Debug, Deserialize)]
pub struct InstallationAnswer {
    /// Its number.
    pub id: u64,
    /// What its owner granted.
    #[serde(default)]
    pub permissions: Permissions,
    /// When it was suspended, if it is.
    #[serde(default)]
    pub suspended_at: Option<String>,
    /// The page where its owner changes it.
    #[serde(default)]
    pub html_url: Option<String>,
    /// The account that it is on.
    #[serde(default)]
    pub account: Option<Account>,
}

/// An account, or what of one is looked at.
#[derive(Debug, Deserialize)]
pub struct Account {
    /// What it is called.
    pub login: String,
}

/// `POST /app/installations/{id}/access_tokens`.
#[derive(Debug, Serialize)]
pub struct TokenRequest<'a> {
    /// By id: names can be re-created by somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository_ids: Option<&'a [u64]>,
    /// By bare name, for looking a repository up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repositories: Option<[&'a str; 1]>,
    /// What it may do there.
    pub permissions: &'a Permissions,
}

/// Its answer. No `Debug`: it holds the secret.
#[derive(Deserialize)]
pub struct TokenAnswer {
    /// The secret.
    pub token: String,
    /// Its end by the forge's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// What it may do.
    #[serde(default)]
    pub permissions: Permissions,
    /// What it opens. Missing means every repository of the installation.
    #[serde(default)]
    pub repositories: Option<Vec<Repository>>,
}

/// A repository, here and there.
#[derive(Debug, Deserialize)]
pub struct Repository {
    /// Its number.
    pub id: u64,
    /// `owner/repo`.
    pub full_name: RepoName,
    /// What a clone checks out.
    #[serde(default)]
    pub default_branch: Option<String>,
}

/// `GET /app`.
#[derive(Debug, Deserialize)]
pub struct AppAnswer {
    /// Its name in URLs.
    pub slug: String,
    /// Its own page.
    #[serde(default)]
    pub html_url: Option<String>,
    /// What it asks its installations for.
    #[serde(default)]
    pub permissions: Permissions,
}

/// `GET /users/{login}`.
#[derive(Debug, Deserialize)]
pub struct User {
    /// Its number: not the App's.
    pub id: u64,
}
