//! `gh auth`: most of it would work around the drone's credentials, or show them.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use hatchery_protocol::wire::Identity;

use crate::lookup;
use crate::report::{self, Failure, code};

use super::call::Call;

/// What becomes of an `auth` command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Auth {
    /// It is none, or one that does no harm.
    None,
    /// Answered here: the real one masks only the end of the newer tokens.
    Status,
    /// Prints a token, on purpose.
    Token,
    /// Answered by our credential helper, which looks at the path: gh's own gives the token to
    /// every repository and every subdomain.
    GitCredential,
    /// Not in a drone.
    Refused(String),
}

impl Auth {
    /// What `call` is.
    pub(super) fn of(call: &Call) -> Self {
        match call.command() {
            ("auth", "status") => Self::Status,
            ("auth", "token") => Self::Token,
            ("auth", "git-credential") => Self::GitCredential,
            ("auth", verb @ ("login" | "logout" | "refresh" | "setup-git" | "switch")) => {
                Self::Refused(verb.to_owned())
            }
            _ => Self::None,
        }
    }
}

/// Prints who gh acts as here, without any part of a token.
pub(super) fn status(identity: &Identity) -> Result<ExitCode, Failure> {
    let text = format!(
        "{}\n  Each call of gh gets a token of its own from the host agent.\n{}",
        identity.forge,
        lookup::describe(identity)
    );
    report::print(&report::printable(&text))?;
    Ok(ExitCode::SUCCESS)
}

/// Why `gh auth VERB` is not run.
pub(super) fn refusal(verb: &str) -> Failure {
    let reason = match verb {
        "setup-git" => "it would replace the drone's credential helper in git's configuration",
        _ => "the drone has no account: each call of gh gets a short-lived token of its own",
    };
    Failure::new(format!("`gh auth {verb}` is not run in a drone: {reason}"))
        .hint("`gh auth status` shows what the drone was granted")
}

/// Lets `gh auth token` go on where no screen shows it.
pub(super) fn to_a_pipe_only() -> Result<(), Failure> {
    if !io::stdout().is_terminal() {
        return Ok(());
    }
    Err(Failure::new("a token is not printed to a terminal")
        .hint("pipe it on, or print it on purpose with `drone-agent token --show`")
        .code(code::FAILED))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn what_shows_or_replaces_credentials_is_caught() {
        let auth = |line: &str| {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            Auth::of(&Call::parse(&args))
        };
        assert_eq!(auth("auth status --show-token"), Auth::Status);
        assert_eq!(auth("auth --hostname github.com status"), Auth::Status);
        assert_eq!(auth("auth git-credential get"), Auth::GitCredential);
        for verb in ["login", "logout", "refresh", "setup-git", "switch"] {
            assert_eq!(auth(&format!("auth {verb}")), Auth::Refused(verb.to_owned()));
        }
        assert_eq!(auth("pr status"), Auth::None);
    }
}
