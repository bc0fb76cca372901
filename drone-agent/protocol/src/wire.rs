//! Requests and answers of a drone's socket, `/v1` (HTTP/1.1, JSON).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{DroneName, ForgeHost, RepoName};

/// A permission's level by its GitHub name, such as `contents` -> `write`.
/// Source: GitHub REST, "Permissions required for GitHub Apps".
pub type Permissions = BTreeMap<String, String>;

/// Shortest remaining life, in seconds, that `GET /v1/token` promises without `min_valid`.
pub const MIN_VALID_DEFAULT: u64 = 300;

/// Routes of the socket.
pub mod route {
    /// The seed design's route: the token as `text/plain`.
    pub const SEED_TOKEN: &str = "/token";
    /// [`super::TokenReply`]; query `repo` (repeatable) and `min_valid` (seconds).
    pub const TOKEN: &str = "/v1/token";
    /// Takes [`super::TokenRejected`].
    pub const TOKEN_REJECTED: &str = "/v1/token/rejected";
    /// [`super::Identity`].
    pub const IDENTITY: &str = "/v1/identity";
    /// `authorized_keys` lines, `text/plain`.
    pub const AUTHORIZED_KEYS: &str = "/v1/authorized-keys";
}

/// Answer of `GET /v1/token`. No `Debug`: it holds a secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenReply {
    /// The secret, an opaque string of up to some kB.
    pub token: String,
    /// When it ends, RFC 3339 in UTC.
    pub expires_at: String,
    /// When it ends, seconds since the epoch (git's `password_expiry_utc`).
    pub expires_at_unix: i64,
    /// What it opens, as the forge spells it.
    pub repositories: Vec<RepoName>,
    /// What it may do there.
    pub permissions: Permissions,
    /// The forge it is for.
    pub host: ForgeHost,
}

/// Body of `POST /v1/token/rejected`: the forge answered 401 to this token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenRejected {
    /// SHA-256 of the token, 64 lower-case hex digits.
    pub sha256: String,
}

/// A repository that the drone may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedRepo {
    /// `owner/repo`, as the forge spells it.
    pub name: RepoName,
    /// The permissions granted on it.
    pub permissions: Permissions,
    /// Opaque: repositories with the same value can share one token (one App installation).
    pub installation: String,
}

/// Answer of `GET /v1/identity`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The drone's name.
    pub drone: DroneName,
    /// Its primary repository.
    pub repo: RepoName,
    /// The forge.
    pub forge: ForgeHost,
    /// The forge's git URL, without a trailing slash (`https://github.com`).
    pub git_url: String,
    /// Every granted repository, the primary one first.
    pub granted: Vec<GrantedRepo>,
    /// Version of the host agent.
    pub host_agent_version: String,
    /// Name and email for commits; absent: leave git alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_identity: Option<GitIdentity>,
    /// PEM of the private CA that signs the forge's certificate, for git and gh in the drone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

/// Who commits in the drone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitIdentity {
    /// `user.name`.
    pub name: String,
    /// `user.email`.
    pub email: String,
}

/// RFC 9457 problem details, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable identifier to branch on, one of [`problem`].
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened, short.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened with which repository, and what to do now.
    pub detail: String,
}

/// Values of [`Problem::kind`].
pub mod problem {
    /// The caller could not be attested as a process of this drone.
    pub const FORBIDDEN: &str = "urn:hatchery:forbidden";
    /// The repository is outside the drone's grants.
    pub const NOT_GRANTED: &str = "urn:hatchery:not-granted";
    /// The repositories asked for lie in more than one installation.
    pub const MANY_INSTALLATIONS: &str = "urn:hatchery:many-installations";
    /// The request cannot be read.
    pub const BAD_REQUEST: &str = "urn:hatchery:bad-request";
    /// No such route.
    pub const NOT_FOUND: &str = "urn:hatchery:not-found";
    /// The forge could not be reached or refused.
    pub const FORGE: &str = "urn:hatchery:forge";
    /// Too many requests from this drone.
    pub const BUSY: &str = "urn:hatchery:busy";
    /// The host agent failed in a way that is not the caller's doing.
    pub const INTERNAL: &str = "urn:hatchery:internal";
}
