//! Where output goes and how: data to stdout, the rest to stderr; colour and garnish only where
//! they are wanted.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use super::messages::{self, Line};
use super::{Global, Stop};
use crate::config::env;
use crate::lifecycle::{Failure, FailureKind};

/// How this run talks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// Data as JSON.
    pub json: bool,
    /// Nothing but data and errors.
    pub quiet: bool,
    /// Zerg lines.
    pub garnish: bool,
    /// Colour on stderr.
    pub colour: bool,
    /// Progress may move on stderr.
    pub live: bool,
}

impl Terminal {
    /// What flags, environment and the ends of our pipes say.
    pub(super) fn of_process(global: &Global) -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let tty = io::stderr().is_terminal() && set(env::TERM).is_none_or(|term| term != "dumb");
        let plain = global.plain || set(env::PLAIN).is_some_and(|value| value != "0");
        Self {
            json: global.json,
            quiet: global.quiet,
            garnish: !plain && !global.quiet,
            colour: tty && set(env::NO_COLOR).is_none(),
            live: tty && !global.quiet && !global.json,
        }
    }

    /// Writes data.
    #[expect(clippy::unused_self, reason = "whoever may write has a terminal")]
    pub(super) fn data(self, text: &str) -> Result<(), Stop> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(stdout_failed)
    }

    /// Writes data as one line of JSON.
    pub(super) fn json(self, value: &impl Serialize) -> Result<(), Stop> {
        let mut text = serde_json::to_string(value).map_err(|error| stdout_failed(error.into()))?;
        text.push('\n');
        self.data(&text)
    }

    /// Says something beside the data.
    pub(super) fn say(self, text: &str) {
        if !self.quiet {
            self.write_stderr(text);
        }
    }

    /// Says a Zerg line, where it is wanted.
    pub(super) fn garnish(self, line: Line) {
        if self.garnish {
            self.write_stderr(line.text());
        }
    }

    /// Says a failure.
    pub(super) fn report(self, failure: &Failure) {
        self.write_stderr(messages::failure(failure, self).trim_end());
    }

    /// `text` in a colour of the terminal's palette, where colour is wanted.
    pub(super) fn paint(self, colour: Colour, text: &str) -> String {
        if self.colour { format!("\x1b[1;{}m{text}\x1b[0m", colour.sgr()) } else { text.to_owned() }
    }

    /// A stderr that is gone can be told nothing, so its errors end here.
    #[expect(clippy::unused_self, reason = "whoever may write has a terminal")]
    fn write_stderr(self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// What stands out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Colour {
    /// Errors.
    Red,
    /// What went well.
    Green,
    /// Warnings.
    Yellow,
    /// What to do next.
    Cyan,
}

impl Colour {
    fn sgr(self) -> u8 {
        match self {
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Cyan => 36,
        }
    }
}

/// Turns an error of stdout into the command's end.
pub(super) fn stdout_failed(error: io::Error) -> Stop {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Stop::BrokenPipe;
    }
    Failure::new(FailureKind::Failed, "cannot write to standard output").caused_by(&error).into()
}
