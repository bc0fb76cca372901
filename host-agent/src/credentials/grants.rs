//! What a drone may reach: pure lookups in its record, before any forge is asked.

use hatchery_protocol::RepoName;

use super::permissions::includes;
use super::token::TokenError;
use crate::records::{ForgeRepoId, Grant, Record};

/// What one token is for. Repositories by id: a name can be re-created by somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The primary repository with its permissions, and the [`companions`] that its installation
    /// covers too.
    Primary,
    /// Exactly these, sorted and each once, with the permissions that all of them have.
    Repositories(Vec<ForgeRepoId>),
}

/// What a request for `names` is for; none: the drone's own repository. Pure, so that nothing of the
/// forge can come before it.
///
/// # Errors
/// [`TokenError::NotGranted`].
pub fn scope(record: &Record, names: &[RepoName]) -> Result<Scope, TokenError> {
    let Some(primary) = record.primary() else {
        return Err(TokenError::NoGrants(record.drone.clone()));
    };
    if names.is_empty() {
        let alone = companions(record, primary).next().is_none();
        return Ok(if alone { Scope::Repositories(vec![primary.repo_id]) } else { Scope::Primary });
    }
    let mut ids: Vec<ForgeRepoId> = Vec::with_capacity(names.len());
    for name in names {
        let not_granted =
            || TokenError::NotGranted { drone: record.drone.clone(), repo: name.clone() };
        ids.push(record.grant_named(name).ok_or_else(not_granted)?.repo_id);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(Scope::Repositories(ids))
}

/// Grants other than the primary one that include every one of its permissions.
pub fn companions<'a>(record: &'a Record, primary: &'a Grant) -> impl Iterator<Item = &'a Grant> {
    record.grants.iter().filter(move |grant| {
        grant.repo_id != primary.repo_id && includes(&grant.permissions, &primary.permissions)
    })
}

#[cfg(test)]
mod tests {
    use super::super::permissions::tests::permissions;
    use super::*;
    use crate::records;

    /// Id, name and permissions of a grant.
    type Granted<'a> = (ForgeRepoId, &'a str, &'a [(&'a str, &'a str)]);

    fn record(grants: &[Granted<'_>]) -> Record {
        let host = "github.com".parse().expect("a host");
        let grants: Vec<Grant> = grants
            .iter()
            .map(|(repo_id, name, pairs)| {
                Grant::new(*repo_id, name.parse().expect("a name"), permissions(pairs))
            })
            .collect();
        let first = grants.first().expect("a grant");
        Record {
            repo: hatchery_protocol::RepoId { host, name: first.name.clone() },
            repo_id: first.repo_id,
            grants,
            ..records::tests::record("acme-web")
        }
    }

    const WRITE: &[(&str, &str)] = &[("contents", "write"), ("metadata", "read")];
    const READ: &[(&str, &str)] = &[("contents", "read"), ("metadata", "read")];

    #[test]
    fn only_grants_with_all_of_the_primarys_permissions_go_with_it() {
        let record =
            record(&[(7, "acme/web", WRITE), (8, "acme/api", READ), (9, "acme/docs", WRITE)]);
        let primary = record.primary().expect("the primary");
        let ids: Vec<_> = companions(&record, primary).map(|grant| grant.repo_id).collect();
        assert_eq!(ids, [9]);
    }
}
