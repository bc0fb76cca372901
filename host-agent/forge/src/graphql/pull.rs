//! Pull requests.

use super::{
    Context, commit,
    ids::NodeId,
    issue,
    object::{Args, FieldError, Out, Source, connection},
    query, repository,
};
use crate::{
    clock::json_time,
    git::merge,
    model::{OpenState, Pull, Repository, Review, ReviewState, State},
    permissions::Level,
    pulls::{commits_between, merge_title},
    reply::Refusal,
};

/// Resolves a field of a pull request.
pub async fn resolve(
    context: &Context<'_>,
    (repo_id, number): (u64, u64),
    field: &str,
    args: &Args,
) -> Result<Out, FieldError> {
    let gone = || FieldError::not_found("The pull request is gone");
    let pull = context
        .with_repo(repo_id, ("pull_requests", Level::Read), |_, repo| repo.pull(number).cloned())?
        .ok_or_else(gone)?;
    match field {
        "additions" | "deletions" | "changedFiles" | "files" => {
            changes(context, repo_id, &pull, field, args).await
        }
        "commits" => commits(context, repo_id, &pull, args).await,
        "mergeable" | "mergeStateStatus" => mergeable(context, repo_id, &pull, field).await,
        "statusCheckRollup" => commit::rollup(context, repo_id, &pull.head_sha),
        _ => context.with_repo(repo_id, ("pull_requests", Level::Read), |state, repo| {
            plain(context, (state, repo, &pull), field, args)
        }),
    }
}

/// Fields that need nothing but the state.
fn plain(
    context: &Context<'_>,
    (state, repo, pull): (&State, &Repository, &Pull),
    field: &str,
    args: &Args,
) -> Out {
    let head_repo = pull.head_repo.map_or(Some(repo), |id| state.repositories.get(&id));
    let at = |id: u64| Out::object("Repository", Source::Repository(id));
    match field {
        "id" => Out::leaf(NodeId::Pull(repo.id, pull.issue.number).encode()),
        "state" => Out::leaf(repository::pull_state(pull)),
        "closed" => Out::leaf(pull.issue.state == OpenState::Closed),
        "merged" | "mergedAt" | "mergedBy" | "mergeCommit" => merged((state, repo, pull), field),
        "isDraft" => Out::leaf(pull.draft),
        "isCrossRepository" => Out::leaf(pull.head_repo.is_some()),
        "maintainerCanModify" | "isInMergeQueue" | "isMergeQueueEnabled" => Out::leaf(false),
        "baseRefName" => Out::leaf(pull.base.as_str()),
        "baseRefOid" => Out::leaf(pull.base_sha.as_str()),
        "baseRepository" => at(repo.id),
        "headRefName" => Out::leaf(pull.head.as_str()),
        "headRefOid" => Out::leaf(pull.head_sha.as_str()),
        // A fork that the caller may not see is none to him.
        "headRepository" => {
            Out::or_null(head_repo.filter(|head| context.sees(state, head)).map(|head| at(head.id)))
        }
        "headRepositoryOwner" => {
            Out::or_null(head_repo.map(|head| issue::author(state, head.owner_id)))
        }
        "reviewDecision" => Out::leaf(decision(pull)),
        "reviews" => reviews(context, (state, repo, pull), pull.reviews.iter(), args),
        "latestReviews" => {
            let latest = pull.reviews.iter().enumerate().filter(|(index, review)| {
                let later = pull.reviews.iter().skip(index + 1);
                later.into_iter().all(|other| other.author_id != review.author_id)
            });
            reviews(context, (state, repo, pull), latest.map(|(_, review)| review), args)
        }
        "reviewRequests" => review_requests((state, pull), args),
        "viewerMergeHeadlineText" => Out::leaf(merge_title(state, repo, pull)),
        "viewerMergeBodyText" => Out::leaf(pull.issue.title.as_str()),
        _ => issue::common(context, (state, repo, &pull.issue), ("pull", field), args),
    }
}

/// How it ended in its base, if it did.
fn merged((state, repo, pull): (&State, &Repository, &Pull), field: &str) -> Out {
    let Some(merge) = &pull.merge else {
        return if field == "merged" { Out::leaf(false) } else { Out::null() };
    };
    match field {
        "mergedAt" => Out::leaf(json_time(merge.at)),
        "mergedBy" => issue::author(state, merge.by),
        "mergeCommit" => Out::object("Commit", Source::Commit(repo.id, merge.commit.clone())),
        _ => Out::leaf(true),
    }
}

/// `APPROVED` or `CHANGES_REQUESTED` by each reviewer's last verdict; null without any.
fn decision(pull: &Pull) -> Option<&'static str> {
    let verdicts = pull.reviews.iter().filter(|review| review.state != ReviewState::Commented);
    let mut last: Vec<&Review> = Vec::new();
    for review in verdicts {
        last.retain(|other| other.author_id != review.author_id);
        last.push(review);
    }
    if last.is_empty() {
        return None;
    }
    let blocked = last.iter().any(|review| review.state == ReviewState::ChangesRequested);
    Some(if blocked { "CHANGES_REQUESTED" } else { "APPROVED" })
}

fn reviews<'a>(
    context: &Context<'_>,
    (state, repo, pull): (&State, &Repository, &Pull),
    reviews: impl Iterator<Item = &'a Review>,
    args: &Args,
) -> Out {
    let page = format!("/{}/pull/{}", state.full_name(repo), pull.issue.number);
    let url = context.request.html_url(&page);
    let nodes = reviews.map(|one| review(state, repo, one, &url)).collect();
    connection("PullRequestReviewConnection", nodes, args)
}

/// A review under the page at `url`.
pub fn review(state: &State, repo: &Repository, review: &Review, url: &str) -> Out {
    let verdict = serde_json::to_value(review.state).unwrap_or_default();
    Out::fields(
        "PullRequestReview",
        [
            ("id", Out::leaf(format!("PRR_{}", review.id))),
            ("databaseId", Out::leaf(review.id)),
            ("author", issue::author(state, review.author_id)),
            ("authorAssociation", Out::leaf("NONE")),
            ("body", Out::leaf(review.body.as_str())),
            ("state", Out::Leaf(verdict)),
            ("submittedAt", Out::leaf(json_time(review.submitted_at))),
            ("url", Out::leaf(format!("{url}#pullrequestreview-{}", review.id))),
            ("includesCreatedEdit", Out::leaf(false)),
            ("reactionGroups", Out::List(Vec::new())),
            ("commit", Out::object("Commit", Source::Commit(repo.id, review.commit.clone()))),
        ],
    )
}

fn review_requests((state, pull): (&State, &Pull), args: &Args) -> Out {
    let asked = pull.requested_reviewers.iter().filter_map(|login| state.account(login));
    let nodes = asked
        .map(|account| {
            Out::fields(
                "ReviewRequest",
                [
                    ("id", Out::leaf(format!("RR_{}", account.id))),
                    ("requestedReviewer", query::object(account)),
                ],
            )
        })
        .collect();
    connection("ReviewRequestConnection", nodes, args)
}

fn internal(error: crate::git::GitError) -> FieldError {
    Refusal::internal(&error).into()
}

async fn commits(
    context: &Context<'_>,
    repo_id: u64,
    pull: &Pull,
    args: &Args,
) -> Result<Out, FieldError> {
    let git = context.forge.git(repo_id);
    let list = commits_between(&git, &pull.base_sha, &pull.head_sha).await.map_err(internal)?;
    let nodes = list
        .into_iter()
        .map(|sha| {
            Out::fields(
                "PullRequestCommit",
                [
                    ("id", Out::leaf(format!("PURC_{sha}"))),
                    ("commit", Out::object("Commit", Source::Commit(repo_id, sha))),
                ],
            )
        })
        .collect();
    Ok(connection("PullRequestCommitConnection", nodes, args))
}

/// Files and lines that differ from where the head left the base.
async fn changes(
    context: &Context<'_>,
    repo_id: u64,
    pull: &Pull,
    field: &str,
    args: &Args,
) -> Result<Out, FieldError> {
    let range = format!("{}...{}", pull.base_sha, pull.head_sha);
    let git = context.forge.git(repo_id);
    let stat = git.run(&["diff", "--no-renames", "--numstat", &range]).await.map_err(internal)?;
    let kinds = git.run(&["diff", "--no-renames", "--name-status", &range]).await;
    let kinds = kinds.map_err(internal)?; // in the same order as the lines of `stat`
    let files: Vec<(u64, u64, &str)> = stat.lines().filter_map(numstat).collect();
    Ok(match field {
        "additions" => Out::leaf(files.iter().map(|file| file.0).sum::<u64>()),
        "deletions" => Out::leaf(files.iter().map(|file| file.1).sum::<u64>()),
        "changedFiles" => Out::leaf(files.len()),
        _ => {
            let nodes = files
                .into_iter()
                .zip(kinds.lines())
                .map(|((added, deleted, path), kind)| {
                    Out::fields(
                        "PullRequestChangedFile",
                        [
                            ("path", Out::leaf(path)),
                            ("additions", Out::leaf(added)),
                            ("deletions", Out::leaf(deleted)),
                            ("changeType", Out::leaf(change_type(kind))),
                        ],
                    )
                })
                .collect();
            connection("PullRequestChangedFileConnection", nodes, args)
        }
    })
}

/// From a line of `git diff --name-status`.
fn change_type(line: &str) -> &'static str {
    match line.as_bytes().first() {
        Some(b'A') => "ADDED",
        Some(b'D') => "DELETED",
        Some(b'T') => "CHANGED",
        _ => "MODIFIED",
    }
}

/// Lines added, lines deleted (`-` for binary files), path.
fn numstat(line: &str) -> Option<(u64, u64, &str)> {
    let mut columns = line.splitn(3, '\t');
    let mut lines = || Some(columns.next()?.parse().unwrap_or(0));
    let (added, deleted) = (lines()?, lines()?);
    Some((added, deleted, columns.next()?))
}

async fn mergeable(
    context: &Context<'_>,
    repo_id: u64,
    pull: &Pull,
    field: &str,
) -> Result<Out, FieldError> {
    let git = context.forge.git(repo_id);
    let open = pull.issue.state == OpenState::Open;
    let clean = match git.branch(&pull.base).await {
        Some(base) if open => {
            Some(merge::tree(&git, &base, &pull.head_sha).await.map_err(internal)?.is_some())
        }
        _ => None,
    };
    Ok(Out::leaf(match (field, clean) {
        (_, None) => "UNKNOWN",
        ("mergeable", Some(true)) => "MERGEABLE",
        ("mergeable", Some(false)) => "CONFLICTING",
        (_, Some(false)) => "DIRTY",
        (_, Some(true)) if pull.draft => "DRAFT",
        (_, Some(true)) => "CLEAN",
    }))
}
