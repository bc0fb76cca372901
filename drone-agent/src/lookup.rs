//! `token` and `identity`: what the host agent says, for scripts and people.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use hatchery_protocol::wire::Identity;
use lexopt::prelude::*;

use crate::client::{HostAgent, TokenAsk};
use crate::help;
use crate::report::{self, Failure, code};

/// Prints a token to a pipe, or to a terminal if told to.
///
/// # Errors
/// Wrong usage, no host agent, or its refusal.
pub fn token(args: Vec<OsString>) -> Result<ExitCode, Failure> {
    let usage = |error: lexopt::Error| Failure::usage(error.to_string(), Some("token"));
    let mut ask = TokenAsk::default();
    let mut show = false;
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(usage)? {
        match arg {
            Long("repo") | Short('R') => {
                ask.repos.push(parser.value().and_then(|repo| repo.parse()).map_err(usage)?);
            }
            Long("min-valid") => {
                ask.min_valid = Some(parser.value().and_then(|life| life.parse()).map_err(usage)?);
            }
            Long("show") => show = true,
            Long("help") | Short('h') => return help::print(Some("token")),
            other => return Err(usage(other.unexpected())),
        }
    }
    if io::stdout().is_terminal() && !show {
        return Err(Failure::new("a token is not printed to a terminal")
            .hint("pipe it on, as in `GH_TOKEN=$(drone-agent token) ...`, or add --show")
            .code(code::USAGE));
    }
    let reply = HostAgent::of_this_drone().token(&ask)?;
    report::print(&format!("{}\n", reply.token))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints who this drone is.
///
/// # Errors
/// Wrong usage, or no host agent.
pub fn identity(args: Vec<OsString>) -> Result<ExitCode, Failure> {
    let usage = |error: lexopt::Error| Failure::usage(error.to_string(), Some("identity"));
    let mut json = false;
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(usage)? {
        match arg {
            Long("json") => json = true,
            Long("help") | Short('h') => return help::print(Some("identity")),
            other => return Err(usage(other.unexpected())),
        }
    }
    let identity = HostAgent::of_this_drone().identity()?;
    let text = if json {
        serde_json::to_string(&identity).map_err(|error| Failure::new(error.to_string()))? + "\n"
    } else {
        report::printable(&describe(&identity))
    };
    report::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A drone and its grants, a line each.
pub fn describe(identity: &Identity) -> String {
    let mut text = format!(
        "drone       {}\nrepository  {}/{}\nhost agent  {}\n",
        identity.drone, identity.forge, identity.repo, identity.host_agent_version
    );
    if let Some(author) = &identity.git_identity {
        text.push_str(&format!("commits as  {} <{}>\n", author.name, author.email));
    }
    for repo in &identity.granted {
        let permissions: Vec<String> =
            repo.permissions.iter().map(|(name, level)| format!("{name}={level}")).collect();
        text.push_str(&format!("granted     {}: {}\n", repo.name, permissions.join(" ")));
    }
    text
}
