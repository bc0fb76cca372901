//! The first content of a repository: from files, from a directory, or from another repository.

use std::{io, path::Path};

use super::{Git, GitError};
use crate::spec::RepositorySpec;

const AUTHOR: &[(&str, &str)] = &[
    ("GIT_AUTHOR_NAME", "Local forge"),
    ("GIT_AUTHOR_EMAIL", "forge@localhost"),
    ("GIT_COMMITTER_NAME", "Local forge"),
    ("GIT_COMMITTER_EMAIL", "forge@localhost"),
];

const DEFAULT_BRANCH: &str = "main";

/// Why a repository could not be seeded.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A directory could not be used.
    #[error("cannot use {path}")]
    Io {
        /// Which.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A path that would leave the repository, or that git would not take.
    #[error("{0:?} is no path of a file in a repository")]
    Path(String),
}

/// Makes the bare repository and its first commits; gives its default branch. Without a seed it
/// stays empty.
///
/// # Errors
/// When git or the file system fails, or the seed has a path that cannot be.
pub async fn create(git: &Git, spec: &RepositorySpec) -> Result<String, SeedError> {
    let dir = git.dir();
    let branch = match (&spec.default_branch, &spec.directory) {
        (Some(branch), _) => branch.clone(),
        (None, Some(directory)) if is_repository(directory) => head_of(directory).await,
        (None, _) => DEFAULT_BRANCH.to_owned(),
    };
    let branch = branch.as_str();
    let io = |source| SeedError::Io { path: dir.display().to_string(), source };
    tokio::fs::create_dir_all(dir).await.map_err(io)?;
    let initial = format!("--initial-branch={branch}");
    git.run(&["init", "--quiet", "--bare", &initial, "."]).await?;
    if let Some(directory) = &spec.directory {
        from_directory(git, directory, branch).await?;
    }
    if !spec.files.is_empty() {
        from_files(git, spec, branch).await?;
    }
    Ok(branch.to_owned())
}

fn is_repository(directory: &Path) -> bool {
    let bare = directory.join("HEAD").is_file() && directory.join("objects").is_dir();
    bare || directory.join(".git").exists()
}

/// The branch that is checked out there.
async fn head_of(directory: &Path) -> String {
    let git = Git::new(directory.to_owned());
    let head = git.run(&["symbolic-ref", "--short", "HEAD"]).await;
    head.unwrap_or_else(|_| DEFAULT_BRANCH.to_owned())
}

async fn from_directory(git: &Git, directory: &Path, branch: &str) -> Result<(), SeedError> {
    let path = directory.display().to_string();
    let io = |source| SeedError::Io { path: path.clone(), source };
    let directory = tokio::fs::canonicalize(directory).await.map_err(io)?;
    let text = directory.display().to_string();
    if is_repository(&directory) {
        let refs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        git.run(&["fetch", "--quiet", "--no-auto-gc", &text, refs[0], refs[1]]).await?;
        return Ok(());
    }
    let (git_dir, work_tree) =
        (format!("--git-dir={}", git.dir().display()), format!("--work-tree={text}"));
    git.run(&["-C", &text, &git_dir, &work_tree, "add", "--all", "--force", "."]).await?;
    let tree = git.run(&["write-tree"]).await?;
    commit(git, &tree, branch).await
}

async fn from_files(git: &Git, spec: &RepositorySpec, branch: &str) -> Result<(), SeedError> {
    for (path, file) in &spec.files {
        let odd = |part: &str| matches!(part, "" | "." | ".." | ".git");
        if path.split('/').any(odd) || path.contains(['\0', '\n', '\t']) {
            return Err(SeedError::Path(path.clone()));
        }
        let content = file.content().as_bytes();
        let blob = git.run_with(&["hash-object", "-w", "--stdin"], &[], content).await?;
        let mode = if file.executable() { "100755" } else { "100644" };
        let entry = format!("{mode},{blob},{path}");
        git.run(&["update-index", "--add", "--cacheinfo", &entry]).await?;
    }
    let tree = git.run(&["write-tree"]).await?;
    commit(git, &tree, branch).await
}

async fn commit(git: &Git, tree: &str, branch: &str) -> Result<(), SeedError> {
    let reference = format!("refs/heads/{branch}");
    let mut args = vec!["commit-tree", tree, "-m", "First commit"];
    let parent = git.branch(branch).await;
    if let Some(parent) = &parent {
        args.extend(["-p", parent.as_str()]);
    }
    let made = git.run_with(&args, AUTHOR, b"").await?;
    git.run(&["update-ref", &reference, &made]).await?;
    Ok(())
}
