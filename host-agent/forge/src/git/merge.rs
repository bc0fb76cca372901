//! Merging in a bare repository, without a work tree where git can (`merge-tree --write-tree`,
//! git 2.38), which Debian 12 and newer have.

use super::{Git, GitError};
use crate::pulls::Method;

/// Makes the commit that a merge of `head` into `base` results in; `None` when they conflict.
///
/// # Errors
/// When git fails.
pub async fn make(
    git: &Git,
    method: Method,
    (base, head): (&str, &str),
    (message, author): (&str, &(String, String)),
) -> Result<Option<String>, GitError> {
    let author = Author { name: &author.0, mail: &author.1, date: None };
    match method {
        Method::Merge => {
            let Some(tree) = tree(git, base, head).await? else { return Ok(None) };
            commit(git, &tree, &[base, head], message, &author).await.map(Some)
        }
        Method::Squash => {
            let Some(tree) = tree(git, base, head).await? else { return Ok(None) };
            commit(git, &tree, &[base], message, &author).await.map(Some)
        }
        Method::Rebase => rebase(git, base, head).await,
    }
}

struct Author<'a> {
    name: &'a str,
    mail: &'a str,
    date: Option<&'a str>,
}

/// The tree that merging `theirs` into `ours` results in; `None` when they conflict.
///
/// # Errors
/// When git fails.
pub async fn tree(git: &Git, ours: &str, theirs: &str) -> Result<Option<String>, GitError> {
    match git.run(&["merge-tree", "--write-tree", "--no-messages", ours, theirs]).await {
        Ok(tree) => Ok(Some(tree)),
        // Status 1 is a conflict and prints nothing on standard error; anything else says why.
        Err(GitError::Failed { stderr, .. }) if stderr.is_empty() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn commit(
    git: &Git,
    tree: &str,
    parents: &[&str],
    message: &str,
    author: &Author<'_>,
) -> Result<String, GitError> {
    let mut args = vec!["commit-tree", tree];
    for parent in parents {
        args.extend(["-p", parent]);
    }
    let mut env = vec![
        ("GIT_AUTHOR_NAME", author.name),
        ("GIT_AUTHOR_EMAIL", author.mail),
        ("GIT_COMMITTER_NAME", "GitHub"),
        ("GIT_COMMITTER_EMAIL", "noreply@github.com"),
    ];
    env.extend(author.date.map(|date| ("GIT_AUTHOR_DATE", date)));
    git.run_with(&args, &env, message.as_bytes()).await
}

/// Each commit of the head again, on top of the base.
async fn rebase(git: &Git, base: &str, head: &str) -> Result<Option<String>, GitError> {
    let mut tip = base.to_owned();
    for pick in crate::pulls::commits_between(git, base, head).await? {
        let parent = format!("{pick}^");
        let Some(tree) = picked_tree(git, &parent, (&tip, &pick)).await? else {
            return Ok(None);
        };
        let format = "--format=%an%n%ae%n%ad%n%B";
        let shown = git.run(&["show", "--no-patch", "--date=raw", format, &pick]).await?;
        let mut lines = shown.splitn(4, '\n');
        let mut next = || lines.next().unwrap_or_default();
        let (name, mail, date) = (next(), next(), next());
        let author = Author { name, mail, date: Some(date) };
        tip = commit(git, &tree, &[&tip], next(), &author).await?;
    }
    Ok(Some(tip))
}

/// The tree of one commit put on top of another, through an index of its own: `merge-tree` takes
/// a merge base from git 2.40 on only.
async fn picked_tree(
    git: &Git,
    parent: &str,
    (tip, pick): (&str, &str),
) -> Result<Option<String>, GitError> {
    let index = format!("{}/pick-{pick}.index", git.dir().display());
    let env = [("GIT_INDEX_FILE", index.as_str())];
    git.run_with(&["read-tree", tip], &env, b"").await?;
    let patch = git.bytes(&["diff-tree", "--binary", "--full-index", "-p", parent, pick]).await?;
    let applied = git.run_with(&["apply", "--cached", "--3way", "-"], &env, &patch).await;
    let tree = match applied {
        Ok(_) => git.run_with(&["write-tree"], &env, b"").await.map(Some),
        Err(GitError::Failed { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    // A stale index hurts nobody; its name is that of one commit.
    let _ = tokio::fs::remove_file(&index).await;
    tree
}
