//! `hatchery forge repo`.

use std::path::PathBuf;

use clap::Subcommand;
use hatchery_protocol::RepoName;
use http::Method;
use local_forge::{AdminClient, RepositoryChange, RepositorySpec};

use super::admin::call;
use crate::cli::terminal::Terminal;
use crate::cli::{Stop, messages};
use crate::lifecycle::{Failure, FailureKind};

/// Create, rename and delete repositories of the forge
#[derive(Debug, Subcommand)]
pub(super) enum RepoCommand {
    /// Create a repository; one that is there already is left as it is
    Create {
        /// owner/repo; an unknown owner is created as a user
        repo: RepoName,
        /// Fill it from this directory: a git repository's branches and tags, or plain files
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
        /// Readable without a token
        #[arg(long)]
        public: bool,
    },
    /// Rename a repository; the old name redirects
    Rename {
        /// owner/repo
        repo: RepoName,
        /// The new name, without the owner
        name: String,
    },
    /// Delete a repository
    Delete {
        /// owner/repo
        repo: RepoName,
    },
}

pub(super) async fn run(
    client: AdminClient,
    command: RepoCommand,
    terminal: &Terminal,
) -> Result<(), Stop> {
    match command {
        RepoCommand::Create { repo, from, public } => {
            let spec = RepositorySpec {
                owner: repo.owner().to_owned(),
                name: repo.repo().to_owned(),
                public,
                directory: from.map(absolute).transpose()?,
                ..RepositorySpec::default()
            };
            let answer = call(&client, Method::POST, "/repositories", &spec).await?;
            terminal.say(&messages::forge_repository_there(&repo));
            if terminal.json { terminal.json(&answer) } else { Ok(()) }
        }
        RepoCommand::Rename { repo, name } => {
            let change = RepositoryChange { name: Some(name), ..RepositoryChange::default() };
            call(&client, Method::PATCH, &path(&repo), &change).await?;
            Ok(())
        }
        RepoCommand::Delete { repo } => {
            call(&client, Method::DELETE, &path(&repo), &()).await?;
            Ok(())
        }
    }
}

fn path(repo: &RepoName) -> String {
    format!("/repositories/{repo}")
}

/// The forge has another working directory than this command.
fn absolute(directory: PathBuf) -> Result<PathBuf, Failure> {
    std::fs::canonicalize(&directory).map_err(|error| {
        let message = format!("cannot read the directory {}", directory.display());
        Failure::new(FailureKind::Usage, message).caused_by(&error)
    })
}
