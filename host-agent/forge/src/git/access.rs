//! What a git call is about, and whether its caller may make it.

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;

use super::{backend, lfs};
use crate::{
    auth::Caller,
    forge::Forge,
    model::{Repository, State},
    permissions::Level,
    reply::{self, Refusal, Reply},
};

/// Look or change, which is all that git knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Clone and fetch.
    Fetch,
    /// Push.
    Push,
}

/// A path below a repository that belongs to git or git-lfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitPath {
    /// Owner as written.
    pub owner: String,
    /// Name as written, without `.git`.
    pub name: String,
    /// What follows, without the leading `/`: `info/refs`, `git-upload-pack`, `info/lfs/...`.
    pub rest: String,
}

impl GitPath {
    /// Takes a decoded path apart; `None` when it is not one of git's.
    pub fn parse(segments: &[String]) -> Option<Self> {
        let [owner, name, rest @ ..] = segments else {
            return None;
        };
        let rest = rest.join("/");
        let gits = matches!(rest.as_str(), "info/refs" | "git-upload-pack" | "git-receive-pack")
            || rest.starts_with("info/lfs/");
        let name = name.strip_suffix(".git").unwrap_or(name).to_owned();
        gits.then(|| Self { owner: owner.clone(), name, rest })
    }

    /// What git wants here; `None` for an address that only older protocols used.
    pub fn intent(&self, method: &Method, query: Option<&str>) -> Option<Intent> {
        let get = method == Method::GET;
        match (self.rest.as_str(), query) {
            ("info/refs", Some("service=git-upload-pack")) if get => Some(Intent::Fetch),
            ("info/refs", Some("service=git-receive-pack")) if get => Some(Intent::Push),
            ("git-upload-pack", _) if method == Method::POST => Some(Intent::Fetch),
            ("git-receive-pack", _) if method == Method::POST => Some(Intent::Push),
            _ => None,
        }
    }
}

/// A git call that may be made.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Id of the repository.
    pub repo_id: u64,
    /// Whether workflow files may change.
    pub workflows: bool,
    /// `owner/name` as it is now, when it was asked for by a former name.
    pub moved_to: Option<String>,
}

/// How a git call goes on.
#[derive(Debug)]
pub enum Admission {
    /// Into a repository.
    Enter(Entry),
    /// Somewhere else, or nowhere.
    Answer(Box<Reply>),
}

/// Decides about a git call as GitHub does: 401 asks for credentials, 404 hides, 403 tells.
pub fn admit(
    forge: &Forge,
    caller: &Caller,
    path: &GitPath,
    (intent, query): (Intent, Option<&str>),
) -> Admission {
    if let Caller::Refused(refusal) = caller {
        return Admission::Answer(Box::new(refused(refusal)));
    }
    forge.store.read(|state| {
        let here = state.repository(&path.owner, &path.name);
        if let Some(repo) = here {
            return enter(state, caller, repo, intent);
        }
        match state.renamed_repository(&path.owner, &path.name) {
            // A client follows no redirect after it logged in: it would fail at its next step.
            Some(repo) if matches!(caller, Caller::Installation(_)) => {
                match enter(state, caller, repo, intent) {
                    Admission::Enter(entry) => {
                        Admission::Enter(Entry { moved_to: Some(state.full_name(repo)), ..entry })
                    }
                    answer @ Admission::Answer(_) => answer,
                }
            }
            Some(repo) if sees(state, caller, repo) => {
                // Without the query a client would ask the new name by the old protocol.
                let query = query.map(|query| format!("?{query}")).unwrap_or_default();
                let to = format!("/{}.git/{}{query}", state.full_name(repo), path.rest);
                let reply = reply::redirect(StatusCode::MOVED_PERMANENTLY, &to);
                Admission::Answer(Box::new(reply))
            }
            _ => hidden(caller),
        }
    })
}

fn sees(state: &State, caller: &Caller, repo: &Repository) -> bool {
    caller.may(state, repo, "metadata", Level::Read).is_ok()
}

fn enter(state: &State, caller: &Caller, repo: &Repository, intent: Intent) -> Admission {
    if !sees(state, caller, repo) {
        return hidden(caller);
    }
    let level = match intent {
        Intent::Fetch => Level::Read,
        Intent::Push => Level::Write,
    };
    let workflows = match caller {
        Caller::Installation(token) => token.permissions.allows("workflows", Level::Write),
        Caller::Anonymous | Caller::App | Caller::Refused(_) => false,
    };
    match caller.may(state, repo, "contents", level) {
        Ok(()) => Admission::Enter(Entry { repo_id: repo.id, workflows, moved_to: None }),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => {
            Admission::Answer(Box::new(ask_for_credentials("No anonymous write access.")))
        }
        Err(_) => Admission::Answer(Box::new(reply::text(
            StatusCode::FORBIDDEN,
            "Write access to repository not granted.",
        ))),
    }
}

/// The answer about a repository that the caller may not know of.
fn hidden(caller: &Caller) -> Admission {
    Admission::Answer(Box::new(match caller {
        Caller::Installation(_) => reply::text(StatusCode::NOT_FOUND, "Repository not found."),
        Caller::Anonymous | Caller::App | Caller::Refused(_) => {
            ask_for_credentials("Repository not found.")
        }
    }))
}

fn refused(refusal: &Refusal) -> Reply {
    if refusal.status == StatusCode::FORBIDDEN {
        return reply::text(StatusCode::FORBIDDEN, refusal.message.clone());
    }
    ask_for_credentials(
        "Invalid username or token. Password authentication is not supported for Git operations.",
    )
}

fn ask_for_credentials(why: &'static str) -> Reply {
    let mut reply = reply::text(StatusCode::UNAUTHORIZED, why);
    let challenge = HeaderValue::from_static("Basic realm=\"GitHub\"");
    reply.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    reply
}

/// Answers a call of git or git-lfs.
pub async fn serve(
    forge: &Forge,
    caller: &Caller,
    path: &GitPath,
    request: Request<Incoming>,
    scheme: &str,
) -> Reply {
    if let Some(rest) = path.rest.strip_prefix("info/lfs/") {
        return lfs::serve(forge, caller, (path, rest), request, scheme).await;
    }
    let Some(intent) = path.intent(request.method(), request.uri().query()) else {
        return backend::not_smart();
    };
    match admit(forge, caller, path, (intent, request.uri().query())) {
        Admission::Answer(reply) => *reply,
        Admission::Enter(entry) => backend::serve(forge, &entry, &path.rest, request).await,
    }
}

/// A header as text.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Option<GitPath> {
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        GitPath::parse(&segments)
    }

    #[test]
    fn git_paths_are_told_from_pages() {
        let path = parse("acme/web.git/info/refs").unwrap();
        assert_eq!((path.owner.as_str(), path.name.as_str()), ("acme", "web"));
        assert_eq!(parse("acme/web/git-upload-pack").unwrap().name, "web");
        assert!(parse("acme/web.git/info/lfs/objects/batch").is_some());
        for page in ["acme/web", "acme/web/HEAD", "acme/web.git/objects/info/packs", "acme"] {
            assert_eq!(parse(page), None, "{page}");
        }
    }

    #[test]
    fn only_the_smart_protocol_has_an_intent() {
        let path = parse("acme/web.git/info/refs").unwrap();
        assert_eq!(path.intent(&Method::GET, None), None);
        let push = path.intent(&Method::GET, Some("service=git-receive-pack"));
        assert_eq!(push, Some(Intent::Push));
    }
}
