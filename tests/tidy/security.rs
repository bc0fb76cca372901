//! What SECURITY.md says is shown by a test is shown by one that exists.

use super::{root, sources};

/// Where tests are.
const FOLDERS: [&str; 4] = ["host-agent/src", "drone-agent/src", "drone-agent/tests", "tests"];

#[test]
fn every_test_that_security_names_exists() {
    let text = std::fs::read_to_string(root().join("SECURITY.md")).expect("the page");
    let tests = tests();
    let mut lines = 0;
    let mut wrong = vec![];
    for line in text.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 4)
    {
        let shown_by = line.rsplit('|').nth(1).expect("a last column").trim();
        if shown_by == "shown by" {
            continue;
        }
        lines += 1;
        let named: Vec<&str> = shown_by.split('`').filter(|part| part.contains("::")).collect();
        if named.is_empty() {
            wrong.push(format!("no test: {line}"));
        }
        wrong.extend(
            named
                .into_iter()
                .filter(|name| !tests.iter().any(|test| test == name))
                .map(str::to_owned),
        );
    }
    assert!(lines >= 25, "only {lines} lines name a test");
    assert!(wrong.is_empty(), "not there:\n{}", wrong.join("\n"));
}

/// Every test as `module::test`; the module is the file's name, or its folder's for a `mod.rs`.
fn tests() -> Vec<String> {
    let mut found = vec![];
    for path in FOLDERS.iter().flat_map(|folder| sources(folder)) {
        let named = path.file_stem().filter(|stem| *stem != "mod").map(ToOwned::to_owned);
        let named = named.or_else(|| Some(path.parent()?.file_name()?.to_owned()));
        let module = named.expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a source");
        let mut is_test = text.contains("proptest! {");
        for line in text.lines().map(str::trim) {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let name = line.trim_start_matches("async ").strip_prefix("fn ");
            if let Some(name) = name.and_then(|rest| rest.split('(').next()).filter(|_| is_test) {
                found.push(format!("{module}::{name}"));
                is_test = text.contains("proptest! {");
            }
        }
    }
    found
}
