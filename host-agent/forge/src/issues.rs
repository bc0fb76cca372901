//! What can be done to an issue, and to what a pull request has in common with one.

use time::OffsetDateTime;

use crate::{
    forge::Forge,
    model::{Comment, Issue, OpenState, Repository},
    reply::Refusal,
};

/// An issue, or the common part of a pull request, as it begins.
pub fn fresh_issue(
    (id, number): (u64, u64),
    author_id: u64,
    (title, body): (&str, &str),
    now: OffsetDateTime,
) -> Issue {
    Issue {
        id,
        number,
        author_id,
        title: title.to_owned(),
        body: body.to_owned(),
        state: OpenState::Open,
        labels: Vec::new(),
        assignees: Vec::new(),
        comments: Vec::new(),
        created_at: now,
        updated_at: now,
        closed_at: None,
    }
}

/// Opens an issue and gives its number.
///
/// # Errors
/// 404 when the repository is gone.
pub fn open(
    forge: &Forge,
    repo_id: u64,
    author_id: u64,
    text: (&str, &str),
    labels: Vec<String>,
) -> Result<u64, Refusal> {
    let (id, now) = (forge.fresh_id(), forge.clock.now());
    forge.change_repo(repo_id, |repo| {
        let number = repo.claim_number();
        let mut issue = fresh_issue((id, number), author_id, text, now);
        issue.labels = labels;
        repo.issues.push(issue);
        Ok(number)
    })
}

/// The issue of that number, or the common part of the pull request of that number.
pub fn find(repo: &Repository, number: u64) -> Option<&Issue> {
    let pull = || repo.pull(number).map(|pull| &pull.issue);
    repo.issues.iter().find(|issue| issue.number == number).or_else(pull)
}

/// Changes an issue, or the common part of a pull request, and notes when.
///
/// # Errors
/// 404 for an unknown number.
pub fn change<T>(
    forge: &Forge,
    repo_id: u64,
    number: u64,
    edit: impl FnOnce(&mut Issue) -> T,
) -> Result<T, Refusal> {
    let now = forge.clock.now();
    forge.change_repo(repo_id, |repo| {
        let issues = repo.issues.iter_mut();
        let commons = repo.pulls.iter_mut().map(|pull| &mut pull.issue);
        let issue = issues.chain(commons).find(|issue| issue.number == number);
        let issue = issue.ok_or_else(Refusal::not_found)?;
        issue.updated_at = now;
        Ok(edit(issue))
    })
}

/// Adds a comment and gives its id.
///
/// # Errors
/// 404 for an unknown number.
pub fn comment(
    forge: &Forge,
    (repo_id, number): (u64, u64),
    author_id: u64,
    body: &str,
) -> Result<u64, Refusal> {
    let (id, now) = (forge.fresh_id(), forge.clock.now());
    change(forge, repo_id, number, |issue| {
        issue.comments.push(Comment { id, author_id, body: body.to_owned(), created_at: now });
        id
    })
}

/// Closes or opens again.
///
/// # Errors
/// 404 for an unknown number.
pub fn set_state(
    forge: &Forge,
    repo_id: u64,
    number: u64,
    state: OpenState,
) -> Result<(), Refusal> {
    let now = forge.clock.now();
    change(forge, repo_id, number, |issue| {
        issue.state = state;
        issue.closed_at = (state == OpenState::Closed).then_some(now);
    })
}
