//! The host agent's own log: structured, on stderr.

use std::io;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::config::env;
use crate::lifecycle::{Failure, FailureKind};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the log. `HATCHERY_LOG` filters it, else `-v` (debug) and `-vv` (trace) do.
pub(super) fn init(format: LogFormat, verbose: u8, colour: bool) -> Result<(), Failure> {
    let filter = filter(std::env::var(env::LOG).ok().as_deref(), verbose)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(colour).init(),
        LogFormat::Json => builder.json().with_current_span(true).with_span_list(true).init(),
    }
    Ok(())
}

fn filter(wanted: Option<&str>, verbose: u8) -> Result<EnvFilter, Failure> {
    let by_flag = match verbose {
        0 => "info",
        1 => "info,hatchery=debug",
        _ => "debug,hatchery=trace",
    };
    let directives = wanted.filter(|wanted| !wanted.is_empty()).unwrap_or(by_flag);
    EnvFilter::try_new(directives).map_err(|error| {
        Failure::new(FailureKind::Usage, format!("{} is no filter of the log", env::LOG))
            .hint("write it like `info,hatchery=debug`")
            .caused_by(&error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_goes_before_the_flag() {
        assert_eq!(filter(None, 0).expect("default").to_string(), "info");
        assert_eq!(filter(Some("warn"), 2).expect("warn").to_string(), "warn");
        assert_eq!(filter(Some("a=b=c"), 0).expect_err("broken").kind, FailureKind::Usage);
    }
}
