//! Issues, and what pull requests have in common with them.

use super::{
    Context,
    ids::NodeId,
    object::{Args, FieldError, Out, Source, connection},
    query, repository,
};
use crate::{
    clock::json_time,
    model::{Comment, Issue, Repository, State},
    permissions::Level,
};

/// Resolves a field of an issue.
pub fn resolve(
    context: &Context<'_>,
    (repo_id, number): (u64, u64),
    field: &str,
    args: &Args,
) -> Result<Out, FieldError> {
    context.with_repo(repo_id, ("issues", Level::Read), |state, repo| {
        let issue = repo.issues.iter().find(|issue| issue.number == number);
        let issue = issue.ok_or_else(|| FieldError::not_found("The issue is gone"))?;
        Ok(match field {
            "id" => Out::leaf(NodeId::Issue(repo_id, number).encode()),
            "state" => Out::leaf(repository::issue_state(issue)),
            "closed" => Out::leaf(issue.closed_at.is_some()),
            "isPinned" => Out::leaf(false),
            "subIssues" | "blockedBy" | "blocking" => {
                connection("IssueConnection", Vec::new(), args)
            }
            "subIssuesSummary" => Out::fields(
                "SubIssuesSummary",
                [
                    ("total", Out::leaf(0)),
                    ("completed", Out::leaf(0)),
                    ("percentCompleted", Out::leaf(0)),
                ],
            ),
            _ => common(context, (state, repo, issue), ("issues", field), args),
        })
    })?
}

/// Fields that issues and pull requests share; `page` is the part of the web address.
pub fn common(
    context: &Context<'_>,
    (state, repo, issue): (&State, &Repository, &Issue),
    (page, field): (&str, &str),
    args: &Args,
) -> Out {
    let url = || {
        let full_name = state.full_name(repo);
        context.request.html_url(&format!("/{full_name}/{page}/{}", issue.number))
    };
    match field {
        "databaseId" => Out::leaf(issue.id),
        "fullDatabaseId" => Out::leaf(issue.id.to_string()),
        "number" => Out::leaf(issue.number),
        "title" => Out::leaf(issue.title.as_str()),
        "body" => Out::leaf(issue.body.as_str()),
        "url" => Out::leaf(url()),
        "author" => author(state, issue.author_id),
        "authorAssociation" => Out::leaf("NONE"),
        "createdAt" => Out::leaf(json_time(issue.created_at)),
        "updatedAt" => Out::leaf(json_time(issue.updated_at)),
        "closedAt" => Out::leaf(issue.closed_at.map(json_time)),
        "locked" => Out::leaf(false),
        "assignees" => {
            let assigned = issue.assignees.iter().filter_map(|login| state.account(login));
            connection("UserConnection", assigned.map(query::object).collect(), args)
        }
        "labels" => labels(repo, &issue.labels, args),
        "projectCards" => connection("ProjectCardConnection", Vec::new(), args),
        "projectItems" => connection("ProjectV2ItemConnection", Vec::new(), args),
        "comments" => {
            let comments = issue.comments.iter();
            let nodes = comments.map(|one| comment(state, one, &url())).collect();
            connection("IssueCommentConnection", nodes, args)
        }
        "reactionGroups" => Out::List(Vec::new()),
        "repository" => Out::object("Repository", Source::Repository(repo.id)),
        _ => Out::null(),
    }
}

/// The account that wrote something, or null.
pub fn author(state: &State, id: u64) -> Out {
    Out::or_null(state.accounts.get(&id).map(query::object))
}

/// A comment under the page at `url`.
pub fn comment(state: &State, comment: &Comment, url: &str) -> Out {
    let written = json_time(comment.created_at);
    Out::fields(
        "IssueComment",
        [
            ("id", Out::leaf(format!("IC_{}", comment.id))),
            ("databaseId", Out::leaf(comment.id)),
            ("author", author(state, comment.author_id)),
            ("authorAssociation", Out::leaf("NONE")),
            ("body", Out::leaf(comment.body.as_str())),
            ("createdAt", Out::leaf(written.as_str())),
            ("updatedAt", Out::leaf(written)),
            ("url", Out::leaf(format!("{url}#issuecomment-{}", comment.id))),
            ("includesCreatedEdit", Out::leaf(false)),
            ("isMinimized", Out::leaf(false)),
            ("minimizedReason", Out::leaf("")),
            ("reactionGroups", Out::List(Vec::new())),
            ("viewerDidAuthor", Out::leaf(true)),
        ],
    )
}

/// Labels by name.
pub fn labels(repo: &Repository, names: &[String], args: &Args) -> Out {
    let nodes = names.iter().map(|name| label(repo, name)).collect();
    connection("LabelConnection", nodes, args)
}

/// `label(name:)`: null for one the repository has not.
pub fn label_named(repo: &Repository, args: &Args) -> Out {
    let wanted = args.get("name").and_then(|name| name.as_str()).unwrap_or_default();
    let found = repo.labels.iter().find(|name| name.eq_ignore_ascii_case(wanted));
    Out::or_null(found.map(|name| label(repo, name)))
}

fn label(repo: &Repository, name: &str) -> Out {
    Out::fields(
        "Label",
        [
            ("id", Out::leaf(NodeId::Label(repo.id, name.to_owned()).encode())),
            ("name", Out::leaf(name)),
            ("color", Out::leaf("ededed")),
            ("description", Out::leaf("")),
        ],
    )
}
