//! Repositories.

use serde_json::Value;

use super::{
    Context, commit,
    ids::NodeId,
    issue,
    object::{Args, FieldError, Out, Source, connection},
    query,
};
use crate::{
    clock::json_time,
    model::{AccountKind, Issue, OpenState, Pull, Repository, State},
    permissions::Level,
    pulls,
};

/// `repository(owner:, name:)`; an old name leads to the new one.
pub async fn find(context: &Context<'_>, owner: &str, name: &str) -> Result<Out, FieldError> {
    let found = context.forge.store.read(|state| {
        let repo =
            state.repository(owner, name).or_else(|| state.renamed_repository(owner, name))?;
        context.sees(state, repo).then_some(repo.id)
    });
    let id = found.ok_or_else(|| {
        FieldError::not_found(format!(
            "Could not resolve to a Repository with the name '{owner}/{name}'."
        ))
    })?;
    Ok(Out::object("Repository", Source::Repository(id)))
}

/// A pull request that the caller may see.
pub async fn pull(context: &Context<'_>, repo_id: u64, number: u64) -> Result<Out, FieldError> {
    let found = context.with_repo(repo_id, ("pull_requests", Level::Read), |_, repo| {
        repo.pull(number).is_some()
    })?;
    if !found {
        return Err(FieldError::not_found(format!(
            "Could not resolve to a PullRequest with the number of {number}."
        )));
    }
    pulls::refresh(context.forge, repo_id).await?;
    Ok(Out::object("PullRequest", Source::Pull(repo_id, number)))
}

/// An issue that the caller may see.
pub fn issue(context: &Context<'_>, repo_id: u64, number: u64) -> Result<Out, FieldError> {
    let found = context.with_repo(repo_id, ("issues", Level::Read), |_, repo| {
        repo.issues.iter().any(|issue| issue.number == number)
    })?;
    if found {
        return Ok(Out::object("Issue", Source::Issue(repo_id, number)));
    }
    let message = format!("Could not resolve to an Issue with the number of {number}.");
    Err(FieldError::not_found(message))
}

/// Resolves a field of a repository.
pub async fn resolve(
    context: &Context<'_>,
    id: u64,
    field: &str,
    args: &Args,
) -> Result<Out, FieldError> {
    let number = args.get("number").and_then(Value::as_u64).unwrap_or_default();
    match field {
        "pullRequests" => pull_requests(context, id, args).await,
        "pullRequest" => pull(context, id, number).await,
        "issues" => issues(context, id, args),
        "issue" => issue(context, id, number),
        "issueOrPullRequest" => {
            let is_pull = context
                .with_repo(id, ("metadata", Level::Read), |_, repo| repo.pull(number).is_some())?;
            if is_pull { pull(context, id, number).await } else { issue(context, id, number) }
        }
        "defaultBranchRef" => {
            let branch = context
                .with_repo(id, ("metadata", Level::Read), |_, repo| repo.default_branch.clone())?;
            commit::reference(context, id, &format!("refs/heads/{branch}")).await
        }
        "ref" => {
            let name = args.get("qualifiedName").and_then(Value::as_str).unwrap_or_default();
            commit::reference(context, id, name).await
        }
        "object" => commit::object(context, id, args).await,
        "isEmpty" => {
            let refs = context.forge.git(id).run(&["for-each-ref", "--count=1"]).await;
            Ok(Out::leaf(refs.is_ok_and(|refs| refs.is_empty())))
        }
        _ => context.with_repo(id, ("metadata", Level::Read), |state, repo| {
            plain(context, (state, repo), field, args)
        }),
    }
}

/// Fields that need nothing but the state.
fn plain(
    context: &Context<'_>,
    (state, repo): (&State, &Repository),
    field: &str,
    args: &Args,
) -> Out {
    let owner = state.accounts.get(&repo.owner_id);
    let page = || context.request.html_url(&format!("/{}", state.full_name(repo)));
    let in_organization = || owner.is_some_and(|owner| owner.kind == AccountKind::Organization);
    match field {
        "id" => Out::leaf(NodeId::Repository(repo.id).encode()),
        "databaseId" => Out::leaf(repo.id),
        "name" => Out::leaf(repo.name.as_str()),
        "nameWithOwner" => Out::leaf(state.full_name(repo)),
        "owner" => Out::or_null(owner.map(query::object)),
        "description" => Out::leaf(repo.description.as_str()),
        "url" => Out::leaf(page()),
        "isPrivate" => Out::leaf(repo.private),
        "isFork" => Out::leaf(repo.fork_of.is_some()),
        "parent" => Out::or_null(parent(context, (state, repo))),
        "isInOrganization" => Out::leaf(in_organization()),
        "visibility" => Out::leaf(if repo.private { "PRIVATE" } else { "PUBLIC" }),
        "createdAt" | "pushedAt" | "updatedAt" => Out::leaf(json_time(repo.created_at)),
        "viewerPermission" => Out::leaf(permission(context, (state, repo))),
        "label" => issue::label_named(repo, args),
        // In order of their names; they were created at once.
        "labels" => issue::labels(repo, &repo.labels, args),
        _ => fixed(field, args),
    }
}

/// The fork's origin, if the caller may see it.
fn parent(context: &Context<'_>, (state, repo): (&State, &Repository)) -> Option<Out> {
    let parent = state.repositories.get(&repo.fork_of?)?;
    context.sees(state, parent).then(|| Out::object("Repository", Source::Repository(parent.id)))
}

/// Fields that are the same for every repository here.
fn fixed(field: &str, args: &Args) -> Out {
    match field {
        "viewerDefaultMergeMethod" => Out::leaf("MERGE"),
        "hasIssuesEnabled" | "mergeCommitAllowed" | "squashMergeAllowed" | "rebaseMergeAllowed" => {
            Out::leaf(true)
        }
        "isArchived"
        | "isTemplate"
        | "hasProjectsEnabled"
        | "hasWikiEnabled"
        | "autoMergeAllowed"
        | "deleteBranchOnMerge" => Out::leaf(false),
        "stargazerCount" | "forkCount" => Out::leaf(0),
        "issueTemplates" | "pullRequestTemplates" => Out::List(Vec::new()),
        "assignableUsers" => connection("UserConnection", Vec::new(), args),
        "milestones" => connection("MilestoneConnection", Vec::new(), args),
        _ => Out::null(),
    }
}

/// What the caller may do, as one word.
fn permission(context: &Context<'_>, (state, repo): (&State, &Repository)) -> &'static str {
    match context.request.caller.may(state, repo, "contents", Level::Write) {
        Ok(()) => "WRITE",
        Err(_) => "READ",
    }
}

async fn pull_requests(context: &Context<'_>, id: u64, args: &Args) -> Result<Out, FieldError> {
    context.with_repo(id, ("pull_requests", Level::Read), |_, _| ())?;
    pulls::refresh(context.forge, id).await?;
    let text = |name: &str| args.get(name).and_then(Value::as_str);
    let (head, base) = (text("headRefName"), text("baseRefName"));
    context.with_repo(id, ("pull_requests", Level::Read), |_, repo| {
        let fits = |pull: &&Pull| {
            listed(args, "states", pull_state(pull))
                && head.is_none_or(|head| head == pull.head)
                && base.is_none_or(|base| base == pull.base)
                && labelled(args, &pull.issue)
        };
        let mut found: Vec<&Pull> = repo.pulls.iter().filter(fits).collect();
        if descending(args) {
            found.reverse();
        }
        let nodes = found
            .into_iter()
            .map(|pull| Out::object("PullRequest", Source::Pull(id, pull.issue.number)))
            .collect();
        connection("PullRequestConnection", nodes, args)
    })
}

fn issues(context: &Context<'_>, id: u64, args: &Args) -> Result<Out, FieldError> {
    let filter = |name: &str| args.get("filterBy").and_then(|filter| filter[name].as_str());
    context.with_repo(id, ("issues", Level::Read), |state, repo| {
        let fits = |issue: &&Issue| {
            listed(args, "states", issue_state(issue))
                && labelled(args, issue)
                && filter("assignee").is_none_or(|who| issue.assignees.iter().any(|one| one == who))
                && filter("createdBy").is_none_or(|who| state.login(issue.author_id) == who)
                && filter("mentioned").is_none_or(|who| issue.body.contains(&format!("@{who}")))
        };
        let mut found: Vec<&Issue> = repo.issues.iter().filter(fits).collect();
        if descending(args) {
            found.reverse();
        }
        let nodes = found
            .into_iter()
            .map(|issue| Out::object("Issue", Source::Issue(id, issue.number)))
            .collect();
        connection("IssueConnection", nodes, args)
    })
}

fn descending(args: &Args) -> bool {
    args.get("orderBy").is_some_and(|order| order["direction"] == "DESC")
}

/// True when the list argument `name` is absent or has `value`; GraphQL takes one for a list.
fn listed(args: &Args, name: &str, value: &str) -> bool {
    match args.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.iter().any(|item| item == value),
        Some(one) => one == value,
    }
}

fn labelled(args: &Args, issue: &Issue) -> bool {
    let wanted = args.get("labels").and_then(Value::as_array);
    wanted
        .is_none_or(|wanted| wanted.iter().any(|label| issue.labels.iter().any(|one| label == one)))
}

/// `OPEN`, `CLOSED` or `MERGED`.
pub fn pull_state(pull: &Pull) -> &'static str {
    if pull.merge.is_some() { "MERGED" } else { issue_state(&pull.issue) }
}

/// `OPEN` or `CLOSED`.
pub fn issue_state(issue: &Issue) -> &'static str {
    match issue.state {
        OpenState::Open => "OPEN",
        OpenState::Closed => "CLOSED",
    }
}
