//! The root of mutations: the same operations as by REST.

use serde_json::Value;

use super::{
    Context,
    ids::NodeId,
    issue,
    object::{Args, FieldError, Out, Source},
    pull,
};
use crate::{
    issues,
    model::OpenState,
    permissions::Level,
    pulls::{self, MergeRequest, Method, NewPull},
    reply::Refusal,
    rest::pulls::{author, parse_event},
};

/// Resolves a field of `Mutation`.
pub async fn root(context: &Context<'_>, field: &str, args: &Args) -> Result<Out, FieldError> {
    let input = Input { context, input: args.get("input").cloned().unwrap_or_default() };
    match field {
        "createPullRequest" => input.create_pull().await,
        "updatePullRequest" => input.update_pull(),
        "closePullRequest" => input.pull_state(OpenState::Closed),
        "reopenPullRequest" => input.pull_state(OpenState::Open),
        "markPullRequestReadyForReview" => input.draft(false),
        "convertPullRequestToDraft" => input.draft(true),
        "mergePullRequest" => input.merge().await,
        "addPullRequestReview" => input.review(),
        "addComment" => input.comment(),
        "createIssue" => input.create_issue(),
        "updateIssue" => input.update_issue(),
        "closeIssue" => input.issue_state(OpenState::Closed),
        "reopenIssue" => input.issue_state(OpenState::Open),
        _ => Ok(Out::null()),
    }
}

/// The `input` of a mutation, in its context.
struct Input<'a> {
    context: &'a Context<'a>,
    input: Value,
}

impl Input<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.input[name].as_str()
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    fn id(&self, name: &str) -> Result<NodeId, FieldError> {
        let text = self.text(name).unwrap_or_default();
        NodeId::parse(text).ok_or_else(|| missing(text))
    }

    fn repository(&self) -> Result<u64, FieldError> {
        match self.id("repositoryId")? {
            NodeId::Repository(id) => Ok(id),
            _ => Err(missing(self.text("repositoryId").unwrap_or_default())),
        }
    }

    /// The pull request that `pullRequestId` names, if the caller may write there.
    fn pull(&self) -> Result<(u64, u64), FieldError> {
        match self.id("pullRequestId")? {
            NodeId::Pull(repo, number) => {
                self.may(repo, "pull_requests")?;
                Ok((repo, number))
            }
            _ => Err(missing(self.text("pullRequestId").unwrap_or_default())),
        }
    }

    fn issue(&self, name: &str) -> Result<(u64, u64), FieldError> {
        match self.id(name)? {
            NodeId::Issue(repo, number) => {
                self.may(repo, "issues")?;
                Ok((repo, number))
            }
            _ => Err(missing(self.text(name).unwrap_or_default())),
        }
    }

    fn may(&self, repo: u64, permission: &str) -> Result<(), FieldError> {
        self.context.with_repo(repo, (permission, Level::Write), |_, _| ())
    }

    fn author(&self) -> Result<u64, FieldError> {
        Ok(author(self.context.forge, self.context.request)?)
    }

    fn payload(&self, type_name: &'static str, name: &'static str, made: Out) -> Out {
        let echo = Out::leaf(self.owned("clientMutationId"));
        Out::fields(type_name, [("clientMutationId", echo), (name, made)])
    }

    fn pull_payload(&self, (repo, number): (u64, u64)) -> Out {
        let pull = Out::object("PullRequest", Source::Pull(repo, number));
        self.payload("PullRequestPayload", "pullRequest", pull)
    }

    fn issue_payload(&self, (repo, number): (u64, u64)) -> Out {
        self.payload("IssuePayload", "issue", Out::object("Issue", Source::Issue(repo, number)))
    }

    async fn create_pull(&self) -> Result<Out, FieldError> {
        let repo = self.repository()?;
        self.may(repo, "pull_requests")?;
        let head_repo = match self.text("headRepositoryId") {
            None => None,
            Some(_) => match self.id("headRepositoryId")? {
                NodeId::Repository(id) => {
                    self.context.with_repo(id, ("contents", Level::Read), |_, _| ())?;
                    Some(id)
                }
                _ => return Err(missing("headRepositoryId")),
            },
        };
        let new = NewPull {
            title: self.owned("title").unwrap_or_default(),
            body: self.owned("body").unwrap_or_default(),
            head: self.owned("headRefName").unwrap_or_default(),
            head_repo,
            base: self.owned("baseRefName").unwrap_or_default(),
            draft: self.input["draft"].as_bool().unwrap_or_default(),
        };
        let opened = pulls::open(self.context.forge, repo, self.author()?, &new).await;
        let number = opened.map_err(|refusal| no_head(refusal, &new))?;
        Ok(self.pull_payload((repo, number)))
    }

    fn update_pull(&self) -> Result<Out, FieldError> {
        let (repo, number) = self.pull()?;
        let base = self.owned("baseRefName");
        self.edit(repo, number)?;
        pulls::change(self.context.forge, repo, number, |pull| {
            pull.base = base.unwrap_or_else(|| pull.base.clone());
            Ok(())
        })?;
        Ok(self.pull_payload((repo, number)))
    }

    /// Title, body, labels and assignees, of those that are given.
    fn edit(&self, repo: u64, number: u64) -> Result<(), FieldError> {
        let (title, body) = (self.owned("title"), self.owned("body"));
        let (labels, assignees) = (self.labels(), self.assignees());
        issues::change(self.context.forge, repo, number, |issue| {
            issue.title = title.unwrap_or_else(|| issue.title.clone());
            issue.body = body.unwrap_or_else(|| issue.body.clone());
            issue.labels = labels.unwrap_or_else(|| issue.labels.clone());
            issue.assignees = assignees.unwrap_or_else(|| issue.assignees.clone());
        })?;
        Ok(())
    }

    fn ids(&self, name: &str) -> Option<Vec<NodeId>> {
        let ids = self.input[name].as_array()?.iter();
        Some(ids.filter_map(|id| NodeId::parse(id.as_str()?)).collect())
    }

    fn labels(&self) -> Option<Vec<String>> {
        let ids = self.ids("labelIds")?.into_iter();
        Some(
            ids.filter_map(|id| match id {
                NodeId::Label(_, name) => Some(name),
                _ => None,
            })
            .collect(),
        )
    }

    fn assignees(&self) -> Option<Vec<String>> {
        let ids = self.ids("assigneeIds")?.into_iter();
        Some(self.context.forge.store.read(|state| {
            ids.filter_map(|id| match id {
                NodeId::Account(id) => Some(state.login(id).to_owned()),
                _ => None,
            })
            .collect()
        }))
    }

    fn pull_state(&self, state: OpenState) -> Result<Out, FieldError> {
        let (repo, number) = self.pull()?;
        pulls::set_state(self.context.forge, repo, number, state)?;
        Ok(self.pull_payload((repo, number)))
    }

    fn draft(&self, draft: bool) -> Result<Out, FieldError> {
        let (repo, number) = self.pull()?;
        pulls::change(self.context.forge, repo, number, |pull| {
            pull.draft = draft;
            Ok(())
        })?;
        Ok(self.pull_payload((repo, number)))
    }

    async fn merge(&self) -> Result<Out, FieldError> {
        let at = self.pull()?;
        self.may(at.0, "contents")?;
        let request = MergeRequest {
            method: Method::parse(&self.input["mergeMethod"])?,
            title: self.owned("commitHeadline").filter(|title| !title.is_empty()),
            message: self.owned("commitBody"),
            expected_head: self.owned("expectedHeadOid"),
        };
        pulls::merge(self.context.forge, at, self.author()?, &request).await?;
        Ok(self.pull_payload(at))
    }

    fn review(&self) -> Result<Out, FieldError> {
        let at = self.pull()?;
        let verdict = parse_event(self.text("event").or(Some("COMMENT")))?;
        let body = self.text("body").unwrap_or_default();
        let id = pulls::review(self.context.forge, at, self.author()?, (verdict, body))?;
        let made =
            self.context.with_repo(at.0, ("pull_requests", Level::Read), |state, repo| {
                let review = repo.pull(at.1)?.reviews.iter().find(|review| review.id == id)?;
                let page = format!("/{}/pull/{}", state.full_name(repo), at.1);
                Some(pull::review(state, repo, review, &self.context.request.html_url(&page)))
            })?;
        let made = Out::or_null(made);
        Ok(self.payload("AddPullRequestReviewPayload", "pullRequestReview", made))
    }

    fn comment(&self) -> Result<Out, FieldError> {
        let (permission, page, at) = match self.id("subjectId")? {
            NodeId::Pull(repo, number) => ("pull_requests", "pull", (repo, number)),
            NodeId::Issue(repo, number) => ("issues", "issues", (repo, number)),
            _ => return Err(missing(self.text("subjectId").unwrap_or_default())),
        };
        self.may(at.0, permission)?;
        let body = self.text("body").filter(|body| !body.is_empty());
        let body = body.ok_or_else(|| FieldError::unprocessable("Body cannot be blank"))?;
        let id = issues::comment(self.context.forge, at, self.author()?, body)?;
        let made = self.context.with_repo(at.0, (permission, Level::Read), |state, repo| {
            let comments = &issues::find(repo, at.1)?.comments;
            let comment = comments.iter().find(|comment| comment.id == id)?;
            let page = format!("/{}/{page}/{}", state.full_name(repo), at.1);
            Some(issue::comment(state, comment, &self.context.request.html_url(&page)))
        })?;
        let edge = Out::fields(
            "IssueCommentEdge",
            [("cursor", Out::leaf(id.to_string())), ("node", Out::or_null(made))],
        );
        Ok(self.payload("AddCommentPayload", "commentEdge", edge))
    }

    fn create_issue(&self) -> Result<Out, FieldError> {
        let repo = self.repository()?;
        self.may(repo, "issues")?;
        let title = self.text("title").filter(|title| !title.is_empty());
        let title = title.ok_or_else(|| FieldError::unprocessable("Title can't be blank"))?;
        let text = (title, self.text("body").unwrap_or_default());
        let labels = self.labels().unwrap_or_default();
        let number = issues::open(self.context.forge, repo, self.author()?, text, labels)?;
        Ok(self.issue_payload((repo, number)))
    }

    fn update_issue(&self) -> Result<Out, FieldError> {
        let (repo, number) = self.issue("id")?;
        self.edit(repo, number)?;
        match self.text("state") {
            Some("CLOSED") => {
                issues::set_state(self.context.forge, repo, number, OpenState::Closed)?;
            }
            Some("OPEN") => issues::set_state(self.context.forge, repo, number, OpenState::Open)?,
            _ => {}
        }
        Ok(self.issue_payload((repo, number)))
    }

    fn issue_state(&self, state: OpenState) -> Result<Out, FieldError> {
        let (repo, number) = self.issue("issueId")?;
        issues::set_state(self.context.forge, repo, number, state)?;
        Ok(self.issue_payload((repo, number)))
    }
}

/// What GitHub says by GraphQL where REST has `head: invalid`.
fn no_head(refusal: Refusal, new: &NewPull) -> FieldError {
    let field = refusal.errors.as_ref().and_then(|errors| errors[0]["field"].as_str());
    if field != Some("head") {
        return refusal.into();
    }
    FieldError::unprocessable(format!(
        "Head sha can't be blank, Base sha can't be blank, No commits between {} and {}, \
         Head ref must be a branch",
        new.base, new.head
    ))
}

fn missing(id: &str) -> FieldError {
    FieldError::not_found(format!("Could not resolve to a node with the global id of '{id}'"))
}
