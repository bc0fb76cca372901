//! `hatchery repo`: which repositories a drone may reach.

use clap::{Args, Subcommand};

use super::messages;
use super::table;
use super::terminal::Terminal;
use super::{Stop, messages::printable};
use crate::control::api::{
    ConnectRequest, DisconnectRequest, GrantChange, GrantList, WantedPermissions,
};
use crate::control::client::Client;

/// Show or change which repositories a drone may reach
///
/// Changes hold from the drone's next request on; nothing is restarted.
#[derive(Debug, Args)]
pub(super) struct RepoArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Connect(Connect),
    Disconnect(Disconnect),
}

/// Show what a drone may reach
#[derive(Debug, Args)]
struct List {
    /// The drone's name or owner/repo
    drone: String,
}

/// Grant a drone a repository, or change its permissions on one
///
/// The App must be installed on the repository's account; the repository may belong to any account.
/// Without permissions a new grant gets those of the configuration ([[grants]], else [drone]
/// permissions), and one that is there stays as it is.
#[derive(Debug, Args)]
struct Connect {
    /// The drone's name or owner/repo
    drone: String,
    /// The repository to grant
    #[arg(value_name = "OWNER/REPO")]
    repo: String,
    /// Exactly these, such as contents=read,issues=write; `default`: those of the configuration;
    /// +workflows=write: in addition to what is granted
    #[arg(long, value_name = "PERMISSIONS", value_parser = permissions, conflicts_with = "read_only")]
    permissions: Option<WantedPermissions>,
    /// Those of the configuration, for reading alone
    #[arg(long)]
    read_only: bool,
}

/// Take a repository away from a drone, and revoke the drone's tokens
///
/// The repository that the drone was spawned for cannot be taken away.
#[derive(Debug, Args)]
struct Disconnect {
    /// The drone's name or owner/repo
    drone: String,
    /// The repository
    #[arg(value_name = "OWNER/REPO")]
    repo: String,
}

pub(super) async fn run(client: Client, args: RepoArgs, terminal: &Terminal) -> Result<(), Stop> {
    match args.command {
        Command::List(List { drone }) => list(&client.grants(&drone).await?, terminal),
        Command::Connect(args) => {
            let permissions = match args.permissions {
                _ if args.read_only => WantedPermissions::ReadOnly,
                Some(wanted) => wanted,
                None => WantedPermissions::Kept,
            };
            let request = ConnectRequest { repo: args.repo, permissions };
            tell(&client.connect(&args.drone, &request).await?, terminal)
        }
        Command::Disconnect(args) => {
            let request = DisconnectRequest { repo: args.repo };
            tell(&client.disconnect(&args.drone, &request).await?, terminal)
        }
    }
}

fn list(list: &GrantList, terminal: &Terminal) -> Result<(), Stop> {
    if terminal.json {
        return terminal.json(list);
    }
    terminal.data(&render(list))
}

fn render(list: &GrantList) -> String {
    let rows: Vec<_> = list
        .grants
        .iter()
        .map(|grant| {
            let of = if grant.primary { "its own" } else { "" };
            let permissions = messages::permissions(&grant.permissions);
            [grant.repo.to_string(), of.to_owned(), permissions]
        })
        .collect();
    table::render(["REPO", "", "PERMISSIONS"], &rows)
}

fn tell(change: &GrantChange, terminal: &Terminal) -> Result<(), Stop> {
    if terminal.json {
        return terminal.json(change);
    }
    for notice in &change.notices {
        terminal.say(&messages::notice(notice, *terminal));
    }
    terminal.say(&printable(&messages::grant_changed(change)));
    Ok(())
}

/// `contents=read,issues=write`, with a `+` in front for more, or `default`.
fn permissions(text: &str) -> Result<WantedPermissions, String> {
    if text == "default" {
        return Ok(WantedPermissions::Configured);
    }
    let (list, more) = match text.strip_prefix('+') {
        Some(list) => (list, true),
        None => (text, false),
    };
    let mut permissions = std::collections::BTreeMap::new();
    for pair in list.split(',') {
        let (name, level) = pair.split_once('=').ok_or_else(|| expected(pair))?;
        if !crate::config::is_permission(name, level) {
            return Err(expected(pair));
        }
        if permissions.insert(name.to_owned(), level.to_owned()).is_some() {
            return Err(format!("{name} is named twice"));
        }
    }
    Ok(if more {
        WantedPermissions::Also(permissions)
    } else {
        WantedPermissions::Exactly(permissions)
    })
}

fn expected(pair: &str) -> String {
    format!("{pair:?} is not NAME=LEVEL with a level of read, write or admin")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::{ChangeKind, GrantView};

    fn set(pairs: &[(&str, &str)]) -> hatchery_protocol::wire::Permissions {
        pairs.iter().map(|(name, level)| ((*name).to_owned(), (*level).to_owned())).collect()
    }

    #[test]
    fn permissions_are_a_list_or_an_addition() {
        let write = set(&[("contents", "read"), ("issues", "write")]);
        let exactly = Ok(WantedPermissions::Exactly(write.clone()));
        assert_eq!(permissions("contents=read,issues=write"), exactly);
        assert_eq!(permissions("+issues=write,contents=read"), Ok(WantedPermissions::Also(write)));
        assert_eq!(permissions("default"), Ok(WantedPermissions::Configured));
        for wrong in [
            "",
            "+",
            "contents",
            "contents=",
            "=read",
            "contents=all",
            "contents=read,",
            "Contents=read",
            "contents=read,contents=write",
            "contents=read +x=read",
        ] {
            assert!(permissions(wrong).is_err(), "accepted {wrong:?}");
        }
    }

    #[test]
    fn grants_read_well() {
        let grant = |repo: &str, primary, pairs| GrantView {
            repo: repo.parse().expect("a repository"),
            repo_id: 7,
            permissions: set(pairs),
            primary,
        };
        let own = grant("acme/web", true, &[("contents", "write"), ("issues", "write")]);
        let other = grant("other-org/lib", false, &[("contents", "read")]);
        let list = GrantList {
            drone: "acme-web".parse().expect("a name"),
            forge: "github.com".parse().expect("a host"),
            grants: vec![own, other],
        };
        insta::assert_snapshot!(render(&list));
    }

    #[test]
    fn each_change_says_what_is_so_now() {
        let change = |change, pairs| GrantChange {
            drone: "acme-web".parse().expect("a name"),
            repo: "acme/lib".parse().expect("a repository"),
            permissions: set(pairs),
            change,
            notices: vec![],
        };
        let read = &[("contents", "read"), ("metadata", "read")];
        let said = [
            change(ChangeKind::Connected, read),
            change(ChangeKind::Changed, read),
            change(ChangeKind::Unchanged, read),
            change(ChangeKind::Disconnected, &[]),
            change(ChangeKind::Unchanged, &[]),
        ];
        insta::assert_snapshot!(said.map(|one| messages::grant_changed(&one) + "\n").concat());
    }
}
