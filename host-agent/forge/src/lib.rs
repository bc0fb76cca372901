//! A stand-in for GitHub, as strict as GitHub: App tokens, REST, GraphQL, git and git-lfs over
//! HTTPS. `hatchery forge`, quickstart and every test use it where a user has GitHub.
//!
//! It shares no code with Hatchery, so that it cannot share a misreading of GitHub with it. It
//! listens on loopback and private (bridge) addresses only.
//!
//! # In a test
//! ```no_run
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! use local_forge::{InstallationSpec, Level, LocalForge, RepositorySpec};
//!
//! let forge = LocalForge::builder("/tmp/forge".as_ref())
//!     .listen("127.0.0.1:0".parse()?)
//!     .repository(RepositorySpec {
//!         owner: "acme".into(),
//!         name: "web".into(),
//!         files: [("README.md".into(), "# Web\n".into())].into(),
//!         ..Default::default()
//!     })
//!     .installation(InstallationSpec {
//!         account: "acme".into(),
//!         permissions: [("contents", Level::Write)].into_iter().collect(),
//!         ..Default::default()
//!     })
//!     .start()
//!     .await?;
//! println!("{} trusts {}", forge.api_url(), forge.ca_path().display());
//! forge.shutdown().await;
//! # Ok(()) }
//! ```
//! `forge` is a [`RunningForge`]: addresses, keys, counters, faults, clock, mint gate.
//!
//! # As a program
//! [`serve()`] runs one until a future resolves. Everything stays in the data directory: `state.json`
//! (accounts, repositories, installations, digests of tokens), `git/<id>.git`, `lfs/`, `ca.pem`
//! (clients trust it), `app.private-key.pem` (0600), `admin.sock` (0600).
//!
//! # Addresses
//! The REST API answers at the root (`https://HOST/app`, as on api.github.com) and below `/api/v3`
//! (as on Enterprise Server), GraphQL at `/graphql` and `/api/graphql`; git and git-lfs at
//! `/{owner}/{name}[.git]`; keys at `/{login}.keys`. The real `gh` speaks to Enterprise hosts on
//! port 443 only.
//!
//! # Admin API
//! HTTP/1.1 and JSON on the Unix socket `admin.sock` ([`AdminClient`] speaks it, so does
//! `curl --unix-socket`). Bodies are the types of this crate of the same name; unknown fields are
//! refused. Success is 200 with JSON (`{}` where nothing is said below), failure is
//! `{"error": "..."}` with 400, 404 (unknown thing or call), 409 (name taken) or 500.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `GET /state` | | `app`, `accounts`, `repositories` (with `pulls`, `issues`), `installations` |
//! | `POST /accounts` | [`AccountSpec`] | `{"id"}` |
//! | `PATCH /accounts/{login}` | `{"login": "new"}` | |
//! | `PUT /accounts/{login}/keys` | `{"keys": ["ssh-ed25519 ..."]}` | |
//! | `POST /repositories` | [`RepositorySpec`] | `{"id"}` |
//! | `PATCH /repositories/{owner}/{name}` | [`RepositoryChange`] (rename, transfer, publish) | |
//! | `DELETE /repositories/{owner}/{name}` | | |
//! | `POST /repositories/{owner}/{name}/checks` | [`CheckSpec`] | `{"id"}` |
//! | `POST /repositories/{owner}/{name}/runs` | [`RunSpec`], logs in its steps | `{"id"}` |
//! | `PATCH /repositories/{owner}/{name}/runs/{id}` | [`RunChange`] | |
//! | `POST /installations` | [`InstallationSpec`] | `{"id"}` |
//! | `PATCH /installations/{id}` | [`InstallationChange`] (suspend, permissions, repositories, life of tokens) | |
//! | `DELETE /installations/{id}` | | |
//! | `GET /tokens` | | `{"tokens": [{"sha256", "installation_id", "repositories": [id] or null, "permissions", "created_at", "expires_at"}]}`, the live ones |
//! | `DELETE /tokens/{sha256}` | | ends that token behind its holder's back |
//! | `GET /calls`, `DELETE /calls` | | `{"total", "mints", "calls": [`[`Call`]`]}` |
//! | `POST /faults` | [`FaultSpec`], e.g. `{"path": "/app", "times": 1, "fault": {"kind": "status", "status": 500}}` | `{"id"}` |
//! | `GET /faults`, `DELETE /faults[/{id}]` | | `{"faults": [...]}` |
//! | `GET /clock`, `PUT /clock` | `{"offset_seconds": 3700}` | `{"offset_seconds", "now"}` |
//! | `GET /mint-gate`, `PUT /mint-gate` | `{"held": true}` | `{"held", "waiting"}` |

mod admin;
mod admin_client;
mod app_key;
mod auth;
mod builder;
mod calls;
mod clock;
mod faults;
mod forge;
mod git;
mod graphql;
mod issues;
mod listen;
mod model;
mod operations;
mod permissions;
mod pulls;
mod reply;
mod reports;
mod request;
mod rest;
mod running;
mod serve;
mod server;
mod spec;
mod state;
mod tls;

use std::path::Path;

pub use crate::{
    admin::SOCKET as ADMIN_SOCKET,
    admin_client::{AdminClient, AdminError},
    app_key::{KEY_FILE as APP_KEY_FILE, make as make_app_key},
    builder::{Builder, StartError},
    calls::Call,
    faults::{Fault, FaultKind, FaultSpec},
    listen::ListenError,
    model::{
        Account, AccountKind, App, CheckRun, Comment, CommitStatus, FormerName, Installation,
        Issue, Job, Merge, OpenState, Pull, Repository, Review, ReviewState, State, Step,
        TokenRecord, WorkflowRun,
    },
    operations::OperationError,
    permissions::{Level, Permissions},
    running::{MintGate, RunningForge},
    serve::{ServeOptions, serve},
    spec::{
        AccountSpec, CheckSpec, InstallationChange, InstallationSpec, JobSpec, RepositoryChange,
        RepositorySpec, RunChange, RunSpec, SeedFile, TokenFormat,
    },
    tls::CA_FILE,
};

/// Where a forge begins.
#[derive(Debug)]
pub struct LocalForge;

impl LocalForge {
    /// Describes a forge that keeps everything in `data_dir`, which is created.
    pub fn builder(data_dir: &Path) -> Builder {
        Builder::new(data_dir)
    }
}
