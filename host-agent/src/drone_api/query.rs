//! The query of `GET /v1/token`: strict, because what is guessed here is handed out there.

use std::time::Duration;

use hatchery_protocol::{RepoName, RepoParseError};

/// Most repositories that one request may name.
const REPOSITORIES_MAX: usize = 32;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenQuery {
    /// `repo`, as often as it was given, in order.
    pub repositories: Vec<RepoName>,
    /// `min_valid`, where it was given.
    pub min_valid: Option<Duration>,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Not `key=value`.
    #[error("each part of the query is key=value")]
    Pair,
    /// A broken escape, or one that hides a control character.
    #[error("a value's percent-encoding is broken or hides what must not be there")]
    Encoding,
    /// Not a repository.
    #[error("repo: {0}")]
    Repository(#[from] RepoParseError),
    /// Too many of them.
    #[error("repo may be given {REPOSITORIES_MAX} times")]
    Repositories,
    /// Not a number of seconds, or given twice.
    #[error("min_valid is a number of seconds, given once")]
    MinValid,
}

impl TokenQuery {
    /// Parses what follows the `?`. Keys that are not known are passed over, so that a drone's
    /// newer program may say more; but they too must be well formed.
    ///
    /// # Errors
    /// On anything that could be read in two ways.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let mut parsed = Self::default();
        for pair in query.split('&').filter(|_| !query.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or(QueryError::Pair)?;
            let value = decode(value)?;
            match decode(key)?.as_str() {
                "" => return Err(QueryError::Pair),
                "repo" if parsed.repositories.len() == REPOSITORIES_MAX => {
                    return Err(QueryError::Repositories);
                }
                "repo" => parsed.repositories.push(value.parse()?),
                "min_valid" if parsed.min_valid.is_none() => {
                    parsed.min_valid = Some(Duration::from_secs(seconds(&value)?));
                }
                "min_valid" => return Err(QueryError::MinValid),
                _ => {}
            }
        }
        Ok(parsed)
    }
}

/// Digits alone: no sign, no space.
fn seconds(text: &str) -> Result<u64, QueryError> {
    let digits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(QueryError::MinValid)
}

/// Undoes percent-encoding once. `+` stays what it is: no name that is asked for here has a space.
fn decode(text: &str) -> Result<String, QueryError> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let (Some(high), Some(low)) = (digit(), digit()) else {
                return Err(QueryError::Encoding);
            };
            u8::try_from(high * 16 + low).map_err(|_| QueryError::Encoding)?
        } else {
            byte
        };
        if byte.is_ascii_control() {
            return Err(QueryError::Encoding);
        }
        decoded.push(byte);
    }
    String::from_utf8(decoded).map_err(|_| QueryError::Encoding)
}

#[cfg(test)]
mod tests {
    use hatchery_protocol::wire::Permissions;
    use proptest::prelude::*;

    use super::*;
    use crate::credentials::grants::{Scope, scope};
    use crate::records::Grant;

    #[test]
    fn a_query_says_which_and_for_how_long() {
        let query = TokenQuery::parse("repo=acme/web&repo=acme%2Fapi&min_valid=1800&later=x");
        let query = query.expect("a good query");
        let names: Vec<_> = query.repositories.iter().map(RepoName::to_string).collect();
        assert_eq!(names, ["acme/web", "acme/api"]);
        assert_eq!(query.min_valid, Some(Duration::from_secs(1800)));
        assert_eq!(TokenQuery::parse(""), Ok(TokenQuery::default()));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in [
            "repo",
            "repo=",
            "=x",
            "&",
            "repo=acme/web&",
            "repo=acme",
            "repo=acme/..",
            "repo=acme/web/x",
            "repo=acme%2fweb%2f..",
            "repo=acme/we%62%00",
            "repo=acme/web%0a",
            "repo=acme/web%0d%0aX:y",
            "repo=acme/web%",
            "repo=acme/web%2",
            "repo=acme/web%zz",
            "repo=acme/web%252e",
            "repo=acme/w+b",
            "repo=%ff/web",
            "min_valid=",
            "min_valid=-1",
            "min_valid=+1",
            "min_valid=1&min_valid=2",
            "min_valid=1e3",
            "min_valid=9999999999",
            "min_valid=%201",
            "org=acme&repo",
            "x=%0a",
        ] {
            assert!(TokenQuery::parse(text).is_err(), "accepted {text:?}");
        }
        let many = vec!["repo=acme/web"; REPOSITORIES_MAX + 1].join("&");
        assert_eq!(TokenQuery::parse(&many), Err(QueryError::Repositories));
    }

    /// One way to write a name, or to try to pass another one off.
    fn spelled(name: &str, way: usize) -> String {
        let each = |how: fn(u8) -> String| name.bytes().map(how).collect::<String>();
        let (owner, repo) = name.split_once('/').expect("owner/repo");
        match way {
            0 => name.to_owned(),
            1 => name.to_uppercase(),
            2 => format!("{name}.git"),
            3 => each(|byte| format!("%{byte:02x}")),
            4 => each(|byte| format!("%25{byte:02X}")),
            5 => format!("https://github.com/{name}"),
            6 => format!("/{name}"),
            7 => format!("acme/web/../../{name}"),
            8 => format!("acme/web%2F..%2F..%2F{owner}%2f{repo}"),
            9 => format!("{name}%00"),
            10 => format!("acme/web&repo={name}"),
            11 => format!("acme/web,{name}"),
            12 => name.replace('a', "%D0%B0"),
            13 => name.replace('e', "\u{435}"),
            14 => format!("{owner}//{repo}"),
            15 => format!("{owner}%5c{repo}"),
            16 => format!("{name}.git.git"),
            17 => format!("git@github.com:{name}"),
            18 => format!("{name}/"),
            19 => format!("%EF%BC%8F{name}"),
            _ => format!("{name}%0d%0aX:1"),
        }
    }

    /// What a drone that was granted `acme/web` alone would get a token for.
    fn reached(query: &str) -> Option<Vec<u64>> {
        let name = "acme/web".parse().expect("a name");
        let mut record = crate::records::tests::record("acme-web");
        record.grants = vec![Grant::new(7, name, Permissions::new())];
        let query = TokenQuery::parse(query).ok()?;
        match scope(&record, &query.repositories).ok()? {
            Scope::Primary => Some(vec![7]),
            Scope::Repositories(ids) => Some(ids),
        }
    }

    #[test]
    fn each_honest_spelling_of_what_was_granted_is_understood() {
        for way in 0..4 {
            let query = format!("repo={}", spelled("acme/web", way));
            assert_eq!(reached(&query), Some(vec![7]), "{query}");
        }
        assert_eq!(reached("repo=acme/web&repo=ACME/web.git"), Some(vec![7]), "doubled");
    }

    proptest! {
        #[test]
        fn no_spelling_of_another_repository_gets_past_the_grants(
            name in "(acme/api|acme/we|acme/webb|acme/web-|other/web|[a-z]{1,5}/[a-z]{1,5})",
            way in 0usize..21,
            around in "(|min_valid=60&|later=1&)",
        ) {
            prop_assume!(name != "acme/web");
            let query = format!("{around}repo={}", spelled(&name, way));
            prop_assert_eq!(reached(&query), None, "{}", query);
        }

        #[test]
        fn whatever_is_asked_only_what_was_granted_is_reached(text in "(repo=|acme|web|/|\\.|%2e|%2f|&|,|\\.git|[A-Z]|\\PC){0,12}") {
            if let Some(ids) = reached(&text) {
                prop_assert_eq!(ids, [7], "{}", text);
            }
        }

        #[test]
        fn nothing_panics_and_only_repositories_come_out(text in "(repo=|min_valid=|&|%[0-9a-f]{2}|%|[a-z/.]|\\PC){0,20}") {
            if let Ok(query) = TokenQuery::parse(&text) {
                for name in query.repositories {
                    prop_assert!(name.to_string().bytes().all(|byte| byte.is_ascii_graphic()));
                }
            }
        }

        #[test]
        fn what_is_encoded_is_what_comes_out(owner in "[a-z0-9-]{1,10}", repo in "[a-z0-9_]{1,10}") {
            let encoded: String = format!("{owner}/{repo}").bytes().map(|byte| format!("%{byte:02X}")).collect();
            let query = TokenQuery::parse(&format!("repo={encoded}")).expect("a good query");
            prop_assert_eq!(query.repositories[0].to_string(), format!("{}/{}", owner, repo));
        }
    }
}
