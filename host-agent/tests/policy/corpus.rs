//! Configurations that ask for nothing dangerous, none of which may be refused, and hostile ones,
//! each of which is refused for exactly what its own comments say.
//!
//! A hostile case marks each line that is refused by a comment with `refused:`, the subject and the
//! key that permits it, as `// refused: runArgs --privileged (privileged)`; `refused-below:` marks
//! the next line, where the line itself cannot carry a comment; `refused-file:` names no line.
//!
//! Symbolic links are made from `<case>.links`, a `path -> target` a line: in the checkout of these
//! tests they would lead every tool that walks it into the machine's own directories.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{check_json, fixtures};

/// Directories of a corpus, in order.
fn cases(corpus: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixtures(corpus)).expect("a corpus");
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    cases.retain(|path| path.is_dir());
    cases.sort();
    cases
}

fn name(case: &Path) -> String {
    case.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A copy of a case with its links, and what `policy check` says to it.
fn checked(case: &Path) -> (Option<i32>, serde_json::Value) {
    let directory = tempfile::tempdir().expect("a directory");
    let checkout = directory.path().join(name(case));
    copy(case, &checkout);
    let links = std::fs::read_to_string(case.with_extension("links")).unwrap_or_default();
    for line in links.lines() {
        let (path, target) = line.split_once(" -> ").expect("path -> target");
        let path = checkout.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
        std::os::unix::fs::symlink(target, path).expect("link");
    }
    check_json(&checkout)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("mkdir");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a kind").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn nothing_harmless_is_refused() {
    let (mut refused, mut stripped) = (0, 0);
    let cases = cases("harmless");
    for case in &cases {
        let (code, report) = checked(case);
        refused += report["refused"].as_u64().unwrap_or(1);
        stripped += report["stripped"].as_u64().unwrap_or(0);
        assert_eq!(code, Some(0), "{}: {report:#}", name(case));
        let verdicts = report["findings"].as_array().expect("findings").iter();
        let other: Vec<_> = verdicts.filter(|finding| finding["verdict"] != "strip").collect();
        assert!(other.is_empty(), "{}: {other:#?}", name(case));
    }
    println!("harmless: {}, stripped: {stripped}, refused: {refused}", cases.len());
    assert!(cases.len() >= 60, "{} cases", cases.len());
    assert_eq!(refused, 0);
}

#[test]
fn everything_hostile_is_refused_where_it_stands() {
    let cases = cases("hostile");
    let mut refusals = 0;
    for case in &cases {
        let expected = expected(case);
        let (code, report) = checked(case);
        let found: BTreeSet<String> = report["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|finding| finding["verdict"] == "refuse")
            .map(|finding| {
                let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
                let (file, line) = (text("file"), &finding["line"]);
                shown(&file, line.as_u64(), &text("subject"), &text("permit"))
            })
            .collect();
        assert!(!expected.is_empty(), "{} expects nothing", name(case));
        assert_eq!(found, expected, "{}: {report:#}", name(case));
        assert_eq!(code, Some(6), "{}", name(case));
        refusals += found.len();
    }
    println!("hostile: {}, refusals: {refusals}, accepted: 0", cases.len());
    assert!(cases.len() >= 60, "{} cases", cases.len());
}

fn shown(file: &str, line: Option<u64>, subject: &str, permit: &str) -> String {
    let line = line.map_or_else(String::new, |line| format!(":{line}"));
    let permit = if permit.is_empty() { String::new() } else { format!(" ({permit})") };
    format!("{file}{line}: {subject}{permit}")
}

/// What the comments of a case announce.
fn expected(case: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![case.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let file = entry.path();
                let text = std::fs::read_to_string(&file).expect("text");
                let file = file.strip_prefix(case).expect("below").display().to_string();
                found.extend(text.lines().zip(1..).flat_map(|(line, at)| marks(&file, line, at)));
            }
        }
    }
    found
}

/// The marks of one line; several are separated by `;`.
fn marks(file: &str, line: &str, at: u64) -> Vec<String> {
    let split = |mark: &str| Some(line.split_once(mark)?.1.to_owned());
    let (at, text) = match (split("refused: "), split("refused-below: "), split("refused-file: ")) {
        (Some(text), _, _) => (Some(at), text),
        (None, Some(text), _) => (Some(at + 1), text),
        (None, None, Some(text)) => (None, text),
        (None, None, None) => return vec![],
    };
    let one = |text: &str| {
        let text = text.trim().trim_end_matches("*/").trim();
        match (at, text.split_once(" @ ")) {
            // Another file's own finding, which cannot carry a comment.
            (_, Some((subject, place))) => format!("{place}: {subject}"),
            (Some(at), None) => format!("{file}:{at}: {text}"),
            (None, None) => format!("{file}: {text}"),
        }
    };
    text.split(';').map(one).collect()
}
