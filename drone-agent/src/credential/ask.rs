//! From git's question to an answer: one round trip to the host agent where all is well.

use hatchery_protocol::RepoName;
use hatchery_protocol::wire::{TokenReply, problem};

use crate::client::{AskError, HostAgent, TokenAsk};
use crate::report::{self, Failure};

use super::request::{Authority, Request};
use super::{ancestors, answer, lfs, workflows};

/// What git is told.
pub(super) enum Outcome {
    /// Nothing: another helper's business.
    StepAside,
    /// These attributes.
    Answer(String),
    /// To stop, and the person why.
    Refuse(Failure),
}

/// Answers `request`.
pub(super) fn for_credential(host_agent: &HostAgent, request: &Request) -> Outcome {
    let Some(authority) = https_authority(request) else {
        return trailing_dot(host_agent, request).unwrap_or(Outcome::StepAside);
    };
    let repos = match request.repo() {
        Ok(repo) => repo.into_iter().collect(),
        Err(error) => {
            let failure = Failure::new(error.to_string())
                .hint("the drone's credentials are for repositories at HOST/OWNER/REPO");
            return refuse_if_ours(host_agent, &authority, failure);
        }
    };
    if let Some(hash) = &request.rejected {
        // A throttled or failed report is no reason to give up: the next token may be another.
        let _ = host_agent.token_rejected(hash.clone());
    }
    let ancestors = ancestors::all();
    let long = lfs::is_asking(&ancestors).then_some(lfs::MIN_VALID);
    let ask = TokenAsk { repos, min_valid: long };
    match host_agent.token(&ask) {
        Ok(reply) if is_for(host_agent, &authority, &reply) => {
            // Once for each push: not again where the forge took the token not at once.
            if request.rejected.is_none() && workflows::are_pushed_in_vain(&reply, &ancestors) {
                tell_how_to_push_workflows(host_agent, ask.repos.first());
            }
            Outcome::Answer(answer::text(&reply, request))
        }
        Ok(_) | Err(AskError::Absent { .. }) => Outcome::StepAside,
        Err(AskError::Refused(problem)) => {
            let hint = hint_for(&problem.kind);
            let failure = Failure::from(AskError::Refused(problem)).hint(hint);
            refuse_if_ours(host_agent, &authority, failure)
        }
        Err(error) => Outcome::Refuse(error.into()),
    }
}

/// On stderr, which git leaves to the person. Without the drone's name there is no command to show.
fn tell_how_to_push_workflows(host_agent: &HostAgent, repo: Option<&RepoName>) {
    if let Ok(identity) = host_agent.identity() {
        report::note(&workflows::hint(&identity, repo));
    }
}

/// The next step that the host agent's own words do not hold.
fn hint_for(kind: &str) -> &'static str {
    match kind {
        problem::NOT_GRANTED => "`drone-agent identity` lists what this drone was granted",
        problem::FORGE => "`drone-agent doctor` shows whether the rest is in order",
        _ => "`drone-agent doctor` looks for the cause",
    }
}

/// Where the request is for, if https and a host a forge can have. Plain http never gets a token.
fn https_authority(request: &Request) -> Option<Authority> {
    let https = request.protocol.as_deref() == Some("https");
    request.host.as_deref().filter(|_| https).and_then(Authority::parse)
}

/// `github.com.` is the forge by DNS but not by any rule that compares names: refused, rather
/// than left to a helper that might take it for something else.
fn trailing_dot(host_agent: &HostAgent, request: &Request) -> Option<Outcome> {
    let host = request.host.as_deref()?;
    let authority = Authority::parse(host.replacen(".:", ":", 1).trim_end_matches('.'))?;
    let failure = Failure::new(format!("{host:?} is not how the forge is called"))
        .hint(format!("use {}", authority.host));
    let dotted = host.ends_with('.') || host.contains(".:");
    dotted.then(|| refuse_if_ours(host_agent, &authority, failure))
}

/// Whether the token is for where git wants to go. A port of its own is only in the identity.
fn is_for(host_agent: &HostAgent, authority: &Authority, reply: &TokenReply) -> bool {
    reply.host == authority.host
        && (authority.has_https_port() || is_ours(host_agent, authority).unwrap_or(false))
}

/// Whether `authority` is the drone's forge; `None`: the host agent does not say.
fn is_ours(host_agent: &HostAgent, authority: &Authority) -> Option<bool> {
    let identity = host_agent.identity().ok()?;
    let ours = identity.git_url.strip_prefix("https://").and_then(Authority::parse);
    Some(ours.as_ref() == Some(authority))
}

/// Ends git with `failure` where the drone's forge was meant, and keeps out of anything else.
fn refuse_if_ours(host_agent: &HostAgent, authority: &Authority, failure: Failure) -> Outcome {
    match is_ours(host_agent, authority) {
        Some(false) => Outcome::StepAside,
        None if !host_agent.is_expected() => Outcome::StepAside,
        Some(true) | None => Outcome::Refuse(failure),
    }
}
