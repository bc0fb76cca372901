//! `search(type: ISSUE)`, as `gh pr list --author` and `gh issue list --label` use it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Context,
    object::{Args, FieldError, Out, Source, connection_with},
    repository::{issue_state, pull_state},
};
use crate::{
    model::{Issue, Pull, Repository, State},
    permissions::Level,
    pulls,
};

/// One word of a search: a qualifier with its value, or text.
#[derive(Debug, PartialEq, Eq)]
struct Term {
    qualifier: String,
    value: String,
}

/// What is looked at: an issue, or a pull request with its common part.
struct Candidate<'a> {
    state: &'a State,
    repo: &'a Repository,
    issue: &'a Issue,
    pull: Option<&'a Pull>,
}

/// Resolves `search`.
pub async fn resolve(context: &Context<'_>, args: &Args) -> Result<Out, FieldError> {
    let query = args.get("query").and_then(Value::as_str).unwrap_or_default();
    let terms = parse(query);
    let repos: Vec<u64> = context.forge.store.read(|state| {
        let named = state.repositories.values().filter(|repo| {
            let full_name = state.full_name(repo);
            terms
                .iter()
                .any(|term| term.qualifier == "repo" && term.value.eq_ignore_ascii_case(&full_name))
        });
        named.map(|repo| repo.id).collect()
    });
    let mut found = Vec::new();
    for id in repos {
        pulls::refresh(context.forge, id).await?;
        let issues = context.with_repo(id, ("issues", Level::Read), |state, repo| {
            let all = repo.issues.iter().map(|issue| Candidate { state, repo, issue, pull: None });
            all.filter(|one| one.fits(&terms)).map(|one| one.out()).collect::<Vec<_>>()
        });
        let pulls = context.with_repo(id, ("pull_requests", Level::Read), |state, repo| {
            let all = repo.pulls.iter().map(|pull| Candidate {
                state,
                repo,
                issue: &pull.issue,
                pull: Some(pull),
            });
            all.filter(|one| one.fits(&terms)).map(|one| one.out()).collect::<Vec<_>>()
        });
        // What the caller may not see is not found, as everywhere in a search.
        found.extend(issues.unwrap_or_default());
        found.extend(pulls.unwrap_or_default());
    }
    found.reverse();
    let count = BTreeMap::from([("issueCount", Out::leaf(found.len()))]);
    Ok(connection_with("SearchResultItemConnection", found, args, count))
}

impl Candidate<'_> {
    fn out(&self) -> Out {
        match self.pull {
            Some(pull) => Out::object("PullRequest", Source::Pull(self.repo.id, pull.issue.number)),
            None => Out::object("Issue", Source::Issue(self.repo.id, self.issue.number)),
        }
    }

    fn fits(&self, terms: &[Term]) -> bool {
        terms.iter().all(|term| self.fits_one(&term.qualifier, &term.value))
    }

    fn fits_one(&self, qualifier: &str, value: &str) -> bool {
        let same = |text: &str| text.eq_ignore_ascii_case(value);
        let me = || self.state.bot().map_or("", |bot| bot.login.as_str());
        let who = if value == "@me" { me() } else { value };
        match qualifier {
            "repo" => same(&self.state.full_name(self.repo)),
            "is" | "state" | "type" => self.is(&value.to_ascii_lowercase()),
            // gh writes an App's login as `app/<slug>`.
            "author" => {
                let login = self.state.login(self.issue.author_id);
                let slug = who.strip_prefix("app/").map(|slug| format!("{slug}[bot]"));
                login.eq_ignore_ascii_case(slug.as_deref().unwrap_or(who))
            }
            "assignee" => self.issue.assignees.iter().any(|login| login.eq_ignore_ascii_case(who)),
            "label" => self.issue.labels.iter().any(|label| same(label)),
            "head" => self.pull.is_some_and(|pull| pull.head == value),
            "base" => self.pull.is_some_and(|pull| pull.base == value),
            "draft" => self.pull.is_some_and(|pull| pull.draft == (value == "true")),
            "" => {
                let text = format!("{} {}", self.issue.title, self.issue.body);
                text.to_ascii_lowercase().contains(&value.to_ascii_lowercase())
            }
            "sort" => true,
            _ => false,
        }
    }

    fn is(&self, what: &str) -> bool {
        let state = self.pull.map_or_else(|| issue_state(self.issue), pull_state);
        match what {
            "pr" => self.pull.is_some(),
            "issue" => self.pull.is_none(),
            "open" => state == "OPEN",
            "closed" => state != "OPEN",
            "merged" => state == "MERGED",
            "unmerged" => self.pull.is_some() && state != "MERGED",
            "draft" => self.pull.is_some_and(|pull| pull.draft),
            _ => false,
        }
    }
}

/// Takes a search apart at spaces that are not within double quotes.
fn parse(query: &str) -> Vec<Term> {
    let mut quoted = false;
    let words = query.split(|character: char| {
        quoted ^= character == '"';
        character.is_whitespace() && !quoted
    });
    let words = words.filter(|word| !word.is_empty());
    words
        .map(|word| {
            let (qualifier, value) = match word.split_once(':') {
                Some((qualifier, value)) if !word.starts_with('"') => (qualifier, value),
                _ => ("", word),
            };
            Term { qualifier: qualifier.to_owned(), value: value.replace('"', "") }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_words_together() {
        let terms = parse(r#"repo:acme/web label:"good first" is:pr  "two words" plain"#);
        let flat: Vec<(&str, &str)> =
            terms.iter().map(|term| (term.qualifier.as_str(), term.value.as_str())).collect();
        assert_eq!(
            flat,
            [
                ("repo", "acme/web"),
                ("label", "good first"),
                ("is", "pr"),
                ("", "two words"),
                ("", "plain"),
            ]
        );
    }
}
