//! What a drone may reach: pure lookups in its record, before any forge is asked.

use hatchery_protocol::RepoName;

use super::permissions::includes;
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

/// The grant of the drone's own repository.
pub fn primary(record: &Record) -> Option<&Grant> {
    record.grants.iter().find(|grant| grant.repo_id == record.repo_id)
}

/// Grants other than the primary one that include every one of its permissions.
pub fn companions<'a>(record: &'a Record, primary: &'a Grant) -> impl Iterator<Item = &'a Grant> {
    record.grants.iter().filter(move |grant| {
        grant.repo_id != primary.repo_id && includes(&grant.permissions, &primary.permissions)
    })
}

/// The grant that a name stands for: as the record spells it, or as `now` says that the forge
/// spells it since a rename. Either way it is the id that counts.
pub fn find<'a>(
    record: &'a Record,
    name: &RepoName,
    now: impl Fn(ForgeRepoId) -> Option<RepoName>,
) -> Option<&'a Grant> {
    let recorded = record.grants.iter().find(|grant| &grant.name == name);
    recorded
        .or_else(|| record.grants.iter().find(|grant| now(grant.repo_id).as_ref() == Some(name)))
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
            .map(|(repo_id, name, pairs)| Grant {
                repo_id: *repo_id,
                name: name.parse().expect("a name"),
                permissions: permissions(pairs),
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
    fn a_repository_is_found_under_its_old_and_its_new_name() {
        let record = record(&[(7, "acme/web", WRITE), (8, "acme/api", READ)]);
        let now = |id| (id == 8).then(|| "acme/backend".parse().expect("a name"));
        for (text, id) in
            [("ACME/web", Some(7)), ("acme/api", Some(8)), ("acme/backend", Some(8)), ("a/b", None)]
        {
            let name = text.parse().expect("a name");
            assert_eq!(find(&record, &name, now).map(|grant| grant.repo_id), id, "{text}");
        }
    }

    #[test]
    fn only_grants_with_all_of_the_primarys_permissions_go_with_it() {
        let record =
            record(&[(7, "acme/web", WRITE), (8, "acme/api", READ), (9, "acme/docs", WRITE)]);
        let primary = primary(&record).expect("the primary");
        let ids: Vec<_> = companions(&record, primary).map(|grant| grant.repo_id).collect();
        assert_eq!(ids, [9]);
    }
}
