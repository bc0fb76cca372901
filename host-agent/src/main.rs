//! The command `hatchery`: parse, run, report.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    hatchery::cli::run(hatchery::cli::Cli::parse())
}
