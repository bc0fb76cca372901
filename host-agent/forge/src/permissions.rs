//! Permissions of installations and tokens, as GitHub names and orders them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How far a permission goes. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Look.
    Read,
    /// Look and change.
    Write,
    /// Administer.
    Admin,
}

impl Level {
    /// GitHub's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// Repository and organisation permissions a GitHub App can hold, of those this forge may be
/// asked for (REST, "Permissions required for GitHub Apps").
pub const KNOWN: &[&str] = &[
    "actions",
    "administration",
    "checks",
    "contents",
    "deployments",
    "discussions",
    "environments",
    "issues",
    "members",
    "metadata",
    "packages",
    "pages",
    "pull_requests",
    "repository_hooks",
    "repository_projects",
    "secrets",
    "security_events",
    "single_file",
    "statuses",
    "vulnerability_alerts",
    "workflows",
];

/// Permission names with their levels; what is absent is not granted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permissions(BTreeMap<String, Level>);

/// Why a mint may not have the permissions it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// The installation does not hold that permission at all.
    NotGranted,
    /// It holds it at a lower level.
    LevelTooHigh,
}

impl Permissions {
    /// True when `name` is held at `level` or above.
    pub fn allows(&self, name: &str, level: Level) -> bool {
        self.0.get(name).is_some_and(|held| *held >= level)
    }

    /// What of `self` goes beyond `held`, the first such thing.
    pub fn excess_over(&self, held: &Self) -> Option<Excess> {
        self.0.iter().find_map(|(name, level)| match held.0.get(name) {
            None => Some(Excess::NotGranted),
            Some(have) if have < level => Some(Excess::LevelTooHigh),
            Some(_) => None,
        })
    }

    /// The same with `metadata: read`, which every installation and every token has.
    #[must_use]
    pub fn with_metadata(mut self) -> Self {
        self.0.entry("metadata".to_owned()).or_insert(Level::Read);
        self
    }

    /// Sets one permission.
    pub fn set(&mut self, name: &str, level: Level) {
        self.0.insert(name.to_owned(), level);
    }

    /// Names and levels, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Level)> {
        self.0.iter().map(|(name, level)| (name.as_str(), *level))
    }

    /// The first name that GitHub does not know.
    pub fn unknown_name(&self) -> Option<&str> {
        self.0.keys().map(String::as_str).find(|name| !KNOWN.contains(name))
    }
}

impl<'a> FromIterator<(&'a str, Level)> for Permissions {
    fn from_iter<I: IntoIterator<Item = (&'a str, Level)>>(items: I) -> Self {
        Self(items.into_iter().map(|(name, level)| (name.to_owned(), level)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excess_tells_absent_from_too_high() {
        let held: Permissions =
            [("contents", Level::Read), ("metadata", Level::Read)].into_iter().collect();
        let ask = |name, level| [(name, level)].into_iter().collect::<Permissions>();
        assert_eq!(ask("contents", Level::Read).excess_over(&held), None);
        assert_eq!(ask("contents", Level::Write).excess_over(&held), Some(Excess::LevelTooHigh));
        assert_eq!(ask("issues", Level::Read).excess_over(&held), Some(Excess::NotGranted));
    }

    #[test]
    fn known_names_are_sorted_for_readers() {
        assert!(KNOWN.is_sorted());
    }
}
