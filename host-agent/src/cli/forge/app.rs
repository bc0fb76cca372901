//! `hatchery forge app`.

use std::path::Path;

use clap::Subcommand;
use http::Method;
use local_forge::{APP_KEY_FILE, AdminClient, CA_FILE, InstallationSpec, Level, Permissions};
use serde::{Deserialize, Serialize};

use super::admin::call;
use crate::cli::terminal::Terminal;
use crate::cli::{Stop, messages};
use crate::lifecycle::{Failure, FailureKind};

/// Show the forge's App and install it on accounts
#[derive(Debug, Subcommand)]
pub(super) enum AppCommand {
    /// Print the App's id, its key file and the CA's file
    Show,
    /// Install the App on an account, in place of an installation that is there
    Install {
        /// The account's login; created as a user when unknown
        account: String,
        /// Only on this repository, without the owner; may be repeated [default: all]
        #[arg(long = "repo", value_name = "NAME")]
        repos: Vec<String>,
        /// Only with this permission; may be repeated [default: what Hatchery asks for]
        #[arg(long = "permission", value_name = "NAME=LEVEL", value_parser = permission)]
        permissions: Vec<(String, Level)>,
    },
}

/// The App, as the configuration wants it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    app_id: u64,
    client_id: &'a str,
    private_key_file: String,
    ca_file: String,
}

#[derive(Debug, Deserialize)]
struct State {
    app: App,
}

#[derive(Debug, Deserialize)]
struct App {
    id: u64,
    client_id: String,
}

pub(super) async fn run(
    client: AdminClient,
    command: AppCommand,
    directory: &Path,
    terminal: &Terminal,
) -> Result<(), Stop> {
    match command {
        AppCommand::Show => {
            let answer = call(&client, Method::GET, "/state", &()).await?;
            let state: State = serde_json::from_value(answer).map_err(|error| {
                Failure::new(FailureKind::Failed, "cannot read the forge's state").caused_by(&error)
            })?;
            let shown = Shown {
                app_id: state.app.id,
                client_id: &state.app.client_id,
                private_key_file: directory.join(APP_KEY_FILE).display().to_string(),
                ca_file: directory.join(CA_FILE).display().to_string(),
            };
            if terminal.json { terminal.json(&shown) } else { terminal.data(&render(&shown)) }
        }
        AppCommand::Install { account, repos, permissions } => {
            let spec = InstallationSpec {
                account: account.clone(),
                permissions: held(permissions),
                repositories: (!repos.is_empty()).then_some(repos),
                ..InstallationSpec::default()
            };
            let answer = call(&client, Method::POST, "/installations", &spec).await?;
            terminal.say(&messages::forge_app_installed(&account));
            if terminal.json { terminal.json(&answer) } else { Ok(()) }
        }
    }
}

fn render(app: &Shown<'_>) -> String {
    format!(
        "app id     {}\nclient id  {}\nkey file   {}\nCA file    {}\n",
        app.app_id, app.client_id, app.private_key_file, app.ca_file
    )
}

/// What the installation holds: what was named, else what a drone gets unless the configuration
/// says otherwise.
fn held(named: Vec<(String, Level)>) -> Permissions {
    if named.is_empty() {
        let defaults = crate::config::DEFAULT_PERMISSIONS.iter();
        return defaults.filter_map(|(name, text)| Some((*name, level(text)?))).collect();
    }
    let mut permissions = Permissions::default();
    named.iter().for_each(|(name, level)| permissions.set(name, *level));
    permissions
}

fn permission(text: &str) -> Result<(String, Level), String> {
    let known = || {
        let (name, text) = text.split_once('=')?;
        Some((name.to_owned(), level(text)?))
    };
    known().ok_or_else(|| "expected NAME=read, NAME=write or NAME=admin".to_owned())
}

fn level(text: &str) -> Option<Level> {
    [Level::Read, Level::Write, Level::Admin].into_iter().find(|level| level.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_holds_by_default_what_drones_ask_for() {
        let all = held(vec![]);
        assert!(all.allows("contents", Level::Write) && all.allows("checks", Level::Read));
        assert!(!all.allows("workflows", Level::Write));
        let one = held(vec![permission("contents=read").expect("a permission")]);
        assert!(!one.allows("contents", Level::Write) && !one.allows("issues", Level::Read));
        permission("contents").expect_err("without a level");
        permission("contents=all").expect_err("no level");
    }
}
