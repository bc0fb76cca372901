//! `hatchery serve`: loads the configuration and becomes the host agent.

use clap::Args;

use super::logging::{self, LogFormat};
use super::terminal::Terminal;
use super::{Global, Stop};
use crate::config::{self, ConfigError, Locations};
use crate::lifecycle::{Failure, FailureKind};

/// Threads for tasks; what blocks has others.
const WORKERS: usize = 2;

/// Run the host agent
///
/// SIGHUP makes it read its configuration again; what needs a restart is said in its log. SIGTERM
/// and SIGINT end it: it takes no more requests, rolls back what is under way, and leaves every
/// drone running.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// How log lines look
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
}

pub(super) fn run(args: &ServeArgs, global: &Global) -> Result<(), Stop> {
    let terminal = Terminal::of_process(global);
    logging::init(args.log_format, global.verbose, terminal.colour)?;
    let loaded = config::load(global.config.as_deref(), &Locations::of_process());
    let config = loaded.map_err(|error| config_failure(&error))?;
    let runtime = runtime()
        .map_err(|error| Failure::new(FailureKind::Failed, "cannot start").caused_by(&error))?;
    Ok(runtime.block_on(crate::serve::run(config))?)
}

/// Few threads, whatever the machine has: the host agent waits far more than it computes, and the
/// allocator keeps memory for each of them.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()
}

/// A configuration that cannot be used, every error with its place.
pub(super) fn config_failure(error: &ConfigError) -> Failure {
    let failure = Failure::new(FailureKind::Usage, error.to_string());
    match error {
        ConfigError::Unreadable { source, .. } => failure
            .hint("name it with --config or HATCHERY_CONFIG; README.md shows how to write one")
            .caused_by(source),
        ConfigError::Wrong { .. } => failure.details(error.places()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Problem;

    #[test]
    fn every_error_has_its_place() {
        let problem = |line, key: &str, message: &str| Problem {
            line,
            key: key.to_owned(),
            message: message.to_owned(),
        };
        let error = ConfigError::Wrong {
            path: "/etc/hatchery/config.toml".into(),
            problems: vec![
                problem(3, "", "unclosed table, expected `]`"),
                problem(9, "drone.memory", "expected a size such as \"8GiB\", got 8"),
            ],
        };
        let failure = config_failure(&error);
        let terminal =
            Terminal { json: false, quiet: false, garnish: true, colour: false, live: false };
        insta::assert_snapshot!(super::super::messages::failure(&failure, terminal));
    }
}
