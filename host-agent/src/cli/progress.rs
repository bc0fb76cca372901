//! What an operation does, as it does it: a spinner with the time gone by on a terminal, plain
//! lines in a pipe, JSON lines on request.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::messages::{self, Line};
use super::policy;
use super::terminal::Terminal;
use crate::control::api::{Event, EventKind, Phase, Step};
use crate::policy::Report;

/// The spinner's frames a second: ten.
const TICK: Duration = Duration::from_millis(100);

/// Shows events.
pub(super) struct Progress {
    terminal: Terminal,
    spinner: Option<ProgressBar>,
    /// The reader of our JSON is gone; the operation goes on all the same.
    muted: bool,
}

impl Progress {
    pub(super) fn new(terminal: Terminal) -> Self {
        Self { terminal, spinner: None, muted: false }
    }

    /// Shows an event.
    pub(super) fn show(&mut self, event: &Event) {
        if self.terminal.json {
            self.muted = self.muted || self.terminal.json(event).is_err();
            return;
        }
        match &event.kind {
            EventKind::Step { step, phase, duration_ms, .. } => {
                self.step(*step, *phase, duration_ms.map(Duration::from_millis));
            }
            EventKind::Progress { step, text } => self.detail(*step, text),
            EventKind::Notice { text } => self.say(&messages::notice(text, self.terminal)),
            EventKind::Policy { report } => self.policy(report),
            EventKind::OutOfMemory if self.terminal.garnish => self.say(Line::Nuclear.text()),
            EventKind::OutOfMemory
            | EventKind::State { .. }
            | EventKind::Done { .. }
            | EventKind::Failed { .. } => {}
        }
    }

    /// The data of a dry run. A reader that is gone makes no difference to its outcome.
    fn policy(&self, report: &Report) {
        let print = || policy::print(report, &[], self.terminal);
        let _ = match &self.spinner {
            Some(spinner) => spinner.suspend(print),
            None => print(),
        };
    }

    /// Says something above the spinner.
    pub(super) fn say(&self, text: &str) {
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| self.terminal.say(text)),
            None => self.terminal.say(text),
        }
    }

    /// Takes the spinner away.
    pub(super) fn end(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }

    fn step(&mut self, step: Step, phase: Phase, took: Option<Duration>) {
        self.end();
        if phase == Phase::Start && self.terminal.live {
            let spinner = ProgressBar::new_spinner().with_style(style());
            spinner.set_prefix(messages::step_name(step));
            spinner.set_message(messages::doing(step));
            spinner.enable_steady_tick(TICK);
            self.spinner = Some(spinner);
            return;
        }
        self.say(&messages::step_line(step, phase, took, self.terminal));
    }

    fn detail(&self, step: Step, text: &str) {
        let text = messages::printable(text);
        match &self.spinner {
            Some(spinner) => spinner.set_message(text),
            None => self.terminal.say(&format!("  {:8} {text}", messages::step_name(step))),
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix:8} {elapsed:>4} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}
