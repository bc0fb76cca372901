//! How a repository is named: parsed once at the edge, compared without regard to case.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest owner or repository name taken, in bytes. GitHub allows 39 and 100.
const PART_MAX: usize = 100;

/// Why a text does not name a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepoParseError {
    /// There is no `owner/repo` in it.
    #[error("{0:?} is not of the form owner/repo")]
    Shape(String),
    /// A part is empty, `.` or `..`, too long, or has a character that forges do not allow.
    #[error("{part:?} cannot be an owner or a repository name: use letters, digits, `-`, `_`, `.`")]
    Part {
        /// The part as it was given.
        part: String,
    },
    /// The host is not a plain DNS name.
    #[error("{0:?} is not a host name")]
    Host(String),
    /// A URL with another scheme than https, or an ssh URL with another user than git.
    #[error("{0:?} is not an https or git@ address of a repository")]
    Scheme(String),
}

/// The host of a forge (`github.com`): lower case, without port or trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ForgeHost(String);

impl ForgeHost {
    /// The host as text, lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ForgeHost {
    type Err = RepoParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let label = |part: &str| {
            !part.is_empty()
                && part.len() <= 63
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if text.len() > 253 || !text.split('.').all(label) {
            return Err(RepoParseError::Host(text.to_owned()));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for ForgeHost {
    type Error = RepoParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ForgeHost> for String {
    fn from(host: ForgeHost) -> Self {
        host.0
    }
}

impl fmt::Display for ForgeHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `owner/repo` on a forge. Keeps the spelling it was given for showing it; equality, order and
/// hash ignore case, as forges do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoName {
    owner: String,
    repo: String,
}

impl RepoName {
    /// The account part, as it was spelled.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The repository part, as it was spelled, without `.git`.
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// `owner/repo` in lower case: the form to compare, hash and send.
    pub fn folded(&self) -> String {
        format!("{}/{}", self.owner, self.repo).to_ascii_lowercase()
    }

    fn from_parts(owner: &str, repo: &str) -> Result<Self, RepoParseError> {
        let repo = without_git(repo).unwrap_or(repo);
        // A second one would be gone once the name is shown and read again.
        if without_git(repo).is_some() {
            return Err(RepoParseError::Part { part: repo.to_owned() });
        }
        for part in [owner, repo] {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if matches!(part, "" | "." | "..") || part.len() > PART_MAX || !part.bytes().all(legal)
            {
                return Err(RepoParseError::Part { part: part.to_owned() });
            }
        }
        Ok(Self { owner: owner.to_owned(), repo: repo.to_owned() })
    }
}

/// `name` without the `.git` at its end, in any case as forges have it; `None`: it has none.
fn without_git(name: &str) -> Option<&str> {
    let (rest, end) = name.split_at_checked(name.len().checked_sub(".git".len())?)?;
    end.eq_ignore_ascii_case(".git").then_some(rest)
}

impl FromStr for RepoName {
    type Err = RepoParseError;

    /// Takes exactly `owner/repo`, with one `.git` at the end allowed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((owner, repo)) if !repo.contains('/') => Self::from_parts(owner, repo),
            _ => Err(RepoParseError::Shape(text.to_owned())),
        }
    }
}

impl TryFrom<String> for RepoName {
    type Error = RepoParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RepoName> for String {
    fn from(name: RepoName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.repo)
    }
}

impl PartialEq for RepoName {
    fn eq(&self, other: &Self) -> bool {
        self.owner.eq_ignore_ascii_case(&other.owner) && self.repo.eq_ignore_ascii_case(&other.repo)
    }
}

impl Eq for RepoName {}

impl std::hash::Hash for RepoName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.folded().hash(state);
    }
}

impl PartialOrd for RepoName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RepoName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded().cmp(&other.folded())
    }
}

/// A repository anywhere: the identity of a drone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RepoId {
    /// The forge it is on.
    pub host: ForgeHost,
    /// Its name there.
    pub name: RepoName,
}

impl RepoId {
    /// Parses what people write: `owner/repo` (on `default_host`), `host/owner/repo`,
    /// `https://host/owner/repo(.git)`, `git@host:owner/repo.git`.
    ///
    /// # Errors
    /// Everything else, with the reason; nothing is cleaned up or guessed.
    pub fn parse(text: &str, default_host: &ForgeHost) -> Result<Self, RepoParseError> {
        if let Some(rest) = text.strip_prefix("https://") {
            return Self::from_path(rest, text);
        }
        if let Some(rest) = text.strip_prefix("git@") {
            let (host, name) =
                rest.split_once(':').ok_or_else(|| RepoParseError::Shape(text.to_owned()))?;
            return Ok(Self { host: host.parse()?, name: name.parse()? });
        }
        if text.contains("://") || text.contains('@') {
            return Err(RepoParseError::Scheme(text.to_owned()));
        }
        if text.bytes().filter(|&byte| byte == b'/').count() == 2 {
            return Self::from_path(text, text);
        }
        Ok(Self { host: default_host.clone(), name: text.parse()? })
    }

    fn from_path(path: &str, whole: &str) -> Result<Self, RepoParseError> {
        let (host, name) =
            path.split_once('/').ok_or_else(|| RepoParseError::Shape(whole.to_owned()))?;
        Ok(Self { host: host.parse()?, name: name.parse()? })
    }

    /// `host/owner/repo` in lower case: what the name suffix and the seal are computed over.
    pub fn folded(&self) -> String {
        format!("{}/{}", self.host, self.name.folded())
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn github() -> ForgeHost {
        "github.com".parse().expect("a host")
    }

    #[test]
    fn every_spelling_of_a_repository_is_the_same_identity() {
        let plain = RepoId::parse("acme/web", &github()).expect("plain");
        for text in [
            "ACME/Web",
            "acme/web.git",
            "acme/web.GIT",
            "github.com/acme/web",
            "GitHub.com/acme/web",
            "https://github.com/acme/web",
            "https://github.com/acme/web.git",
            "git@github.com:acme/web.git",
        ] {
            assert_eq!(RepoId::parse(text, &github()).as_ref(), Ok(&plain), "{text}");
        }
        assert_eq!(plain.to_string(), "github.com/acme/web");
    }

    #[test]
    fn what_could_escape_is_refused() {
        for text in [
            "",
            "acme",
            "/web",
            "acme/",
            "acme/..",
            "./web",
            "acme/.git",
            "acme/web.git.git",
            "acme/web.git.GIT",
            "a/b/c/d",
            "a//b",
            "a/we%62",
            "a/w\0b",
            "a/w\nb",
            "acmé/web",
            "a b/c",
            "http://github.com/a/b",
            "ssh://git@github.com/a/b",
            "root@github.com:a/b",
            "https://user@github.com/a/b",
            "https://github.com:8443/a/b",
            "https://github.com/a/b?x",
            "github.com./a/b",
            "-x.com/a/b",
            "a/b/",
            "https://github.com/a",
            "git@github.com/a/b",
        ] {
            assert!(RepoId::parse(text, &github()).is_err(), "accepted {text:?}");
        }
    }

    #[test]
    fn the_spelling_is_kept_for_showing() {
        let name: RepoName = "Acme/Web.git".parse().expect("a name");
        assert_eq!(name.to_string(), "Acme/Web");
        assert_eq!(name.folded(), "acme/web");
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_what_it_takes_it_takes_again(text in "\\PC{0,40}") {
            if let Ok(name) = text.parse::<RepoName>() {
                prop_assert_eq!(&name.to_string().parse::<RepoName>().expect("again"), &name);
                prop_assert!(name.to_string().is_ascii());
            }
            let _ = RepoId::parse(&text, &github());
        }
    }
}
