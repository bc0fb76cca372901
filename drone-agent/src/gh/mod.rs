//! `gh`: the real one, with a token for the repository that the call is about.
//!
//! The token goes into the environment of the image that this process becomes, and nowhere else:
//! exit code, signals, stdin and terminal are the real gh's own. Without a drone's socket the
//! real gh runs as if this were not here.

mod auth;
mod call;
mod checkout;
pub(crate) mod program;
mod remote;
mod target;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use hatchery_protocol::RepoName;
use hatchery_protocol::wire::problem;

use crate::client::{AskError, HostAgent, TokenAsk};
use crate::report::{self, Failure};

use auth::Auth;
use call::Call;
use checkout::Checkout;
use target::{Surroundings, Target};

/// Seconds that a call which waits for others to finish needs its token for.
const LONG_CALL: u64 = 1800;

/// Becomes the real gh with `args`, or answers in its place.
///
/// # Errors
/// Refusals, a host agent that does not answer, no real gh. All of them exit with 1, gh's own
/// code for an error, but for the missing gh (127).
pub fn run(args: Vec<OsString>) -> Result<ExitCode, Failure> {
    let call = Call::parse(&args);
    let host_agent = HostAgent::of_this_drone();
    if call.is_offline() || !host_agent.is_expected() {
        return Err(program::become_gh(&args, None));
    }
    match Auth::of(&call) {
        Auth::None => {}
        Auth::Status => return auth::status(&host_agent.identity().map_err(failed)?),
        Auth::GitCredential => return crate::credential::run(args.get(2..).unwrap_or_default()),
        Auth::Token => auth::to_a_pipe_only()?,
        Auth::Refused(verb) => return Err(auth::refusal(&verb)),
    }
    let identity = host_agent.identity().map_err(failed)?;
    let surroundings = Surroundings {
        repo: env::var("GH_REPO").ok().filter(|repo| !repo.is_empty()),
        host: env::var("GH_HOST").ok().filter(|host| !host.is_empty()),
        checkout: Checkout::here(),
    };
    let repos = match Target::of(&call, &surroundings, &identity)? {
        Target::Elsewhere => return Err(program::become_gh(&args, None)),
        Target::Repos(repos) => repos,
    };
    if let Some(note) = of_one_owner(&call, &repos) {
        report::note(&note);
    }
    let ask = TokenAsk { repos, min_valid: call.is_long().then_some(LONG_CALL) };
    let reply = host_agent.token(&ask).map_err(failed)?;
    Err(program::become_gh(&args, Some(&reply)))
}

/// Said before `gh pr create` runs across two repositories of one owner. gh (2.96 and before) names
/// the head by its owner alone, which GitHub takes for the base itself.
/// Source: cli/cli issues 6462 and 10093; GitHub REST, "Create a pull request": `head_repo`.
fn of_one_owner(call: &Call, repos: &[RepoName]) -> Option<String> {
    let [base, head] = repos else { return None };
    let one = call.command().0 == "pr" && base.owner().eq_ignore_ascii_case(head.owner());
    one.then(|| {
        format!(
            "note: {base} and {head} have one owner, and gh cannot say which of them the branch is \
             in. Where \"Head ref must be a branch\" comes back: gh api repos/{base}/pulls \
             -f head_repo={head} -f head=BRANCH -f base=BRANCH -f title=TITLE"
        )
    })
}

/// A refusal as gh would exit with it, and the way on.
fn failed(error: AskError) -> Failure {
    let hint = match &error {
        AskError::Refused(problem) if problem.kind == problem::NOT_GRANTED => {
            Some("`drone-agent identity` lists what this drone was granted; gh was not run")
        }
        AskError::Refused(problem) if problem.kind == problem::MANY_INSTALLATIONS => Some(
            "no token spans two installations of the App: push the branch to the repository that \
             the pull request is for; gh was not run",
        ),
        _ => None,
    };
    let failure = Failure::from(error).code(report::code::FAILED);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
