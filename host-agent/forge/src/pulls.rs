//! What can be done to a pull request, by REST and GraphQL alike.

use serde_json::Value;

use crate::{
    forge::Forge,
    git::{Git, GitError, merge},
    issues::fresh_issue,
    model::{Merge, OpenState, Pull, Repository, Review, ReviewState, State},
    reply::Refusal,
};

/// A pull request to open.
#[derive(Debug, Clone, Default)]
pub struct NewPull {
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// `branch` or `owner:branch`.
    pub head: String,
    /// Repository of the head where it is named: GraphQL's `headRepositoryId`, REST's `head_repo`.
    pub head_repo: Option<u64>,
    /// Branch to merge into.
    pub base: String,
    /// Not ready for review.
    pub draft: bool,
}

/// How a merge is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A merge commit.
    Merge,
    /// One commit with everything.
    Squash,
    /// The head's commits, on top of the base.
    Rebase,
}

impl Method {
    /// Reads `merge`, `SQUASH`, ...; absent is a merge commit.
    ///
    /// # Errors
    /// 422 for anything else.
    pub fn parse(value: &Value) -> Result<Self, Refusal> {
        match value.as_str().map(str::to_ascii_lowercase).as_deref() {
            None | Some("merge") => Ok(Self::Merge),
            Some("squash") => Ok(Self::Squash),
            Some("rebase") => Ok(Self::Rebase),
            Some(_) => Err(Refusal::unprocessable("Invalid merge method")),
        }
    }
}

/// What a merge shall say, where it is not the usual.
#[derive(Debug, Clone)]
pub struct MergeRequest {
    /// How.
    pub method: Method,
    /// First line of the commit's message.
    pub title: Option<String>,
    /// The rest of it.
    pub message: Option<String>,
    /// Tip that the head must have.
    pub expected_head: Option<String>,
}

fn internal(error: GitError) -> Refusal {
    Refusal::internal(&error)
}

/// Notes the tips of the heads of open pull requests, which pushes may have moved.
///
/// # Errors
/// 404 when the repository is gone.
pub async fn refresh(forge: &Forge, repo_id: u64) -> Result<(), Refusal> {
    let open: Vec<(u64, u64, String, String)> = forge.with_repo(repo_id, |_, repo| {
        let open = repo.pulls.iter().filter(|pull| pull.issue.state == OpenState::Open);
        open.map(|pull| {
            let from = pull.head_repo.unwrap_or(repo_id);
            (pull.issue.number, from, pull.head.clone(), pull.head_sha.clone())
        })
        .collect()
    })?;
    for (number, from, head, known) in open {
        let Some(tip) = forge.git(from).branch(&head).await.filter(|tip| *tip != known) else {
            continue;
        };
        offer(forge, repo_id, number, (from, &head)).await?;
        forge.change_repo(repo_id, |repo| {
            if let Some(pull) = repo.pull_mut(number) {
                pull.head_sha = tip;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Points `refs/pull/<number>/head` to the head, whose commits come along.
async fn offer(
    forge: &Forge,
    repo_id: u64,
    number: u64,
    (from, head): (u64, &str),
) -> Result<(), Refusal> {
    let refspec = format!("+refs/heads/{head}:refs/pull/{number}/head");
    let source = forge.git_dir(from).display().to_string();
    let git = forge.git(repo_id);
    git.run(&["fetch", "--quiet", "--no-auto-gc", &source, &refspec]).await.map_err(internal)?;
    Ok(())
}

/// Opens a pull request and gives its number.
///
/// # Errors
/// 422 for branches that are not there or do not differ, and for a pull request that is open.
pub async fn open(
    forge: &Forge,
    repo_id: u64,
    author_id: u64,
    new: &NewPull,
) -> Result<u64, Refusal> {
    let (from, head) = resolve_head(forge, repo_id, new)?;
    let invalid = |field| Refusal::validation("PullRequest", field, "invalid", "");
    let head_sha = forge.git(from).branch(&head).await.ok_or_else(|| invalid("head"))?;
    let git = forge.git(repo_id);
    let base_sha = git.branch(&new.base).await.ok_or_else(|| invalid("base"))?;
    let number = forge.change_repo(repo_id, |repo| {
        if repo.open_pull(&head, &new.base).is_some_and(|pull| pull.head_repo == other(from, repo))
        {
            return Err(custom(format!("A pull request already exists for {head}.")));
        }
        Ok(repo.claim_number())
    })?;
    offer(forge, repo_id, number, (from, &head)).await?;
    if commits_between(&git, &base_sha, &head_sha).await.map_err(internal)?.is_empty() {
        return Err(custom(format!("No commits between {} and {head}", new.base)));
    }
    let (id, now) = (forge.fresh_id(), forge.clock.now());
    forge.change_repo(repo_id, |repo| {
        let issue = fresh_issue((id, number), author_id, (&new.title, &new.body), now);
        repo.pulls.push(Pull {
            issue,
            base: new.base.clone(),
            head,
            head_repo: other(from, repo),
            head_sha,
            base_sha,
            draft: new.draft,
            reviews: Vec::new(),
            requested_reviewers: Vec::new(),
            merge: None,
        });
        Ok(number)
    })
}

fn other(from: u64, repo: &Repository) -> Option<u64> {
    (from != repo.id).then_some(from)
}

fn custom(message: String) -> Refusal {
    Refusal::validation("PullRequest", "", "custom", &message)
}

/// The repository and the branch that `owner:branch` names.
fn resolve_head(forge: &Forge, repo_id: u64, new: &NewPull) -> Result<(u64, String), Refusal> {
    let (owner, branch) = match new.head.split_once(':') {
        Some((owner, branch)) => (Some(owner), branch),
        None => (None, new.head.as_str()),
    };
    let from = forge.store.read(|state| head_repository(state, repo_id, (new.head_repo, owner)));
    let invalid = || Refusal::validation("PullRequest", "head", "invalid", "");
    Ok((from.ok_or_else(invalid)?, branch.to_owned()))
}

/// The head's repository: of the base's network, and of that owner if one is given. An owner alone
/// means the base where it is his: of two repositories of one owner, only name or id tells them
/// apart (GitHub REST, "Create a pull request": `head_repo`).
fn head_repository(
    state: &State,
    base: u64,
    (named, owner): (Option<u64>, Option<&str>),
) -> Option<u64> {
    let fits = |id: u64| {
        let repo = state.repositories.get(&id)?;
        let login = state.login(repo.owner_id);
        let owned = owner.is_none_or(|owner| login.eq_ignore_ascii_case(owner));
        (owned && network(state, id) == network(state, base)).then_some(id)
    };
    match named {
        Some(id) => fits(id),
        None => fits(base).or_else(|| state.repositories.keys().copied().find_map(fits)),
    }
}

/// The repository that all forks of a network come from.
fn network(state: &State, repo_id: u64) -> u64 {
    let mut id = repo_id;
    // A fork is younger than its origin, so this ends.
    while let Some(origin) = state.repositories.get(&id).and_then(|repo| repo.fork_of) {
        id = origin;
    }
    id
}

/// Commits of `head` that `base` has not, oldest first.
///
/// # Errors
/// When git fails.
pub async fn commits_between(git: &Git, base: &str, head: &str) -> Result<Vec<String>, GitError> {
    let range = format!("{base}..{head}");
    let list = git.run(&["rev-list", "--reverse", "--end-of-options", &range]).await?;
    Ok(list.lines().map(str::to_owned).collect())
}

/// Closes or opens again.
///
/// # Errors
/// 422 for a merged one.
pub fn set_state(
    forge: &Forge,
    repo_id: u64,
    number: u64,
    state: OpenState,
) -> Result<(), Refusal> {
    let now = forge.clock.now();
    change(forge, repo_id, number, |pull| {
        if pull.merge.is_some() {
            return Err(custom("A merged pull request cannot change its state".to_owned()));
        }
        pull.issue.state = state;
        pull.issue.closed_at = (state == OpenState::Closed).then_some(now);
        Ok(())
    })
}

/// Changes a pull request and notes when.
///
/// # Errors
/// 404 for an unknown number, and what `edit` refuses.
pub fn change<T>(
    forge: &Forge,
    repo_id: u64,
    number: u64,
    edit: impl FnOnce(&mut Pull) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let now = forge.clock.now();
    forge.change_repo(repo_id, |repo| {
        let pull = repo.pull_mut(number).ok_or_else(Refusal::not_found)?;
        pull.issue.updated_at = now;
        edit(pull)
    })
}

/// Adds a review and gives its id.
///
/// # Errors
/// 404 for an unknown number.
pub fn review(
    forge: &Forge,
    (repo_id, number): (u64, u64),
    author_id: u64,
    (state, body): (ReviewState, &str),
) -> Result<u64, Refusal> {
    let (id, now) = (forge.fresh_id(), forge.clock.now());
    change(forge, repo_id, number, |pull| {
        if author_id == pull.issue.author_id && state != ReviewState::Commented {
            let what =
                if state == ReviewState::Approved { "approve" } else { "request changes on" };
            return Err(Refusal::unprocessable(format!("Can not {what} your own pull request")));
        }
        pull.reviews.push(Review {
            id,
            author_id,
            body: body.to_owned(),
            state,
            commit: pull.head_sha.clone(),
            submitted_at: now,
        });
        Ok(id)
    })
}

/// Merges in the bare repository and gives the new commit.
///
/// # Errors
/// 405 when it is not open, a draft, or in conflict; 409 when the head has moved.
pub async fn merge(
    forge: &Forge,
    (repo_id, number): (u64, u64),
    by: u64,
    request: &MergeRequest,
) -> Result<String, Refusal> {
    refresh(forge, repo_id).await?;
    let (pull, usual_title) = forge
        .with_repo(repo_id, |state, repo| {
            repo.pull(number).map(|pull| (pull.clone(), merge_title(state, repo, pull)))
        })?
        .ok_or_else(Refusal::not_found)?;
    check_mergeable(&pull, request)?;
    let git = forge.git(repo_id);
    let base = git.branch(&pull.base).await.ok_or_else(Refusal::not_found)?;
    let message = message(&pull, usual_title, request);
    let (ends, text) = ((base.as_str(), pull.head_sha.as_str()), (&*message, &identity(forge, by)));
    let made = merge::make(&git, request.method, ends, text).await.map_err(internal)?;
    let made = made.ok_or_else(|| not_mergeable("Pull Request has merge conflicts"))?;
    let reference = format!("refs/heads/{}", pull.base);
    git.run(&["update-ref", &reference, &made, &base]).await.map_err(internal)?;
    let now = forge.clock.now();
    change(forge, repo_id, number, |pull| {
        pull.issue.state = OpenState::Closed;
        pull.issue.closed_at = Some(now);
        pull.merge = Some(Merge { commit: made.clone(), by, at: now });
        Ok(made)
    })
}

fn check_mergeable(pull: &Pull, request: &MergeRequest) -> Result<(), Refusal> {
    if pull.issue.state != OpenState::Open || pull.draft {
        return Err(not_mergeable("Pull Request is not mergeable"));
    }
    if request.expected_head.as_ref().is_some_and(|expected| *expected != pull.head_sha) {
        let message = "Head branch was modified. Review and try the merge again.";
        return Err(Refusal::new(http::StatusCode::CONFLICT, message));
    }
    Ok(())
}

/// First line of a merge commit when nobody gives another.
pub fn merge_title(state: &State, repo: &Repository, pull: &Pull) -> String {
    let head_repo = pull.head_repo.and_then(|id| state.repositories.get(&id)).unwrap_or(repo);
    let owner = state.login(head_repo.owner_id);
    format!("Merge pull request #{} from {owner}/{}", pull.issue.number, pull.head)
}

fn message(pull: &Pull, usual_title: String, request: &MergeRequest) -> String {
    let issue = &pull.issue;
    let (title, body) = match request.method {
        Method::Merge => (usual_title, &issue.title),
        Method::Squash | Method::Rebase => {
            (format!("{} (#{})", issue.title, issue.number), &issue.body)
        }
    };
    let title = request.title.as_ref().unwrap_or(&title);
    let body = request.message.as_ref().unwrap_or(body);
    format!("{title}\n\n{body}")
}

fn not_mergeable(message: &str) -> Refusal {
    Refusal::new(http::StatusCode::METHOD_NOT_ALLOWED, message)
}

/// Name and address that an account's commits have.
fn identity(forge: &Forge, account_id: u64) -> (String, String) {
    let login = forge.store.read(|state| state.login(account_id).to_owned());
    let mail = format!("{account_id}+{login}@users.noreply.github.com");
    (login, mail)
}
