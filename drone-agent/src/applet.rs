//! Which of the programs in this binary is meant.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use crate::report::{self, Failure};
use crate::{boot, credential, doctor, gh, help, hook, lookup};

/// Runs the program that `name` (`argv[0]`) or the first of `args` asks for.
///
/// # Errors
/// What that program could not do.
pub fn run(name: &OsStr, mut args: Vec<OsString>) -> Result<ExitCode, Failure> {
    match Path::new(name).file_name().and_then(OsStr::to_str) {
        Some("git-credential-hatchery") => return credential::run(&args),
        Some("gh") => return gh::run(args),
        _ => {}
    }
    if args.is_empty() {
        return help::print(None);
    }
    let command = args.remove(0);
    match command.to_str().unwrap_or_default() {
        "git-credential" => credential::run(&args),
        "gh" => gh::run(args),
        "boot" => boot::run(args),
        "hook" => hook::run(args),
        "token" => lookup::token(args),
        "identity" => lookup::identity(args),
        "doctor" => doctor::run(args),
        "version" | "--version" | "-V" => {
            report::print(&format!("drone-agent {}\n", env!("CARGO_PKG_VERSION")))?;
            Ok(ExitCode::SUCCESS)
        }
        "help" | "--help" | "-h" => help::print(args.first().and_then(|topic| topic.to_str())),
        other => Err(Failure::usage(format!("there is no command {other:?}"), None)),
    }
}
