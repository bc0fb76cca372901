//! `hatchery repo`: which repositories a drone reaches.

use clap::{Args, Subcommand};
use hatchery_protocol::wire::Permissions;

use super::terminal::Terminal;
use super::{Stop, messages, table};
use crate::control::api::{ConnectRequest, DroneGrants, GrantView};
use crate::control::client::Client;

/// Show or change which repositories a drone reaches, while it runs
#[derive(Debug, Args)]
pub(super) struct RepoArgs {
    #[command(subcommand)]
    command: RepoCommand,
}

#[derive(Debug, Subcommand)]
enum RepoCommand {
    /// Show what a drone reaches
    List {
        /// The drone's name or owner/repo
        drone: String,
    },
    /// Let a drone reach one more repository, or change how it does
    ///
    /// Holds from the drone's next request on. Without any of the flags it gets the configured
    /// permissions, as far as the App has them there.
    Connect {
        /// The drone's name or owner/repo
        drone: String,
        /// The repository, on the drone's forge
        #[arg(value_name = "OWNER/REPO")]
        repo: String,
        /// These too, such as workflows=write; the others stay as they are, and NAME=none goes
        #[arg(long, value_name = "NAME=LEVEL,...", value_delimiter = ',', value_parser = permission)]
        permissions: Vec<(String, String)>,
        /// Nothing but what --permissions names
        #[arg(long, requires = "permissions")]
        only: bool,
        /// Nothing above level read
        #[arg(long)]
        read_only: bool,
    },
    /// Take a repository from a drone, and back the tokens it has
    Disconnect {
        /// The drone's name or owner/repo
        drone: String,
        /// The repository, on the drone's forge
        #[arg(value_name = "OWNER/REPO")]
        repo: String,
    },
}

pub(super) async fn run(client: Client, args: RepoArgs, terminal: &Terminal) -> Result<(), Stop> {
    match args.command {
        RepoCommand::List { drone } => {
            let grants = client.repositories(&drone).await?;
            if terminal.json { terminal.json(&grants) } else { terminal.data(&render(&grants)) }
        }
        RepoCommand::Connect { drone, repo, permissions, only, read_only } => {
            let named: Permissions = permissions.into_iter().collect();
            let permissions = (!named.is_empty()).then_some(named);
            let request = ConnectRequest { repo, permissions, only, read_only };
            let grants = client.connect(&drone, &request).await?;
            told(&grants, &messages::connected(&grants, &request.repo), terminal)
        }
        RepoCommand::Disconnect { drone, repo } => {
            let grants = client.disconnect(&drone, &repo).await?;
            told(&grants, &messages::disconnected(&grants, &repo), terminal)
        }
    }
}

fn told(grants: &DroneGrants, message: &str, terminal: &Terminal) -> Result<(), Stop> {
    if terminal.json {
        return terminal.json(grants);
    }
    for notice in &grants.notices {
        terminal.say(notice);
    }
    terminal.say(message);
    Ok(())
}

fn render(grants: &DroneGrants) -> String {
    let row = |grant: &GrantView| [grant.repo.to_string(), permissions(&grant.permissions)];
    table::render(["REPO", "PERMISSIONS"], &grants.grants.iter().map(row).collect::<Vec<_>>())
}

/// `contents=write, issues=read`.
pub(super) fn permissions(permissions: &Permissions) -> String {
    let pairs: Vec<_> = permissions.iter().map(|(name, level)| format!("{name}={level}")).collect();
    pairs.join(", ")
}

/// `contents=write`, as GitHub names permissions and levels; `contents=none` takes it away.
fn permission(text: &str) -> Result<(String, String), String> {
    let (name, level) = text.split_once('=').ok_or("NAME=LEVEL is expected")?;
    let named =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if !named {
        return Err(format!("{name:?} is no permission's name, such as contents or pull_requests"));
    }
    if !["none", "read", "write", "admin"].contains(&level) {
        return Err(format!("{level:?} is no level: read, write, admin, or none to take it away"));
    }
    Ok((name.to_owned(), level.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_has_a_name_and_a_level() {
        assert_eq!(permission("contents=read"), Ok(("contents".to_owned(), "read".to_owned())));
        assert!(permission("workflows=none").is_ok());
        for text in ["contents", "=read", "Contents=read", "contents=all", "a b=read"] {
            assert!(permission(text).is_err(), "{text}");
        }
    }

    #[test]
    fn grants_read_well() {
        let grant = |repo: &str, level: &str| GrantView {
            primary: false,
            repo: repo.parse().expect("a repository"),
            repo_id: 7,
            permissions: Permissions::from([
                ("contents".to_owned(), level.to_owned()),
                ("metadata".to_owned(), "read".to_owned()),
            ]),
        };
        let grants = DroneGrants {
            drone: "acme-web".parse().expect("a name"),
            grants: vec![grant("acme/web", "write"), grant("acme/shared-library", "read")],
            notices: vec![],
        };
        insta::assert_snapshot!(render(&grants));
    }
}
