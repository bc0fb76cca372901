//! For whom the policy is asked: the drone, its repository, and what the server permits there.

use std::collections::BTreeMap;

use hatchery_protocol::{DroneName, RepoName};

use super::finding::Permit;
use crate::config::{Config, PolicyRule, matches_repository};

/// Variables of the server that a configuration may read with `${localEnv:NAME}`: they say how
/// people here write time and language, nothing else. All others are unset for a repository.
pub const LOCAL_ENV: [&str; 3] = ["LANG", "LC_ALL", "TZ"];

/// For whom the policy is asked.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// The drone; its volumes are `hatchery-<drone>` and `hatchery-<drone>.<name>`.
    pub drone: &'a DroneName,
    /// Its repository. The repository part names the clone below `/workspaces`.
    pub repo: &'a RepoName,
    /// `[registries] allow`.
    pub registries: &'a [String],
    /// `[[policy]]`.
    pub rules: &'a [PolicyRule],
    /// `[drone] image`; empty: none.
    pub default_image: &'a str,
    /// Whether `[features] sshd` is set, which then takes the place of the repository's own.
    pub sshd_injected: bool,
    /// Whether the engine mounts subpaths of a volume (API 1.45, Engine 26). Where it does not,
    /// the workspace volume's root is the clone when a configuration wants it elsewhere.
    pub volume_subpaths: bool,
    /// Values of [`LOCAL_ENV`], as far as they are set.
    pub local_env: BTreeMap<String, String>,
}

impl<'a> Scope<'a> {
    /// The scope that `config` gives to `drone`, made from `repo`; reads [`LOCAL_ENV`] from the
    /// environment.
    pub fn new(
        config: &'a Config,
        drone: &'a DroneName,
        repo: &'a RepoName,
        volume_subpaths: bool,
    ) -> Self {
        Self {
            drone,
            repo,
            registries: &config.registries_allow,
            rules: &config.policy,
            default_image: &config.drone.image,
            sshd_injected: !config.features.sshd.is_empty(),
            volume_subpaths,
            local_env: local_env(),
        }
    }

    /// Whether a `[[policy]]` rule permits `permit` to this repository.
    pub fn permits(&self, permit: Permit) -> bool {
        self.rules.iter().any(|rule| {
            rule.allow.iter().any(|name| name == permit.as_str())
                && rule.repositories.iter().any(|pattern| matches_repository(pattern, self.repo))
        })
    }

    /// Name of the drone's own volume called `name` by its repository.
    pub fn volume(&self, name: &str) -> String {
        format!("hatchery-{}.{name}", self.drone)
    }

    /// Name of the workspace volume.
    pub fn workspace_volume(&self) -> String {
        format!("hatchery-{}", self.drone)
    }
}

/// Values of [`LOCAL_ENV`] in this process.
pub fn local_env() -> BTreeMap<String, String> {
    let set = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
    LOCAL_ENV.into_iter().filter_map(set).collect()
}
