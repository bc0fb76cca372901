//! A local forge over TLS, a configuration that names it, and records: for tests alone.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use hatchery_protocol::wire::Permissions;
use hatchery_protocol::{RepoId, RepoName};
use local_forge::{InstallationSpec, Level, LocalForge, RepositorySpec, RunningForge};
use tempfile::TempDir;

use super::GitHub;
use crate::config::{self, Config, Locations};
use crate::records::{self, ForgeRepoId, Grant, Record, RecordStore};

/// The forge's host: known to no DNS, so that the configured address is what leads there.
pub(crate) const HOST: &str = "forge.test";

/// All of it; the directory goes with it.
pub(crate) struct Rig {
    pub(crate) forge: RunningForge,
    pub(crate) config: Arc<Config>,
    pub(crate) records: Arc<RecordStore>,
    pub(crate) github: Arc<GitHub>,
    pub(crate) directory: TempDir,
}

/// Accounts `acme` (`web`, `api`, `docs`) and `other` (`tools`), the App installed on both.
pub(crate) async fn rig() -> Rig {
    let directory = tempfile::tempdir().expect("a directory");
    let mut builder = LocalForge::builder(&directory.path().join("forge"))
        .host(HOST)
        .listen("127.0.0.1:0".parse().expect("an address"))
        .app_private_key(app_key());
    for (owner, name) in [("acme", "web"), ("acme", "api"), ("acme", "docs"), ("other", "tools")] {
        builder = builder.repository(RepositorySpec {
            owner: owner.to_owned(),
            name: name.to_owned(),
            ..Default::default()
        });
    }
    for account in ["acme", "other"] {
        builder = builder.installation(InstallationSpec {
            account: account.to_owned(),
            permissions: [("contents", Level::Write), ("issues", Level::Read)]
                .into_iter()
                .collect(),
            ..Default::default()
        });
    }
    let forge = builder.start().await.expect("the forge starts");
    let config = Arc::new(config_for(&forge, directory.path()));
    let records = RecordStore::load(&config.paths.records()).expect("records");
    let github = Arc::new(GitHub::load(&config).expect("the App"));
    Rig { forge, config, records: Arc::new(records), github, directory }
}

/// One key for all tests: making one takes seconds without optimisation.
fn app_key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| local_forge::make_app_key().expect("a key"))
}

fn config_for(forge: &RunningForge, directory: &Path) -> Config {
    let text = format!(
        "[[forge]]\nhost = {HOST:?}\napi_url = {api:?}\ngit_url = {url:?}\nkeys_url = {url:?}\n\
         ca_file = {ca:?}\naddress = \"127.0.0.1\"\n\
         app = {{ client_id = {client:?}, private_key_file = {key:?} }}\n",
        api = forge.api_url(),
        url = forge.url(),
        ca = forge.ca_path(),
        client = forge.app_client_id(),
        key = forge.app_private_key_path(),
    );
    let file = directory.join("config.toml");
    std::fs::write(&file, text).expect("write");
    let state = directory.join("state");
    let variable = |name: &str| (name == "HATCHERY_STATE_DIR").then(|| state.clone().into());
    let locations = Locations { root: true, variable: &variable, executable: None };
    config::load(Some(&file), &locations).expect("a valid configuration")
}

impl Rig {
    /// A repository's id on the forge.
    pub(crate) fn id(&self, name: &str) -> ForgeRepoId {
        let (owner, repo) = name.split_once('/').expect("owner/repo");
        self.forge.state(|state| state.repository(owner, repo).map(|it| it.id)).expect("there")
    }

    /// The number of an account's installation.
    pub(crate) fn installation(&self, account: &str) -> u64 {
        let at = |state: &local_forge::State| {
            let account = state.account(account)?.id;
            state.installation_of(account).map(|found| found.id)
        };
        self.forge.state(at).expect("an installation")
    }

    /// `owner/repo` on the forge.
    pub(crate) fn repo(&self, name: &str) -> RepoId {
        RepoId { host: HOST.parse().expect("a host"), name: name.parse().expect("a name") }
    }

    /// The record of a drone of the first repository, with grants on all of them.
    pub(crate) fn drone(&self, grants: &[(&str, &[(&str, &str)])]) -> Arc<Record> {
        let grants: Vec<Grant> = grants
            .iter()
            .map(|(name, pairs)| {
                Grant::new(self.id(name), name.parse().expect("a name"), permissions(pairs))
            })
            .collect();
        let first = grants.first().expect("a grant");
        let record = Record {
            repo: self.repo(&first.name.to_string()),
            repo_id: first.repo_id,
            grants,
            ..records::tests::record("acme-web")
        };
        self.records.create(record).expect("a record")
    }

    /// The lines of the audit log so far.
    pub(crate) fn audit(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.config.paths.audit()).expect("the log");
        text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
    }

    /// SHA-256 digests of the tokens that the forge still takes.
    pub(crate) fn live_tokens(&self) -> Vec<String> {
        self.forge.state(|state| state.tokens.iter().map(|token| token.sha256.clone()).collect())
    }
}

/// Permissions from pairs.
pub(crate) fn permissions(pairs: &[(&str, &str)]) -> Permissions {
    pairs.iter().map(|(name, level)| ((*name).to_owned(), (*level).to_owned())).collect()
}

/// Names from text.
pub(crate) fn names(texts: &[&str]) -> Vec<RepoName> {
    texts.iter().map(|text| text.parse().expect("a name")).collect()
}
