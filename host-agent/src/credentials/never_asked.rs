//! However a drone spells what it was not granted: the forge hears nothing of it.

#![cfg(test)]

use std::sync::Arc;

use hatchery_protocol::RepoName;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::{Credentials, MIN_VALID};
use crate::adapters::github::rig::{names, rig};
use crate::drone_api::query::TokenQuery;

/// What names, and what passes for names, are made of.
const PARTS: &[&str] = &[
    "acme",
    "web",
    "api",
    "docs",
    "other",
    "tools",
    "ACME",
    "Web",
    "aсme",
    "wеb",
    "％2f",
    "／",
    "/",
    "//",
    "%2f",
    "%2F",
    "%252f",
    "\\",
    "%5c",
    ".",
    "..",
    "%2e%2e",
    "/../",
    ".git",
    ".GIT",
    "%00",
    "%0d%0a",
    "%",
    "%zz",
    "&repo=",
    "&",
    "=",
    ",",
    ";",
    "+",
    "%20",
    " ",
    "@",
    ":",
    "?",
    "#",
    "https://forge.test/",
    "git@forge.test:",
    "forge.test/",
    "api.forge.test",
    "*",
    "~",
    "é",
];

/// Repositories that are there, each reachable for the App, and what was granted.
const NAMES: &[&str] = &["acme/api", "acme/docs", "other/tools", "acme/web"];

fn encoded(name: &str, times: usize) -> String {
    (0..times)
        .fold(name.to_owned(), |name, _| name.bytes().map(|byte| format!("%{byte:02X}")).collect())
}

/// A repository in some spelling, honest or not.
fn spelling() -> impl Strategy<Value = String> {
    let name = || select(NAMES).prop_map(str::to_owned);
    prop_oneof![
        (name(), 0_usize..3).prop_map(|(name, times)| encoded(&name, times)),
        (name(), any::<bool>()).prop_map(|(name, upper)| {
            if upper { name.to_uppercase() } else { format!("{name}.git") }
        }),
        (select(PARTS), name(), select(PARTS)).prop_map(|(a, name, b)| format!("{a}{name}{b}")),
        (select(NAMES), select(PARTS), name()).prop_map(|(a, part, b)| format!("{a}{part}{b}")),
        vec(select(PARTS), 1..8).prop_map(|parts| parts.concat()),
    ]
}

#[test]
fn no_spelling_of_what_was_not_granted_costs_the_forge_a_call() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let rig = runtime.block_on(rig());
    let record = rig.drone(&[("acme/web", &[("contents", "write")])]);
    let (config, records) = (Arc::clone(&rig.config), Arc::clone(&rig.records));
    let credentials =
        Credentials::new(config, records, Arc::clone(&rig.github)).expect("credentials");
    let ask = |names: &[RepoName]| {
        runtime.block_on(credentials.token_for(&record, None, names, MIN_VALID))
    };
    let own = ask(&names(&["acme/web"])).expect("granted");
    rig.forge.clear_calls();
    let mut runner = TestRunner::new(Config { cases: 1500, ..Config::default() });
    let queries = vec(spelling(), 1..4).prop_map(|names| format!("repo={}", names.join("&repo=")));
    let tried = runner.run(&queries, |query| {
        // What the drone's own repositories are called was told a moment ago.
        credentials.broker.installations.named(&record.repo.host, [record.repo_id]);
        if let Ok(parsed) = TokenQuery::parse(&query)
            && let Ok(live) = ask(&parsed.repositories)
        {
            prop_assert_eq!(&live.sha256, &own.sha256, "{} opened another", query);
        }
        prop_assert_eq!(rig.forge.calls().len(), 0, "{}", query);
        Ok(())
    });
    tried.unwrap_or_else(|failed| panic!("{failed}"));
}
