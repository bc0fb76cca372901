//! How the outside hears about a failure: the error, a blank line, and a hint with the next step.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// Exit codes, as far as the whole of Hatchery agrees on them.
pub mod code {
    /// Failed, for a reason that has no code of its own.
    pub const FAILED: u8 = 1;
    /// Wrong usage.
    pub const USAGE: u8 = 2;
    /// Refused by the drone's grants.
    pub const NOT_GRANTED: u8 = 6;
    /// The forge is unreachable or refuses.
    pub const FORGE: u8 = 8;
    /// The host agent does not answer, or there is none.
    pub const NO_HOST_AGENT: u8 = 10;
    /// The program to run does not exist (as a shell reports it).
    pub const NO_PROGRAM: u8 = 127;
}

/// Why a command did not do what it was asked for, ready for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    error: String,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    /// A failure with exit code 1 and no hint.
    pub fn new(error: impl Into<String>) -> Self {
        Self { error: error.into(), hint: None, code: code::FAILED }
    }

    /// Wrong usage of `command` (`None`: of the binary itself); the hint names its help.
    pub fn usage(error: impl Into<String>, command: Option<&str>) -> Self {
        let help = match command {
            Some(command) => format!("`drone-agent help {command}` shows what it takes"),
            None => "`drone-agent help` lists the commands".to_owned(),
        };
        Self::new(error).hint(help).code(code::USAGE)
    }

    /// The same failure with the next step for the person who reads it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with another exit code.
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Error, blank line, hint; without control characters, as parts of it came over the wire.
    fn text(&self) -> String {
        let mut text = format!("error: {}\n", printable(&self.error));
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\nhint: {}\n", printable(hint)));
        }
        text
    }
}

/// `text` with everything that could drive a terminal replaced; line ends stay.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Says on stderr why a command failed.
///
/// A stderr that is gone is no reason to fail differently.
pub fn failed(failure: &Failure) -> ExitCode {
    let _ = io::stderr().write_all(failure.text().as_bytes());
    ExitCode::from(failure.code)
}

/// Says `line` on stderr.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(line));
}

/// Writes `text` to stdout in one piece. A reader that went away wanted no more of it.
///
/// # Errors
/// When stdout takes it not for another reason.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_and_its_hint_are_a_line_apart() {
        let failure = Failure::new("it broke").hint("mend it");
        assert_eq!(failure.text(), "error: it broke\n\nhint: mend it\n");
        assert_eq!(Failure::new("it broke").text(), "error: it broke\n");
    }

    #[test]
    fn text_from_outside_cannot_drive_the_terminal() {
        let failure = Failure::new("a\u{1b}[2Jb\rc");
        assert_eq!(failure.text(), "error: a\u{fffd}[2Jb\u{fffd}c\n");
    }
}
