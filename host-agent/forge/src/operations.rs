//! What the builder, the handle and the admin socket do to the forge: one implementation for all.

use crate::{
    forge::Forge,
    git::seed::{self, SeedError},
    model::{Account, AccountKind, FormerName, Installation, Repository, State},
    spec::{AccountSpec, InstallationChange, InstallationSpec, RepositoryChange, RepositorySpec},
};

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// Something named does not exist.
    #[error("the forge has no {what} {name:?}; create it first")]
    Unknown {
        /// Kind of thing.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// A name that is taken.
    #[error("the forge has a {what} {name:?} already; choose another name")]
    Taken {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A name GitHub would not allow.
    #[error("{0:?} cannot be a name: use letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// A repository could not be seeded.
    #[error("cannot make {repository}")]
    Seed {
        /// `owner/name`.
        repository: String,
        /// Why.
        #[source]
        source: SeedError,
    },
}

/// Result of an operation.
pub type Result<T> = std::result::Result<T, OperationError>;

/// The error for something that is not there.
pub fn unknown(what: &'static str, name: impl ToString) -> OperationError {
    OperationError::Unknown { what, name: name.to_string() }
}

fn check_name(name: &str) -> Result<()> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let odd = matches!(name, "" | "." | "..") || name.to_ascii_lowercase().ends_with(".git");
    if odd || !name.bytes().all(legal) {
        return Err(OperationError::Name(name.to_owned()));
    }
    Ok(())
}

/// Creates an account, or gives an existing one new keys.
///
/// # Errors
/// For a name that cannot be.
pub fn put_account(forge: &Forge, spec: &AccountSpec) -> Result<u64> {
    check_name(&spec.login)?;
    Ok(forge.store.write(|state| {
        let known = state.account(&spec.login).map(|account| account.id);
        let id = known.unwrap_or_else(|| state.claim_id(spec.id));
        let account = state.accounts.entry(id).or_insert_with(|| Account {
            id,
            login: spec.login.clone(),
            kind: spec.kind,
            keys: Vec::new(),
        });
        if !spec.keys.is_empty() {
            account.keys.clone_from(&spec.keys);
        }
        id
    }))
}

/// Replaces the keys of an account; none are allowed.
///
/// # Errors
/// For an unknown login.
pub fn set_keys(forge: &Forge, login: &str, keys: Vec<String>) -> Result<()> {
    forge.store.write(|state| {
        let id = state.account(login).ok_or_else(|| unknown("account", login))?.id;
        if let Some(account) = state.accounts.get_mut(&id) {
            account.keys = keys;
        }
        Ok(())
    })
}

/// Gives an account another login; its id and its repositories stay.
///
/// # Errors
/// For an unknown login, one that is taken, or one that cannot be.
pub fn rename_account(forge: &Forge, login: &str, new: &str) -> Result<()> {
    check_name(new)?;
    forge.store.write(|state| {
        let id = state.account(login).ok_or_else(|| unknown("account", login))?.id;
        if state.account(new).is_some_and(|other| other.id != id) {
            return Err(OperationError::Taken { what: "account", name: new.to_owned() });
        }
        let old = state.login(id).to_owned();
        for repo in state.repositories.values_mut().filter(|repo| repo.owner_id == id) {
            repo.former_names.push(FormerName { owner: old.clone(), name: repo.name.clone() });
        }
        if let Some(account) = state.accounts.get_mut(&id) {
            new.clone_into(&mut account.login);
        }
        Ok(())
    })
}

/// Creates a repository with its seed; one that exists is left as it is.
///
/// # Errors
/// For a name that cannot be, and when the seed fails.
pub async fn create_repository(forge: &Forge, spec: &RepositorySpec) -> Result<u64> {
    check_name(&spec.name)?;
    let known = |state: &State| state.repository(&spec.owner, &spec.name).map(|repo| repo.id);
    if let Some(id) = forge.store.read(known) {
        return Ok(id);
    }
    let fork_of = origin(forge, spec)?;
    let mut seed = spec.clone();
    if let Some(origin) = fork_of {
        seed.directory = Some(forge.git_dir(origin));
    }
    let owner = AccountSpec { login: spec.owner.clone(), ..AccountSpec::default() };
    let owner_id = put_account(forge, &owner)?;
    let id = forge.store.write(|state| state.claim_id(spec.id));
    let seeded = seed::create(&forge.git(id), &seed).await;
    let default_branch = seeded.map_err(|source| OperationError::Seed {
        repository: format!("{}/{}", spec.owner, spec.name),
        source,
    })?;
    let mut repository = Repository::new((id, owner_id), &spec.name, forge.clock.now());
    repository.private = !spec.public;
    repository.default_branch = default_branch;
    repository.description.clone_from(&spec.description);
    repository.fork_of = fork_of;
    forge.store.write(|state| match known(state) {
        // Somebody else was quicker; nothing leads to what was seeded here.
        Some(first) => Ok(first),
        None => {
            state.repositories.insert(id, repository);
            Ok(id)
        }
    })
}

/// The id of the repository to fork, if it is to be one.
fn origin(forge: &Forge, spec: &RepositorySpec) -> Result<Option<u64>> {
    let Some(name) = &spec.fork_of else { return Ok(None) };
    let named = name.split_once('/').ok_or_else(|| OperationError::Name(name.clone()))?;
    forge.store.read(|state| repository_id(state, named)).map(Some)
}

/// The id of `owner/name`.
///
/// # Errors
/// For a repository that is not there.
pub fn repository_id(state: &State, (owner, name): (&str, &str)) -> Result<u64> {
    let found = state.repository(owner, name).map(|repo| repo.id);
    found.ok_or_else(|| unknown("repository", format!("{owner}/{name}")))
}

/// Renames, transfers, publishes or hides a repository.
///
/// # Errors
/// For an unknown repository or owner, and for a name that is taken or cannot be.
pub fn change_repository(
    forge: &Forge,
    named: (&str, &str),
    change: &RepositoryChange,
) -> Result<()> {
    if let Some(name) = &change.name {
        check_name(name)?;
    }
    forge.store.write(|state| {
        let id = repository_id(state, named)?;
        let owner = change.owner.as_deref().unwrap_or(named.0);
        let name = change.name.as_deref().unwrap_or(named.1);
        let owner_id = state.account(owner).ok_or_else(|| unknown("account", owner))?.id;
        if state.repository(owner, name).is_some_and(|other| other.id != id) {
            let name = format!("{owner}/{name}");
            return Err(OperationError::Taken { what: "repository", name });
        }
        let former = FormerName { owner: named.0.to_owned(), name: named.1.to_owned() };
        if let Some(repo) = state.repositories.get_mut(&id) {
            repo.private = change.public.map_or(repo.private, |public| !public);
            if change.name.is_some() || change.owner.is_some() {
                repo.former_names.push(former);
                repo.owner_id = owner_id;
                name.clone_into(&mut repo.name);
            }
        }
        Ok(())
    })
}

/// Deletes a repository with its objects.
///
/// # Errors
/// For an unknown repository.
pub async fn delete_repository(forge: &Forge, named: (&str, &str)) -> Result<()> {
    let id = forge.store.write(|state| {
        let id = repository_id(state, named)?;
        state.repositories.remove(&id);
        Ok(id)
    })?;
    // What cannot be removed is unreachable all the same: ids are never used again.
    let _ = tokio::fs::remove_dir_all(forge.git_dir(id)).await;
    Ok(())
}

/// Installs the App on an account, or sets what it may do there.
///
/// # Errors
/// For unknown repositories.
pub fn put_installation(forge: &Forge, spec: &InstallationSpec) -> Result<u64> {
    let account = AccountSpec { login: spec.account.clone(), ..AccountSpec::default() };
    let account_id = put_account(forge, &account)?;
    let now = forge.clock.now();
    forge.store.write(|state| {
        let repositories = match &spec.repositories {
            Some(names) => Some(ids(state, &spec.account, names)?),
            None => None,
        };
        let present = state.installation_of(account_id).cloned();
        let id = match (spec.id, &present) {
            (Some(id), _) => state.claim_id(Some(id)),
            (None, Some(one)) => one.id,
            (None, None) => state.fresh_id(),
        };
        state.installations.retain(|_, one| one.account_id != account_id);
        let installation = Installation {
            id,
            account_id,
            repositories,
            permissions: spec.permissions.clone().with_metadata(),
            suspended: spec.suspended,
            token_seconds: present.as_ref().and_then(|one| one.token_seconds),
            created_at: present.map_or(now, |one| one.created_at),
        };
        state.installations.insert(id, installation);
        Ok(id)
    })
}

fn ids(state: &State, owner: &str, names: &[String]) -> Result<Vec<u64>> {
    names.iter().map(|name| repository_id(state, (owner, name))).collect()
}

/// Suspends an installation, or changes what it reaches or how long its tokens live.
///
/// # Errors
/// For an unknown installation or repository.
pub fn change_installation(forge: &Forge, id: u64, change: &InstallationChange) -> Result<()> {
    forge.store.write(|state| {
        let installation =
            state.installations.get(&id).ok_or_else(|| unknown("installation", id))?;
        let owner = state.login(installation.account_id).to_owned();
        let chosen = match &change.repositories {
            Some(names) => Some(ids(state, &owner, names)?),
            None => None,
        };
        if let Some(installation) = state.installations.get_mut(&id) {
            installation.suspended = change.suspended.unwrap_or(installation.suspended);
            if let Some(permissions) = &change.permissions {
                installation.permissions = permissions.clone().with_metadata();
            }
            if change.all {
                installation.repositories = None;
            } else if chosen.is_some() {
                installation.repositories = chosen;
            }
            installation.token_seconds = change.token_seconds.or(installation.token_seconds);
        }
        Ok(())
    })
}

/// Takes the App off an account; its tokens end.
///
/// # Errors
/// For an unknown installation.
pub fn delete_installation(forge: &Forge, id: u64) -> Result<()> {
    forge.store.write(|state| {
        state.tokens.retain(|token| token.installation_id != id);
        state.installations.remove(&id).map(|_| ()).ok_or_else(|| unknown("installation", id))
    })
}

/// Ends a token that nobody asked to end, as an incident at the forge does.
///
/// # Errors
/// For a digest that no live token has.
pub fn end_token(forge: &Forge, sha256: &str) -> Result<()> {
    forge.store.write(|state| {
        let before = state.tokens.len();
        state.tokens.retain(|token| token.sha256 != sha256);
        if state.tokens.len() < before { Ok(()) } else { Err(unknown("token", sha256)) }
    })
}

/// Makes sure that the App's bot exists; its id is not the App's.
pub fn ensure_bot(forge: &Forge) {
    forge.store.write(|state| {
        if state.bot().is_none() {
            let id = state.fresh_id();
            let login = format!("{}[bot]", state.app.slug);
            let kind = AccountKind::Bot;
            state.accounts.insert(id, Account { id, login, kind, keys: Vec::new() });
        }
    });
}
