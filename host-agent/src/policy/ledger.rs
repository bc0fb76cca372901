//! Where the passes write down what they strip and refuse.

use super::checkout::ReadError;
use super::finding::{Finding, Permit, Verdict};
use super::node::Flaw;
use super::scope::Scope;

/// Where in a repository something is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Relative to the checkout.
    pub file: String,
    /// From 1; `None` where the source has no lines.
    pub line: Option<u32>,
    /// The key or option: `mounts`, `runArgs --device`.
    pub subject: String,
}

impl Place {
    /// `subject` at `line` of `file`.
    pub fn new(file: &str, line: u32, subject: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: Some(line), subject: subject.into() }
    }

    /// The same, one level deeper and at its own line.
    pub fn inner(&self, line: u32, name: &str) -> Self {
        Self {
            file: self.file.clone(),
            line: self.line.map(|_| line),
            subject: format!("{}.{name}", self.subject),
        }
    }

    /// The same key at another line.
    pub fn at(&self, line: u32) -> Self {
        Self { line: self.line.map(|_| line), ..self.clone() }
    }

    /// The same line, with `detail` behind the key.
    pub fn with(&self, detail: &str) -> Self {
        Self { subject: format!("{} {detail}", self.subject), ..self.clone() }
    }

    fn describe(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}: {}", self.file, self.subject),
            None => format!("{}: {}", self.file, self.subject),
        }
    }
}

/// Findings in the making, and the scope that decides them.
#[derive(Debug)]
pub struct Ledger<'a> {
    /// For whom.
    pub scope: &'a Scope<'a>,
    /// A Tailscale feature was stripped: what it needs goes with it.
    pub tailscale_superseded: bool,
    /// Directories of the checkout that mounts name and git does not have.
    pub missing: Vec<String>,
    findings: Vec<Finding>,
    broken: Vec<String>,
}

impl<'a> Ledger<'a> {
    /// Empty.
    pub fn new(scope: &'a Scope<'a>) -> Self {
        Self {
            scope,
            tailscale_superseded: false,
            missing: vec![],
            findings: vec![],
            broken: vec![],
        }
    }

    /// Needless here: it goes, with a notice.
    pub fn strip(&mut self, place: &Place, reason: impl Into<String>) {
        self.add(Verdict::Strip, place, reason.into(), None, true);
    }

    /// Not from a repository, and nothing permits it; the rest makes sense without it.
    pub fn refuse(&mut self, place: &Place, reason: impl Into<String>) {
        self.add(Verdict::Refuse, place, reason.into(), None, true);
    }

    /// As [`Ledger::refuse`], where nothing sensible is left without it.
    pub fn refuse_whole(&mut self, place: &Place, reason: impl Into<String>) {
        self.add(Verdict::Refuse, place, reason.into(), None, false);
    }

    /// Refused unless a `[[policy]]` rule permits it; says whether it does.
    pub fn ask(&mut self, permit: Permit, place: &Place, reason: impl Into<String>) -> bool {
        self.decide(permit, place, reason.into(), true)
    }

    /// As [`Ledger::ask`], where nothing sensible is left without it.
    pub fn ask_whole(&mut self, permit: Permit, place: &Place, reason: impl Into<String>) -> bool {
        self.decide(permit, place, reason.into(), false)
    }

    /// It is not what the specification says.
    pub fn broken(&mut self, place: &Place, expected: &str) {
        self.broken.push(format!("{}: {expected}", place.describe()));
    }

    /// A document with a flaw: broken, or refused where it could be read in two ways.
    pub fn flaw(&mut self, file: &str, flaw: &Flaw) {
        let place = Place::new(file, flaw.line, "syntax");
        if flaw.ambiguous {
            self.refuse_whole(&place, flaw.what.clone());
        } else {
            self.broken.push(format!("{file}:{}: {}", flaw.line, flaw.what));
        }
    }

    /// A file that `place` names and that cannot be read.
    pub fn unreadable(&mut self, place: &Place, error: &ReadError) {
        match error {
            ReadError::Leaves(_) => self.refuse_whole(place, error.to_string()),
            ReadError::Missing(_) | ReadError::Unfit { .. } => {
                self.broken(place, &error.to_string());
            }
        }
    }

    /// What was found, and what is broken, a line each.
    pub fn close(self) -> (Vec<Finding>, Vec<String>) {
        (self.findings, self.broken)
    }

    fn decide(&mut self, permit: Permit, place: &Place, reason: String, droppable: bool) -> bool {
        let permitted = self.scope.permits(permit);
        let verdict = if permitted { Verdict::Permit } else { Verdict::Refuse };
        self.add(verdict, place, reason, Some(permit), droppable);
        permitted
    }

    fn add(
        &mut self,
        verdict: Verdict,
        place: &Place,
        reason: String,
        permit: Option<Permit>,
        droppable: bool,
    ) {
        self.findings.push(Finding {
            verdict,
            file: place.file.clone(),
            line: place.line,
            subject: place.subject.clone(),
            reason,
            permit,
            droppable,
        });
    }
}
