//! What every connection shares.

use std::path::PathBuf;

use crate::{
    calls::{Calls, Gate},
    clock::Clock,
    faults::Faults,
    git::Git,
    model::{Repository, State},
    reply::Refusal,
    spec::TokenFormat,
    state::Store,
};

/// The forge: its state and what tests turn to make it misbehave.
#[derive(Debug)]
pub struct Forge {
    /// Accounts, repositories, installations, tokens.
    pub store: Store,
    /// The time it believes in.
    pub clock: Clock,
    /// Faults that are on.
    pub faults: Faults,
    /// What it was asked.
    pub calls: Calls,
    /// Holds mints up.
    pub gate: Gate,
    /// Form of tokens by default.
    pub token_format: TokenFormat,
    /// Directory of everything that stays.
    pub data_dir: PathBuf,
}

impl Forge {
    /// Bare git directory of a repository.
    pub fn git_dir(&self, repo_id: u64) -> PathBuf {
        self.data_dir.join("git").join(format!("{repo_id}.git"))
    }

    /// Git over the bare directory of a repository.
    pub fn git(&self, repo_id: u64) -> Git {
        Git::new(self.git_dir(repo_id))
    }

    /// Looks at a repository that the caller has proven to see.
    ///
    /// # Errors
    /// 404 when it was deleted meanwhile.
    pub fn with_repo<T>(
        &self,
        id: u64,
        look: impl FnOnce(&State, &Repository) -> T,
    ) -> Result<T, Refusal> {
        self.store.read(|state| {
            let repo = state.repositories.get(&id).ok_or_else(Refusal::not_found)?;
            Ok(look(state, repo))
        })
    }

    /// Changes a repository that the caller has proven to see.
    ///
    /// # Errors
    /// 404 when it was deleted meanwhile, and what `change` refuses.
    pub fn change_repo<T>(
        &self,
        id: u64,
        change: impl FnOnce(&mut Repository) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.store.write(|state| {
            let repo = state.repositories.get_mut(&id).ok_or_else(Refusal::not_found)?;
            change(repo)
        })
    }

    /// A numeric id nobody had before.
    pub fn fresh_id(&self) -> u64 {
        self.store.write(State::fresh_id)
    }
}
