//! Which repositories a gh call needs a token for. Whether they were granted is the host agent's
//! to say: it knows of renames.

use hatchery_protocol::wire::Identity;
use hatchery_protocol::{ForgeHost, RepoId, RepoName};

use crate::report::Failure;

use super::call::Call;
use super::checkout::{Checkout, Remote};
use super::remote;

/// What surrounds a call.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// `GH_REPO`.
    pub(super) repo: Option<String>,
    /// `GH_HOST`.
    pub(super) host: Option<String>,
    pub(super) checkout: Checkout,
}

/// What a token has to open.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Nothing of this drone's forge: gh runs with what the environment has.
    Elsewhere,
    /// These, the first being the one that the call is about.
    Repos(Vec<RepoName>),
}

impl Target {
    /// The target of `call`: what its arguments name, else `GH_REPO`, else the checkout's remote,
    /// else the drone's own repository.
    ///
    /// # Errors
    /// A repository that cannot be read as one.
    pub(super) fn of(
        call: &Call,
        around: &Surroundings,
        identity: &Identity,
    ) -> Result<Self, Failure> {
        let forge = &identity.forge;
        let host = call.host.as_ref().or(around.host.as_ref());
        if host.is_some_and(|host| !host.eq_ignore_ascii_case(forge.as_str())) {
            return Ok(Self::Elsewhere);
        }
        // gh gives the token of an Enterprise host to whatever host an address names. What is
        // searched for is no address.
        let searches = call.command().0 == "search";
        if !searches && call.words.iter().any(|word| leads_elsewhere(word, forge)) {
            return Ok(Self::Elsewhere);
        }
        let base = match explicit(call, around, forge)? {
            Some(repo) if repo.host != *forge => return Ok(Self::Elsewhere),
            Some(repo) => repo.name,
            None if searches => identity.repo.clone(),
            None => {
                of_checkout(&around.checkout, identity).unwrap_or_else(|| identity.repo.clone())
            }
        };
        let head = match call.command() {
            ("pr", "create" | "new") => head_of(call, &around.checkout, identity, &base),
            ("api", _) => call.head_repo.as_deref().and_then(|name| beside(name, &base)),
            _ => None,
        };
        let mut repos = vec![base];
        repos.extend(head.filter(|head| !repos.contains(head)));
        Ok(Self::Repos(repos))
    }
}

/// The repository that the arguments or `GH_REPO` name.
fn explicit(
    call: &Call,
    around: &Surroundings,
    forge: &ForgeHost,
) -> Result<Option<RepoId>, Failure> {
    let of_word = call.named().and_then(|word| match word.starts_with("https://") {
        true => remote::of_page(word),
        false => RepoId::parse(word, forge).ok(),
    });
    let endpoint = call.words.get(1).filter(|_| call.command().0 == "api");
    let of_api = endpoint.and_then(|endpoint| of_endpoint(endpoint, forge));
    if let Some(repo) = of_word.or(of_api) {
        return Ok(Some(repo));
    }
    if call.command().0 == "search" {
        return Ok(None); // there -R narrows a search
    }
    let Some(text) = call.repo.as_ref().or(around.repo.as_ref()) else { return Ok(None) };
    match RepoId::parse(text, forge) {
        Ok(repo) => Ok(Some(repo)),
        Err(error) => remote::parse(text).map(Some).ok_or_else(|| {
            Failure::new(format!("no repository to get a token for: {error}"))
                .hint("name it [HOST/]OWNER/REPO; gh was not run")
        }),
    }
}

/// Whether `word` is an address, and not one of the forge's by https or ssh.
fn leads_elsewhere(word: &str, forge: &ForgeHost) -> bool {
    let Some((scheme, rest)) = word.split_once("://") else { return false };
    let port = match scheme {
        "https" => ":443",
        "ssh" | "git+ssh" => ":22",
        _ => return true,
    };
    // A `\` ends the host for some readers.
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.strip_suffix(port).unwrap_or(host);
    let api = host.strip_prefix("api.").unwrap_or(host);
    ![host, api].iter().any(|host| host.eq_ignore_ascii_case(forge.as_str()))
}

/// The repository in an argument of `gh api`: `repos/{owner}/{repo}/...` with or without a `/` in
/// front, or the whole address. gh's own placeholders (`{owner}`) are no names: `None`.
fn of_endpoint(endpoint: &str, forge: &ForgeHost) -> Option<RepoId> {
    let (host, path) = match endpoint.strip_prefix("https://") {
        Some(rest) => {
            let (authority, path) = rest.split_once('/')?;
            let host = authority.strip_prefix("api.").unwrap_or(authority);
            (host.parse().ok()?, path.strip_prefix("api/v3/").unwrap_or(path))
        }
        None => (forge.clone(), endpoint.trim_start_matches('/')),
    };
    let mut parts = path.strip_prefix("repos/")?.split(['/', '?', '#']);
    let name = format!("{}/{}", parts.next()?, parts.next()?).parse().ok()?;
    Some(RepoId { host, name })
}

/// The checkout's repository as gh picks it: what `gh repo set-default` noted, else the first of
/// `upstream`, `github`, `origin` and the others; of these one that was granted, if any was.
fn of_checkout(checkout: &Checkout, identity: &Identity) -> Option<RepoName> {
    let mut remotes: Vec<&Remote> =
        checkout.remotes.iter().filter(|remote| remote.repo.host == identity.forge).collect();
    let noted = remotes.iter().find_map(|remote| match remote.resolved.as_deref()? {
        "base" => Some(remote.repo.name.clone()),
        other => RepoId::parse(other, &identity.forge).ok().map(|repo| repo.name),
    });
    remotes.sort_by_key(|remote| match remote.name.as_str() {
        "upstream" => 0,
        "github" => 1,
        "origin" => 2,
        _ => 3,
    });
    let granted = remotes.iter().find(|remote| is_granted(identity, &remote.repo.name));
    noted.or_else(|| granted.or(remotes.first()).map(|remote| remote.repo.name.clone()))
}

/// Where the branch of a new pull request lies, if elsewhere than in `base`.
fn head_of(
    call: &Call,
    checkout: &Checkout,
    identity: &Identity,
    base: &RepoName,
) -> Option<RepoName> {
    let Some(head) = &call.head else {
        let push = checkout.push.as_ref().filter(|push| push.host == identity.forge);
        return push.map(|push| push.name.clone());
    };
    let (owner, _) = head.split_once(':')?;
    if owner.eq_ignore_ascii_case(base.owner()) {
        // The owner's own branch, or a fork beside it: then the checkout knows.
        let push = checkout.push.as_ref().map(|push| push.name.clone());
        return push.filter(|push| push.owner().eq_ignore_ascii_case(owner));
    }
    // A fork usually has its origin's name; where it has not, a grant or a remote tells it.
    let owned = |name: &&RepoName| name.owner().eq_ignore_ascii_case(owner);
    let granted = || identity.granted.iter().map(|grant| &grant.name);
    let remotes = checkout.remotes.iter().map(|remote| &remote.repo.name);
    let same = |name: &&RepoName| name.repo().eq_ignore_ascii_case(base.repo());
    let named = granted().filter(owned).find(same).or_else(|| remotes.chain(granted()).find(owned));
    named.cloned().or_else(|| format!("{owner}/{}", base.repo()).parse().ok())
}

/// `head_repo` of GitHub's API: `owner/repo`, or a repository of the base's owner.
fn beside(name: &str, base: &RepoName) -> Option<RepoName> {
    match name.contains('/') {
        true => name.parse().ok(),
        false => format!("{}/{name}", base.owner()).parse().ok(),
    }
}

fn is_granted(identity: &Identity, repo: &RepoName) -> bool {
    identity.granted.iter().any(|grant| grant.name == *repo)
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
