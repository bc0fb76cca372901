//! The file as it is written: tables that hand out their keys one by one, and note what is wrong
//! instead of stopping at it, so that every error is reported at once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// One thing that is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// The key with its tables (`limits.max_drones`), or nothing where the file is no TOML.
    pub key: String,
    /// What is wrong and what is expected.
    pub message: String,
}

/// The problems found so far, with what is needed to say where they are.
pub(super) struct Problems<'a> {
    text: &'a str,
    found: RefCell<Vec<Problem>>,
}

impl<'a> Problems<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, found: RefCell::default() }
    }

    /// Notes a problem at a byte of the file.
    pub(super) fn add(&self, offset: usize, key: &str, message: impl Into<String>) {
        let before = self.text.as_bytes().iter().take(offset);
        let line = 1 + before.filter(|&&byte| byte == b'\n').count();
        let problem = Problem { line, key: key.to_owned(), message: message.into() };
        self.found.borrow_mut().push(problem);
    }

    /// All of them, in the order of the file.
    pub(super) fn into_sorted(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        found.sort_by(|a, b| (a.line, &a.key).cmp(&(b.line, &b.key)));
        found
    }
}

/// A table of the file. Every key that may be in it is asked for once; [`Section::finish`] reports
/// the others.
pub(super) struct Section<'a> {
    problems: &'a Problems<'a>,
    path: String,
    at: usize,
    table: Option<&'a DeTable<'a>>,
    asked: BTreeSet<&'static str>,
}

impl<'a> Section<'a> {
    pub(super) fn root(problems: &'a Problems<'a>, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self::new(problems, String::new(), table.span(), Some(table.get_ref()))
    }

    /// A table that nobody wrote.
    pub(super) fn empty(problems: &'a Problems<'a>) -> Self {
        Self::new(problems, String::new(), 0..0, None)
    }

    fn new(
        problems: &'a Problems<'a>,
        path: String,
        span: Range<usize>,
        table: Option<&'a DeTable<'a>>,
    ) -> Self {
        Self { problems, path, at: span.start, table, asked: BTreeSet::new() }
    }

    /// The table under `key`; an empty one where it is missing.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let path = self.path_of(key);
        let Some(value) = self.find(key) else {
            return Self::new(self.problems, path, self.at..self.at, None);
        };
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong(key, value, "a table");
        }
        Self::new(self.problems, path, value.span(), table)
    }

    /// The tables under `[[key]]`.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let path = self.path_of(key);
        let Some(value) = self.find(key) else { return vec![] };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong(key, value, &format!("tables, each headed [[{path}]]"));
            return vec![];
        };
        let entries = array.iter().filter_map(|entry| {
            let table = entry.get_ref().as_table();
            if table.is_none() {
                self.wrong(key, entry, "a table");
            }
            Some(Self::new(self.problems, path.clone(), entry.span(), Some(table?)))
        });
        entries.collect()
    }

    /// The value under `key` as `take` understands it; `None` where the key is missing, or where
    /// `take` refuses it, which is noted with what was expected.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        take: impl FnOnce(&DeValue<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.find(key)?;
        let taken = take(value.get_ref());
        if taken.is_none() {
            self.wrong(key, value, expected);
        }
        taken
    }

    /// As [`Section::read`], but missing is a problem too.
    pub(super) fn require<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        take: impl FnOnce(&DeValue<'_>) -> Option<T>,
    ) -> Option<T> {
        if self.find(key).is_none() {
            self.missing(key, expected);
            return None;
        }
        self.read(key, expected, take)
    }

    /// Whether `key` is there.
    pub(super) fn has(&mut self, key: &'static str) -> bool {
        self.find(key).is_some()
    }

    /// Notes that `key` is missing.
    pub(super) fn missing(&self, key: &str, expected: &str) {
        let path = self.path_of(key);
        self.problems.add(self.at, &path, format!("missing; expected {expected}"));
    }

    /// Notes that `key` cannot stand beside another.
    pub(super) fn clash(&mut self, key: &'static str, message: &str) {
        let at = self.find(key).map_or(self.at, |value| value.span().start);
        self.problems.add(at, &self.path_of(key), message);
    }

    /// Notes a problem of the environment that this table stands for.
    pub(super) fn outside(&self, message: &str) {
        self.problems.add(self.at, "", message);
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        let Some(table) = self.table else { return };
        for (key, _) in table.iter() {
            let name: &DeString<'_> = key.get_ref();
            if !self.asked.contains(name.as_ref()) {
                let message = match nearest(name, &self.asked) {
                    Some(known) => format!("unknown key; did you mean `{known}`?"),
                    None => format!("unknown key; known here: {}", list(&self.asked)),
                };
                self.problems.add(key.span().start, &self.path_of(name), message);
            }
        }
    }

    fn find(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.insert(key);
        self.table?.get(key)
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        let got = describe(value.get_ref());
        self.problems.add(
            value.span().start,
            &self.path_of(key),
            format!("expected {expected}, got {got}"),
        );
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{:?}", shorten(text)),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(value) => value.to_string(),
        DeValue::Array(entries) => {
            let shown: Vec<_> = entries.iter().map(|entry| describe(entry.get_ref())).collect();
            shorten(&format!("[{}]", shown.join(", ")))
        }
        DeValue::Table(entries) => {
            let shown = entries
                .iter()
                .map(|(key, value)| format!("{} = {}", key.get_ref(), describe(value.get_ref())));
            shorten(&format!("{{ {} }}", shown.collect::<Vec<_>>().join(", ")))
        }
    }
}

/// So much of a value is repeated in an error.
fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

fn list(known: &BTreeSet<&'static str>) -> String {
    let quoted: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
    quoted.join(", ")
}

/// The known key that `name` was meant to be: at most a third of it typed wrongly.
fn nearest(name: &str, known: &BTreeSet<&'static str>) -> Option<&'static str> {
    let close = known.iter().map(|&key| (distance(name, key), key));
    close.filter(|(distance, key)| *distance <= key.len().div_ceil(3)).min().map(|(_, key)| key)
}

/// Levenshtein's distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(b.bytes()) {
            let replaced = diagonal + usize::from(left != right);
            diagonal = *cell;
            before = replaced.min(diagonal + 1).min(before + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let known = BTreeSet::from(["max_drones", "build_concurrency"]);
        assert_eq!(nearest("max_drone", &known), Some("max_drones"));
        assert_eq!(nearest("max-drones", &known), Some("max_drones"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
