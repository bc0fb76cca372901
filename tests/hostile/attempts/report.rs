//! What was attempted, and what it got.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// One thing that a drone must not be able to do.
#[derive(Debug)]
struct Attempt {
    kind: &'static str,
    name: String,
    /// What it got, when it got something.
    granted: Option<String>,
}

/// All attempts of a run.
#[derive(Debug, Default)]
pub struct Report(Vec<Attempt>);

impl Report {
    /// Notes an attempt; `granted` is what it got, which it must not.
    ///
    /// # Panics
    /// When there is one of this name already: they are counted, and none twice.
    pub fn add(&mut self, kind: &'static str, name: &str, granted: Option<String>) {
        let known = self.0.iter().any(|one| one.kind == kind && one.name == name);
        assert!(!known, "{kind}: {name} was attempted twice");
        self.0.push(Attempt { kind, name: name.to_owned(), granted });
    }

    /// Takes over what another report has.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Notes what a script reports: `name TAB refused|granted TAB detail` for each attempt, and
    /// `end` for the last line.
    ///
    /// # Panics
    /// When the script did not come to its end, or says something else.
    pub fn add_lines(&mut self, kind: &'static str, output: &str) {
        let mut lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines.pop(), Some("end"), "the script of {kind} was cut off:\n{output}");
        for line in lines {
            let mut fields = line.splitn(3, '\t');
            let (name, verdict) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
            let detail = fields.next().unwrap_or("").to_owned();
            match verdict {
                "refused" => self.add(kind, name, None),
                "granted" => self.add(kind, name, Some(detail)),
                _ => panic!("the script of {kind} says {line:?}"),
            }
        }
    }

    /// Prints the sum, leaves the list in the file `name`, and asserts that nothing was granted.
    ///
    /// # Panics
    /// When something was, or there were fewer than `least` attempts.
    pub fn conclude(self, name: &str, least: usize) {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        let mut list = String::new();
        for Attempt { kind, name, granted } in &self.0 {
            *kinds.entry(kind).or_default() += 1;
            let verdict = if granted.is_some() { "GRANTED" } else { "refused" };
            let _ = writeln!(list, "{verdict}\t{kind}\t{name}");
        }
        let granted: Vec<&Attempt> = self.0.iter().filter(|one| one.granted.is_some()).collect();
        let sum = format!("attempts: {}, granted: {}", self.0.len(), granted.len());
        let kinds: Vec<String> =
            kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, format!("{list}{sum}\n")).expect("the list of attempts");
        // Not by `println!`: a test that passes is to show it too.
        let text = format!("{sum} ({}; {})\n", kinds.join(", "), file.display());
        std::io::stdout().write_all(text.as_bytes()).expect("standard output");
        assert!(granted.is_empty(), "{sum}: {granted:#?}");
        assert!(self.0.len() >= least, "{sum}: fewer than {least} attempts were made");
    }
}
