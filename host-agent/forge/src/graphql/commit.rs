//! Commits, refs, files, and the checks of a commit.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Context,
    object::{Args, FieldError, Out, Source, connection, connection_with},
};
use crate::{
    clock::json_time,
    model::{CheckRun, CommitStatus, Repository},
    permissions::Level,
    rest::{
        checks::newest,
        commits::{CommitInfo, look_up},
        runs::workflow_id,
    },
};

/// A ref by its full name (`refs/heads/main`), or null.
pub async fn reference(context: &Context<'_>, repo_id: u64, name: &str) -> Result<Out, FieldError> {
    let full =
        if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") };
    let Some(sha) = context.forge.git(repo_id).resolve(&full).await else {
        return Ok(Out::null());
    };
    let split = full.match_indices('/').nth(1).map_or(0, |(index, _)| index + 1);
    let (prefix, short) = full.split_at(split);
    Ok(Out::fields(
        "Ref",
        [
            ("id", Out::leaf(format!("REF_{repo_id}_{full}"))),
            ("name", Out::leaf(short)),
            ("prefix", Out::leaf(prefix)),
            ("target", Out::object("Commit", Source::Commit(repo_id, sha))),
        ],
    ))
}

/// `object(expression:)`: a commit, or the blob or tree at `<commit>:<path>`; null when absent.
pub async fn object(context: &Context<'_>, repo_id: u64, args: &Args) -> Result<Out, FieldError> {
    context.with_repo(repo_id, ("contents", Level::Read), |_, _| ())?;
    let given = args.get("expression").or_else(|| args.get("oid")).and_then(Value::as_str);
    let expression = given.unwrap_or_default();
    let git = context.forge.git(repo_id);
    let verified = ["rev-parse", "--verify", "--quiet", "--end-of-options", expression];
    let Ok(oid) = git.run(&verified).await else { return Ok(Out::null()) };
    let kind = git.run(&["cat-file", "-t", &oid]).await.unwrap_or_default();
    match kind.as_str() {
        "commit" => Ok(Out::object("Commit", Source::Commit(repo_id, oid))),
        "blob" => {
            let bytes = git.bytes(&["cat-file", "blob", &oid]).await.unwrap_or_default();
            let (size, text) = (bytes.len(), String::from_utf8(bytes).ok());
            let binary = text.is_none();
            Ok(git_object(
                "Blob",
                &oid,
                [
                    ("text", Out::leaf(text)),
                    ("byteSize", Out::leaf(size)),
                    ("isBinary", Out::leaf(binary)),
                ],
            ))
        }
        "tree" => {
            let listing = git.run(&["ls-tree", &oid]).await.unwrap_or_default();
            let entries = listing.lines().filter_map(tree_entry).collect();
            Ok(git_object("Tree", &oid, [("entries", Out::List(entries))]))
        }
        _ => Ok(Out::null()),
    }
}

fn git_object<const N: usize>(
    type_name: &'static str,
    oid: &str,
    more: [(&'static str, Out); N],
) -> Out {
    let mut fields: BTreeMap<&'static str, Out> = more.into_iter().collect();
    fields.insert("id", Out::leaf(format!("O_{oid}")));
    fields.insert("oid", Out::leaf(oid));
    fields.insert("abbreviatedOid", Out::leaf(short(oid)));
    Out::object(type_name, Source::Fields(fields))
}

/// From a line of `git ls-tree`: mode, type, object, tab, name.
fn tree_entry(line: &str) -> Option<Out> {
    let (meta, name) = line.split_once('\t')?;
    let mut meta = meta.split(' ').skip(1);
    let (kind, oid) = (meta.next()?, meta.next()?);
    let type_name = if kind == "tree" { "Tree" } else { "Blob" };
    Some(Out::fields(
        "TreeEntry",
        [
            ("name", Out::leaf(name)),
            ("path", Out::leaf(name)),
            ("type", Out::leaf(kind)),
            ("oid", Out::leaf(oid)),
            ("object", git_object(type_name, oid, [])),
        ],
    ))
}

fn short(oid: &str) -> &str {
    oid.get(..7).unwrap_or(oid)
}

/// Resolves a field of a commit.
pub async fn resolve(
    context: &Context<'_>,
    (repo_id, sha): (u64, &str),
    field: &str,
    args: &Args,
) -> Result<Out, FieldError> {
    match field {
        "id" => return Ok(Out::leaf(format!("C_{repo_id}_{sha}"))),
        "oid" => return Ok(Out::leaf(sha)),
        "abbreviatedOid" => return Ok(Out::leaf(short(sha))),
        "statusCheckRollup" => return rollup(context, repo_id, sha),
        "url" => {
            let name = context.with_repo(repo_id, ("metadata", Level::Read), |state, repo| {
                state.full_name(repo)
            })?;
            return Ok(Out::leaf(context.request.html_url(&format!("/{name}/commit/{sha}"))));
        }
        _ => {}
    }
    let commit = look_up(context.forge, repo_id, sha).await?;
    let (headline, body) = commit.message.split_once('\n').unwrap_or((&commit.message, ""));
    Ok(match field {
        "message" => Out::leaf(commit.message.as_str()),
        "messageHeadline" => Out::leaf(headline),
        "messageBody" => Out::leaf(body.trim_start_matches('\n')),
        "committedDate" | "authoredDate" => Out::leaf(commit.date.as_str()),
        "author" | "committer" => git_actor(&commit),
        "authors" => connection("GitActorConnection", vec![git_actor(&commit)], args),
        _ => Out::null(),
    })
}

fn git_actor(commit: &CommitInfo) -> Out {
    Out::fields(
        "GitActor",
        [
            ("name", Out::leaf(commit.author.0.as_str())),
            ("email", Out::leaf(commit.author.1.as_str())),
            ("date", Out::leaf(commit.date.as_str())),
        ],
    )
}

/// All checks and statuses of a commit; null when it has none.
pub fn rollup(context: &Context<'_>, repo_id: u64, sha: &str) -> Result<Out, FieldError> {
    let checks = context.with_repo(repo_id, ("checks", Level::Read), |state, repo| {
        let full_name = state.full_name(repo);
        let of_commit = repo.check_runs.iter().filter(|run| run.head_sha == sha);
        of_commit.map(|run| (check_state(run), check(context, repo, &full_name, run))).collect()
    });
    let statuses = context.with_repo(repo_id, ("statuses", Level::Read), |_, repo| {
        let newest = newest(&repo.statuses, sha);
        newest.iter().map(|one| (status_state(one), status(one))).collect()
    });
    // Either permission lets see its part; without both there is nothing to see.
    let (checks, statuses): (Vec<_>, Vec<_>) = match (checks, statuses) {
        (Err(error), Err(_)) => return Err(error),
        (checks, statuses) => (checks.unwrap_or_default(), statuses.unwrap_or_default()),
    };
    if checks.is_empty() && statuses.is_empty() {
        return Ok(Out::null());
    }
    let states: Vec<&str> = checks.iter().chain(&statuses).map(|(state, _)| *state).collect();
    let overall = ["ERROR", "FAILURE", "PENDING"]
        .into_iter()
        .find(|state| states.contains(state))
        .unwrap_or("SUCCESS");
    let counts = BTreeMap::from([
        ("checkRunCount", Out::leaf(checks.len())),
        ("statusContextCount", Out::leaf(statuses.len())),
        ("checkRunCountsByState", Out::List(Vec::new())),
        ("statusContextCountsByState", Out::List(Vec::new())),
    ]);
    let counts = count_by_state(counts, &checks, &statuses);
    let nodes = checks.into_iter().chain(statuses).map(|(_, out)| out).collect();
    let none = Args::new();
    let contexts = connection_with("StatusCheckRollupContextConnection", nodes, &none, counts);
    Ok(Out::fields("StatusCheckRollup", [("state", Out::leaf(overall)), ("contexts", contexts)]))
}

type Counted<'a> = BTreeMap<&'a str, u64>;

fn count_by_state(
    mut fields: BTreeMap<&'static str, Out>,
    checks: &[(&'static str, Out)],
    statuses: &[(&'static str, Out)],
) -> BTreeMap<&'static str, Out> {
    for (name, type_name, of) in [
        ("checkRunCountsByState", "CheckRunStateCount", checks),
        ("statusContextCountsByState", "StatusContextStateCount", statuses),
    ] {
        let mut counted = Counted::new();
        for (state, _) in of {
            *counted.entry(state).or_default() += 1;
        }
        let counts = counted.into_iter().map(|(state, count)| {
            Out::fields(type_name, [("state", Out::leaf(state)), ("count", Out::leaf(count))])
        });
        fields.insert(name, Out::List(counts.collect()));
    }
    fields
}

/// What a check run counts as in the rollup.
fn check_state(run: &CheckRun) -> &'static str {
    match (run.status.as_str(), run.conclusion.as_deref()) {
        ("completed", Some("success")) => "SUCCESS",
        ("completed", Some("neutral")) => "NEUTRAL",
        ("completed", Some("skipped")) => "SKIPPED",
        ("completed", _) => "FAILURE",
        _ => "PENDING",
    }
}

fn status_state(status: &CommitStatus) -> &'static str {
    match status.state.as_str() {
        "success" => "SUCCESS",
        "failure" => "FAILURE",
        "error" => "ERROR",
        _ => "PENDING",
    }
}

fn check(context: &Context<'_>, repo: &Repository, full_name: &str, run: &CheckRun) -> Out {
    let details = run.details_url.as_ref().map(|url| {
        if url.starts_with('/') {
            context.request.html_url(&format!("/{full_name}{url}"))
        } else {
            url.clone()
        }
    });
    Out::fields(
        "CheckRun",
        [
            ("id", Out::leaf(format!("CR_{}", run.id))),
            ("databaseId", Out::leaf(run.id)),
            ("name", Out::leaf(run.name.as_str())),
            ("status", Out::leaf(run.status.to_ascii_uppercase())),
            ("conclusion", Out::leaf(run.conclusion.as_ref().map(|one| one.to_ascii_uppercase()))),
            ("startedAt", Out::leaf(json_time(run.started_at))),
            ("completedAt", Out::leaf(run.completed_at.map(json_time))),
            ("detailsUrl", Out::leaf(details)),
            ("checkSuite", check_suite(repo, run)),
            ("isRequired", Out::leaf(false)),
        ],
    )
}

/// The suite of a check run; that of an Actions job names its workflow.
fn check_suite(repo: &Repository, check: &CheckRun) -> Out {
    let run = repo.runs.iter().find(|run| run.jobs.iter().any(|job| job.id == check.id));
    let workflow_run = run.map(|run| {
        let workflow = Out::fields(
            "Workflow",
            [
                ("id", Out::leaf(format!("W_{}", workflow_id(repo, &run.workflow)))),
                ("name", Out::leaf(run.workflow.as_str())),
            ],
        );
        Out::fields(
            "WorkflowRun",
            [
                ("id", Out::leaf(format!("WFR_{}", run.id))),
                ("databaseId", Out::leaf(run.id)),
                ("event", Out::leaf(run.event.as_str())),
                ("runNumber", Out::leaf(run.run_number)),
                ("workflow", workflow),
            ],
        )
    });
    Out::fields(
        "CheckSuite",
        [
            ("id", Out::leaf(format!("CS_{}", check.id))),
            ("workflowRun", Out::or_null(workflow_run)),
        ],
    )
}

fn status(status: &CommitStatus) -> Out {
    Out::fields(
        "StatusContext",
        [
            ("id", Out::leaf(format!("SC_{}", status.id))),
            ("context", Out::leaf(status.context.as_str())),
            ("state", Out::leaf(status_state(status))),
            ("description", Out::leaf(status.description.as_str())),
            ("targetUrl", Out::leaf(status.target_url.clone())),
            ("createdAt", Out::leaf(json_time(status.created_at))),
            ("isRequired", Out::leaf(false)),
        ],
    )
}
