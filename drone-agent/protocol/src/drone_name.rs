//! A drone's name: container name, hostname, socket directory and label value at once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::RepoName;

/// Longest DNS label, in bytes (RFC 1035, section 2.3.4).
const LABEL_MAX: usize = 63;

/// Why a text is not a drone's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a drone's name: 1 to 63 of a-z, 0-9 and `-`, with no `-` at either end or doubled"
)]
pub struct DroneNameError(pub String);

/// A DNS label in lower case without runs of `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DroneName(String);

impl DroneName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that `repo` gets when no other drone has it: `levinkeller/homepage` becomes
    /// `levinkeller-homepage`. `None` where nothing usable is left or where it would have to be
    /// cut: such a repository always needs [`DroneName::with_suffix`].
    pub fn natural(repo: &RepoName) -> Option<Self> {
        slug(repo).parse().ok()
    }

    /// The name with `suffix` (hex digits of a hash over the whole identity) behind it, cut to the
    /// length of a DNS label.
    ///
    /// # Errors
    /// When `suffix` itself is no part of a DNS label.
    pub fn with_suffix(repo: &RepoName, suffix: &str) -> Result<Self, DroneNameError> {
        let mut stem = slug(repo);
        stem.truncate(LABEL_MAX.saturating_sub(suffix.len() + 1));
        let stem = stem.trim_end_matches('-');
        if stem.is_empty() { suffix.parse() } else { format!("{stem}-{suffix}").parse() }
    }
}

/// Lower case, every run of other characters one `-`, none at the ends. ASCII only.
fn slug(repo: &RepoName) -> String {
    let mut slug = String::new();
    for byte in repo.folded().bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => slug.push(char::from(byte)),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

impl FromStr for DroneName {
    type Err = DroneNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let whole = !text.is_empty()
            && text.len() <= LABEL_MAX
            && text.bytes().all(legal)
            && !text.starts_with('-')
            && !text.ends_with('-')
            && !text.contains("--");
        if whole { Ok(Self(text.to_owned())) } else { Err(DroneNameError(text.to_owned())) }
    }
}

impl TryFrom<String> for DroneName {
    type Error = DroneNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DroneName> for String {
    fn from(name: DroneName) -> Self {
        name.0
    }
}

impl fmt::Display for DroneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn natural(text: &str) -> Option<String> {
        DroneName::natural(&text.parse().expect("a repository")).map(String::from)
    }

    #[test]
    fn a_repository_names_its_drone() {
        assert_eq!(natural("levinkeller/homepage").as_deref(), Some("levinkeller-homepage"));
        assert_eq!(natural("Acme/A.B_c").as_deref(), Some("acme-a-b-c"));
        assert_eq!(natural("acme/_x_").as_deref(), Some("acme-x"));
        assert_eq!(natural("_/-"), None);
    }

    #[test]
    fn a_long_name_is_cut_and_always_has_its_suffix() {
        let long: RepoName = format!("acme/{}", "x".repeat(80)).parse().expect("a repository");
        assert_eq!(DroneName::natural(&long), None);
        let name = DroneName::with_suffix(&long, "0a1b2c").expect("a name");
        assert_eq!(name.as_str().len(), 63);
        assert!(name.as_str().ends_with("-0a1b2c"));
    }

    #[test]
    fn what_is_no_dns_label_is_refused() {
        for text in ["", "-a", "a-", "a--b", "A", "a.b", "a_b", "a/b", "é", &"a".repeat(64)] {
            assert!(text.parse::<DroneName>().is_err(), "accepted {text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_repository_gets_a_name(owner in "[A-Za-z0-9._-]{1,39}", repo in "[A-Za-z0-9._-]{1,100}") {
            if let Ok(name) = format!("{owner}/{repo}").parse::<RepoName>() {
                prop_assert!(DroneName::with_suffix(&name, "abc123").is_ok());
            }
        }
    }
}
