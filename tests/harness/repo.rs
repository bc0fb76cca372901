//! Repositories on the local forge, each test's own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::{Run, World, bed, forge};

/// Where devcontainer.json lies unless a test says otherwise.
pub const DEVCONTAINER: &str = ".devcontainer/devcontainer.json";

/// A repository on the forge of a world.
#[derive(Debug)]
pub struct Repo {
    owner: String,
    name: String,
    id: u64,
    world: &'static World,
}

/// A repository that is being described.
#[derive(Debug, Clone)]
pub struct RepoBuilder {
    owner: String,
    name: String,
    files: BTreeMap<String, Value>,
    directory: Option<PathBuf>,
    permissions: Option<Value>,
    public: bool,
    fork_of: Option<String>,
}

impl Repo {
    /// Describes `<label>-<run>/web`, with a README, in an account of its own on which the App is
    /// installed with the permissions that drones ask for.
    pub fn describe(label: &str) -> RepoBuilder {
        let owner = format!("{label}-{}", std::process::id());
        RepoBuilder {
            owner,
            name: "web".to_owned(),
            files: [("README.md".to_owned(), json!("# Web\n"))].into(),
            directory: None,
            permissions: Some(usual_permissions()),
            public: false,
            fork_of: None,
        }
    }

    /// `owner/name`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The account that owns it.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The name without its owner.
    pub fn short_name(&self) -> &str {
        &self.name
    }

    /// The name that its drone has when nobody else has it.
    pub fn drone(&self) -> String {
        format!("{}-{}", self.owner, self.name).to_lowercase()
    }

    /// Its number on the forge.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its address for git.
    pub fn url(&self) -> String {
        format!("https://{}/{}", forge::HOST, self.name())
    }

    /// Where a drone's clone of it lies.
    pub fn workspace(&self) -> String {
        format!("/workspaces/{}", self.name)
    }

    /// Live tokens that open it.
    pub fn tokens(&self) -> usize {
        self.world.forge.tokens_of(self.id).len()
    }

    /// SHA-256 of each live token that opens it.
    pub fn token_hashes(&self) -> BTreeSet<String> {
        let tokens = self.world.forge.tokens_of(self.id);
        tokens.iter().map(|token| token["sha256"].as_str().expect("a hash").to_owned()).collect()
    }

    /// Lets tokens of its owner's installation live so long from now on; GitHub's live an hour.
    pub fn set_token_life(&self, seconds: u32) {
        let path = format!("/installations/{}", self.installation());
        self.world.forge.admin("PATCH", &path, &json!({"token_seconds": seconds}));
    }

    /// Ends every token that opens it, and tells nobody.
    pub fn end_tokens(&self) {
        for hash in self.token_hashes() {
            self.world.forge.admin("DELETE", &format!("/tokens/{hash}"), &Value::Null);
        }
    }

    /// Where its owner's tokens are asked for.
    pub fn mint_path(&self) -> String {
        format!("/app/installations/{}/access_tokens", self.installation())
    }

    /// The number of the App's installation on its owner.
    ///
    /// # Panics
    /// When there is none.
    pub fn installation(&self) -> u64 {
        let state = self.world.forge.admin("GET", "/state", &Value::Null);
        let installations = state["installations"].as_array().expect("installations");
        let found = installations.iter().find(|one| one["account"] == self.owner.as_str());
        found.expect("an installation")["id"].as_u64().expect("an id")
    }

    /// Tokens asked for so far in its owner's installation.
    pub fn mints(&self) -> usize {
        self.world.forge.calls(&self.mint_path()).len()
    }

    /// What its git directory on the forge answers: the truth about what was pushed.
    pub fn git(&self, args: &[&str]) -> Run {
        let directory = self.world.forge.git_dir(self.id);
        let mut command = Command::new("git");
        command.arg("--git-dir").arg(directory).args(args);
        // The directory is the forge's, whoever runs the tests.
        command.env("GIT_CONFIG_COUNT", "1");
        command.env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
        Run::of(&mut command)
    }

    /// The commit at the tip of a branch on the forge.
    pub fn tip(&self, branch: &str) -> String {
        self.git(&["rev-parse", &format!("refs/heads/{branch}")]).ok().to_owned()
    }
}

impl RepoBuilder {
    /// The account that it will belong to: no other test's.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Another name than `web`.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The same account as `other`'s.
    #[must_use]
    pub fn beside(mut self, other: &Repo) -> Self {
        other.owner.clone_into(&mut self.owner);
        self.permissions = None;
        self
    }

    /// Adds a file.
    #[must_use]
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), json!(text));
        self
    }

    /// Adds a program.
    #[must_use]
    pub fn program(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), json!({"content": text, "executable": true}));
        self
    }

    /// Adds devcontainer.json at its usual place.
    #[must_use]
    pub fn devcontainer(self, config: &Value) -> Self {
        self.file(DEVCONTAINER, &format!("{config:#}\n"))
    }

    /// A devcontainer.json with the Debian image that has git, gh and the user `dev`.
    #[must_use]
    pub fn on_dev_image(self) -> Self {
        let config = dev_config(&self.owner, json!({}));
        self.devcontainer(&config)
    }

    /// The same with more keys.
    #[must_use]
    pub fn on_dev_image_with(self, keys: Value) -> Self {
        let config = dev_config(&self.owner, keys);
        self.devcontainer(&config)
    }

    /// Takes what a git repository has instead of files.
    #[must_use]
    pub fn from_directory(mut self, directory: &Path) -> Self {
        self.files.clear();
        self.directory = Some(directory.to_owned());
        self
    }

    /// Other permissions of the App on the account; `None`: the App is not installed on it.
    #[must_use]
    pub fn permissions(mut self, permissions: Option<Value>) -> Self {
        self.permissions = permissions;
        self
    }

    /// Has what `other` has, as its fork.
    #[must_use]
    pub fn fork_of(mut self, other: &Repo) -> Self {
        self.fork_of = Some(other.name());
        self
    }

    /// Readable for everybody.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// Makes it.
    pub fn create(self, world: &crate::Turn) -> Repo {
        let mut body = json!({
            "owner": self.owner, "name": self.name, "public": self.public, "files": self.files,
        });
        if let Some(directory) = &self.directory {
            body["directory"] = json!(directory);
        }
        if let Some(other) = &self.fork_of {
            body["fork_of"] = json!(other);
        }
        let forge = &world.forge;
        let id = forge.admin("POST", "/repositories", &body)["id"].as_u64().expect("an id");
        if let Some(permissions) = &self.permissions {
            forge.install(&self.owner, permissions);
        }
        Repo { owner: self.owner, name: self.name, id, world: world.world() }
    }
}

/// A configuration on the dev image. The variable makes it one of its own: what a host agent builds
/// for it is no other test's.
fn dev_config(owner: &str, keys: Value) -> Value {
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let mut config = json!({"image": image, "containerEnv": {"OWNER": owner}});
    if let (Some(config), Value::Object(keys)) = (config.as_object_mut(), keys) {
        config.extend(keys);
    }
    config
}

/// The permissions that drones ask for by default.
pub fn usual_permissions() -> Value {
    json!({
        "contents": "write", "pull_requests": "write", "issues": "write", "discussions": "write",
        "actions": "read", "checks": "read", "statuses": "read", "deployments": "read",
        "metadata": "read",
    })
}
