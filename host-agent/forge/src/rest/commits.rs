//! What git holds, by REST: commits, branches, refs and files.

use base64::Engine as _;
use http::Method;
use serde_json::{Value, json};

use super::repos;
use crate::{
    forge::Forge,
    git::GitError,
    permissions::Level,
    reply::{self, Answer, Refusal},
    request::Request,
};

/// Everything below `/repos/{owner}/{name}` that `contents` is for.
///
/// # Errors
/// As GitHub: 404, 403 without `contents`.
pub async fn route(forge: &Forge, request: &Request, repo_id: u64, rest: &[&str]) -> Answer {
    let level = if request.method == Method::GET { Level::Read } else { Level::Write };
    repos::allow(forge, request, repo_id, "contents", level)?;
    match (request.method.as_str(), rest) {
        ("GET", ["branches"]) => branches(forge, request, repo_id).await,
        ("GET", ["branches", name @ ..]) => branch(forge, request, repo_id, &name.join("/")).await,
        ("GET", ["git", "ref", name @ ..]) => show_ref(forge, repo_id, &name.join("/")).await,
        ("DELETE", ["git", "refs", name @ ..]) => delete_ref(forge, repo_id, &name.join("/")).await,
        ("GET", ["commits"]) => list(forge, request, repo_id).await,
        ("GET", ["commits", name @ ..]) => {
            reply::ok(&describe(forge, request, repo_id, &name.join("/")).await?)
        }
        ("GET", ["readme"]) => file(forge, request, repo_id, "README.md").await,
        ("GET", ["contents", path @ ..]) => file(forge, request, repo_id, &path.join("/")).await,
        _ => Err(Refusal::not_found()),
    }
}

fn internal(error: GitError) -> Refusal {
    Refusal::internal(&error)
}

async fn branches(forge: &Forge, request: &Request, repo_id: u64) -> Answer {
    let format = "--format=%(objectname) %(refname:strip=2)";
    let text = forge.git(repo_id).run(&["for-each-ref", format, "refs/heads"]).await;
    let text = text.map_err(internal)?;
    let all: Vec<Value> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(sha, name)| json!({"name": name, "commit": {"sha": sha}, "protected": false}))
        .collect();
    reply::ok(&Value::Array(request.page(all)))
}

async fn branch(forge: &Forge, request: &Request, repo_id: u64, name: &str) -> Answer {
    let sha = forge
        .git(repo_id)
        .branch(name)
        .await
        .ok_or_else(|| Refusal::new(http::StatusCode::NOT_FOUND, "Branch not found"))?;
    let commit = describe(forge, request, repo_id, &sha).await?;
    reply::ok(&json!({"name": name, "commit": commit, "protected": false}))
}

async fn show_ref(forge: &Forge, repo_id: u64, name: &str) -> Answer {
    let full = format!("refs/{name}");
    let sha = forge.git(repo_id).resolve(&full).await.ok_or_else(Refusal::not_found)?;
    reply::ok(&json!({"ref": full, "object": {"sha": sha, "type": "commit"}}))
}

async fn delete_ref(forge: &Forge, repo_id: u64, name: &str) -> Answer {
    let full = format!("refs/{name}");
    let git = forge.git(repo_id);
    if !name.starts_with("heads/") && !name.starts_with("tags/")
        || git.resolve(&full).await.is_none()
    {
        return Err(Refusal::unprocessable("Reference does not exist"));
    }
    git.run(&["update-ref", "-d", &full]).await.map_err(internal)?;
    reply::no_content()
}

async fn list(forge: &Forge, request: &Request, repo_id: u64) -> Answer {
    let default = forge.with_repo(repo_id, |_, repo| repo.default_branch.clone())?;
    let from = request.query("sha").unwrap_or(&default);
    let git = forge.git(repo_id);
    let tip = git.resolve(from).await.ok_or_else(Refusal::not_found)?;
    let text = git.run(&["rev-list", "--max-count=1000", &tip]).await.map_err(internal)?;
    let mut all = Vec::new();
    for sha in request.page(text.lines().collect()) {
        all.push(describe(forge, request, repo_id, sha).await?);
    }
    reply::ok(&Value::Array(all))
}

/// What git knows about one commit.
#[derive(Debug, Clone)]
pub struct CommitInfo {
    /// Object name.
    pub sha: String,
    /// Object names of its parents.
    pub parents: Vec<String>,
    /// Name and address of its author.
    pub author: (String, String),
    /// When it was written, RFC 3339.
    pub date: String,
    /// Message, whole.
    pub message: String,
}

/// Looks a commit up by branch, tag or (part of an) object name.
///
/// # Errors
/// 404 when there is none.
pub async fn look_up(forge: &Forge, repo_id: u64, name: &str) -> Result<CommitInfo, Refusal> {
    let git = forge.git(repo_id);
    let sha = git.resolve(name).await.ok_or_else(Refusal::not_found)?;
    let format = "--format=%P%n%an%n%ae%n%cd%n%B";
    let date = "--date=format-local:%Y-%m-%dT%H:%M:%SZ";
    let args = ["show", "--no-patch", date, format, &sha];
    let text = git.run_with(&args, &[("TZ", "UTC")], b"").await.map_err(internal)?;
    let mut lines = text.splitn(5, '\n');
    let mut next = || lines.next().unwrap_or_default().to_owned();
    let parents = next().split(' ').filter(|sha| !sha.is_empty()).map(str::to_owned).collect();
    let author = (next(), next());
    Ok(CommitInfo { sha, parents, author, date: next(), message: next().trim_end().to_owned() })
}

/// A commit as GitHub's JSON has it.
///
/// # Errors
/// 404 when there is none.
pub async fn describe(
    forge: &Forge,
    request: &Request,
    repo_id: u64,
    name: &str,
) -> Result<Value, Refusal> {
    let commit = look_up(forge, repo_id, name).await?;
    let full_name = forge.with_repo(repo_id, |state, repo| state.full_name(repo))?;
    let sha = &commit.sha;
    let author = json!({"name": commit.author.0, "email": commit.author.1, "date": commit.date});
    let parents: Vec<Value> = commit.parents.iter().map(|sha| json!({"sha": sha})).collect();
    Ok(json!({
        "sha": sha,
        "node_id": format!("C_{repo_id}_{sha}"),
        "url": request.api_url(&format!("/repos/{full_name}/commits/{sha}")),
        "html_url": request.html_url(&format!("/{full_name}/commit/{sha}")),
        "commit": {"message": commit.message, "author": author, "committer": author},
        "parents": parents,
        "author": null,
        "committer": null,
    }))
}

/// A file or a directory at the `ref` of the query, else on the default branch.
async fn file(forge: &Forge, request: &Request, repo_id: u64, path: &str) -> Answer {
    let default = forge.with_repo(repo_id, |_, repo| repo.default_branch.clone())?;
    let git = forge.git(repo_id);
    let from = request.query("ref").unwrap_or(&default);
    let commit = git.resolve(from).await.ok_or_else(Refusal::not_found)?;
    let object = format!("{commit}:{}", path.trim_matches('/'));
    let kind = git.run(&["cat-file", "-t", &object]).await.map_err(|_| Refusal::not_found())?;
    if kind == "tree" {
        return directory(&git.run(&["ls-tree", "-l", &object]).await.map_err(internal)?, path);
    }
    let content = git.bytes(&["cat-file", "blob", &object]).await.map_err(internal)?;
    if request.header("accept").is_some_and(|accept| accept.contains("raw")) {
        return Ok(reply::text(http::StatusCode::OK, content));
    }
    let sha = git.run(&["rev-parse", &object]).await.map_err(internal)?;
    reply::ok(&json!({
        "type": "file",
        "name": path.rsplit('/').next(),
        "path": path,
        "sha": sha,
        "size": content.len(),
        "encoding": "base64",
        "content": base64::engine::general_purpose::STANDARD.encode(content),
    }))
}

/// From lines of `git ls-tree -l`: mode, type, object, size, tab, name.
fn directory(listing: &str, path: &str) -> Answer {
    let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
    let entries: Vec<Value> = listing
        .lines()
        .filter_map(|line| {
            let (meta, name) = line.split_once('\t')?;
            let mut meta = meta.split_whitespace().skip(1);
            let kind = if meta.next()? == "tree" { "dir" } else { "file" };
            let sha = meta.next()?;
            let size: u64 = meta.next()?.parse().unwrap_or_default();
            let path = format!("{prefix}{name}");
            Some(json!({"type": kind, "name": name, "path": path, "sha": sha, "size": size}))
        })
        .collect();
    reply::ok(&Value::Array(entries))
}
