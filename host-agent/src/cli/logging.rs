//! The host agent's own log: structured, on stderr.

use std::io;

use clap::ValueEnum;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

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
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let log = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => log.with(lines.with_ansi(colour)).init(),
        LogFormat::Json => {
            log.with(lines.json().with_current_span(true).with_span_list(true)).init();
        }
    }
    Ok(())
}

/// By target and level alone: filters by span and field would bring a whole regex engine along.
fn filter(wanted: Option<&str>, verbose: u8) -> Result<Targets, Failure> {
    let by_flag = match verbose {
        0 => "info",
        1 => "info,hatchery=debug",
        _ => "debug,hatchery=trace",
    };
    let directives = wanted.filter(|wanted| !wanted.is_empty()).unwrap_or(by_flag);
    directives.parse().map_err(|error| {
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
        let debug = filter(None, 1).expect("debug");
        assert!(debug.would_enable("hatchery::lifecycle", &tracing::Level::DEBUG));
        assert!(!debug.would_enable("hyper", &tracing::Level::DEBUG));
        assert_eq!(filter(Some("warn"), 2).expect("warn").to_string(), "warn");
        assert_eq!(filter(Some("a=b=c"), 0).expect_err("broken").kind, FailureKind::Usage);
    }
}
