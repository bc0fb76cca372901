//! The command `hatchery`: parse, run, report.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    if let Some(code) = hatchery::cli::become_docker() {
        return code;
    }
    hatchery::cli::run(hatchery::cli::Cli::parse())
}
