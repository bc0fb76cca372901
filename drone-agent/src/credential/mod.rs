//! `git-credential-hatchery`: git's credential protocol, answered for the drone's forge alone.
//!
//! The repository comes from the `path` that git sends (`useHttpPath`), the token from the host
//! agent, which decides. A refusal ends git at once (`quit`), so that no later helper and no
//! `GIT_ASKPASS` answers with another identity; whatever is not ours is left to the next helper in
//! silence. Source: gitcredentials(7), git-credential(1).

mod ancestors;
mod answer;
mod ask;
mod lfs;
mod request;
mod workflows;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use sha2::{Digest, Sha256};

use crate::client::HostAgent;
use crate::help;
use crate::report::{self, Failure, code};

use ask::Outcome;
use request::Request;

/// Runs the operation that git names in `args`. Unknown ones are for helpers of the future.
///
/// # Errors
/// Refusals, when git is to stop at them.
pub fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    match args.first().and_then(|operation| operation.to_str()) {
        Some("get") => get(),
        Some("erase") => erase(),
        Some("--help" | "-h" | "help") | None => help::print(Some("git-credential")),
        // `store`: the host agent has the token already, and the drone is to keep no copy.
        Some(_) => Ok(ExitCode::SUCCESS),
    }
}

fn get() -> Result<ExitCode, Failure> {
    if io::stdout().is_terminal() {
        return Err(Failure::new("a token is not printed to a terminal")
            .hint("git reads it through a pipe; `drone-agent token --show` prints one on purpose")
            .code(code::USAGE));
    }
    let host_agent = HostAgent::of_this_drone();
    let outcome = match Request::read(&mut io::stdin().lock()) {
        Ok(request) => ask::for_credential(&host_agent, &request),
        Err(_) if !host_agent.is_expected() => Outcome::StepAside,
        Err(error) => Outcome::Refuse(Failure::new(format!("git's question is refused: {error}"))),
    };
    match outcome {
        Outcome::StepAside => Ok(ExitCode::SUCCESS),
        Outcome::Answer(text) => report::print(&text).map(|()| ExitCode::SUCCESS),
        Outcome::Refuse(failure) => {
            report::print("quit=1\n")?;
            Err(failure)
        }
    }
}

/// The forge answered 401: the host agent learns which token that was, by its hash.
fn erase() -> Result<ExitCode, Failure> {
    let host_agent = HostAgent::of_this_drone();
    let request = match Request::read(&mut io::stdin().lock()) {
        Ok(request) => request,
        Err(_) if !host_agent.is_expected() => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(Failure::new(format!("git's message is refused: {error}"))),
    };
    let Some(password) = request.password.filter(|_| host_agent.is_expected()) else {
        return Ok(ExitCode::SUCCESS);
    };
    host_agent.token_rejected(sha256_hex(password.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}

/// SHA-256 in lower-case hex: how a token is named where it must not be told.
fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_written_as_everyone_writes_it() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), known);
    }
}
