//! What a pass found, counted: for `policy check` and `spawn --dry-run`, and their JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::finding::{Finding, Verdict};

/// What a pass found, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The configuration file, relative to the checkout.
    pub config: String,
    /// Refusals that stand.
    pub refused: usize,
    /// What `--without-refused` goes on without.
    pub left_out: usize,
    /// What is needless here.
    pub stripped: usize,
    /// What a `[[policy]]` rule permits.
    pub permitted: usize,
    /// All of it, in the order of the files.
    pub findings: Vec<Finding>,
    /// What is known of references by now: reference -> digest, or an image's id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, String>,
}

impl Report {
    /// Counts `findings` as a spawn would, with or without `--without-refused`.
    pub fn new(config: &str, findings: &[Finding], without_refused: bool) -> Self {
        let count = |verdict| findings.iter().filter(|one| one.verdict == verdict).count();
        let droppable = |one: &&Finding| one.verdict == Verdict::Refuse && one.droppable;
        let left_out = if without_refused { findings.iter().filter(droppable).count() } else { 0 };
        Self {
            config: config.to_owned(),
            refused: count(Verdict::Refuse) - left_out,
            left_out,
            stripped: count(Verdict::Strip),
            permitted: count(Verdict::Permit),
            findings: findings.to_vec(),
            references: BTreeMap::new(),
        }
    }
}
