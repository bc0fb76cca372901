//! One local forge for all tests of an engine, driven through its admin socket.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Bed, Engine, http, nursery, wait_until, world};

/// The forge's name for host agents, drones, git and gh.
pub const HOST: &str = "forge.hatchery.test";
/// The bridge's address on every engine: the host as drones see it.
pub const ADDRESS: &str = "172.17.0.1";

/// A running forge. It ends with the test run.
#[derive(Debug)]
pub struct Forge {
    data: PathBuf,
    process: Child,
}

impl Forge {
    /// Starts one that keeps everything in `data`.
    pub(crate) fn start(bed: Bed, data: &Path) -> Self {
        Self::listening(bed, data, &format!("{ADDRESS}:443"))
    }

    /// Lets another forge make the key of its App, and ends it.
    pub(crate) fn make_key(bed: Bed, data: &Path) -> PathBuf {
        let mut forge = Self::listening(bed, data, "127.0.0.1:0");
        forge.process.kill().expect("a child of ours");
        forge.process.wait().expect("a child of ours");
        forge.app_key_file()
    }

    fn listening(bed: Bed, data: &Path, address: &str) -> Self {
        std::fs::create_dir_all(data).expect("a directory for the forge");
        let mut command = bed.command("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(world::hatchery()).args(["forge", "serve"]);
        command.arg("--data-dir").arg(data).args(["--listen", address]);
        command.args(["--host", HOST, "--host", ADDRESS]);
        // Both of GitHub's forms of tokens, so that nothing relies on either.
        let form = if bed.engine() == Engine::Classic { "short" } else { "stateless" };
        command.args(["--token-format", form]);
        let log = std::fs::File::create(data.join("forge.log")).expect("the forge's log");
        command.stdout(log.try_clone().expect("a second handle")).stderr(log);
        let forge = Self { data: data.to_owned(), process: nursery::start(command) };
        wait_until("the local forge", Duration::from_secs(30), || {
            http::request(&forge.data.join("admin.sock"), "GET", "/state", "").ok()
        });
        forge
    }

    /// The certificate of its authority.
    pub fn ca_file(&self) -> PathBuf {
        self.data.join("ca.pem")
    }

    /// The App's private key.
    pub fn app_key_file(&self) -> PathBuf {
        self.data.join("app.private-key.pem")
    }

    /// The git directory of the repository with this id.
    pub fn git_dir(&self, repo_id: u64) -> PathBuf {
        self.data.join(format!("git/{repo_id}.git"))
    }

    /// The App's client id.
    pub fn client_id(&self) -> String {
        let state = self.admin("GET", "/state", &Value::Null);
        state["app"]["client_id"].as_str().expect("a client id").to_owned()
    }

    /// A call of the admin API (`local-forge`'s crate page lists them).
    ///
    /// # Panics
    /// When it is refused.
    pub fn admin(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = http::request(&self.data.join("admin.sock"), method, path, &body)
            .unwrap_or_else(|error| panic!("the forge does not answer {method} {path}: {error}"));
        assert_eq!(answer.status, 200, "{method} {path} {body}: {}", answer.body);
        answer.json()
    }

    /// Installs the App on `owner` with these permissions, on all its repositories.
    pub fn install(&self, owner: &str, permissions: &Value) -> u64 {
        let body = json!({"account": owner, "permissions": permissions});
        let installed = self.admin("POST", "/installations", &body);
        installed["id"].as_u64().expect("an id")
    }

    /// Switches a fault on where paths begin with `path`; it ends with what is returned.
    pub fn fault(&self, path: &str, fault: &Value) -> Fault<'_> {
        let body = json!({"path": path, "fault": fault});
        let id = self.admin("POST", "/faults", &body)["id"].as_u64().expect("an id");
        Fault { forge: self, id }
    }

    /// Live tokens that open the repository with this id.
    pub fn tokens_of(&self, repo_id: u64) -> Vec<Value> {
        let listed = self.admin("GET", "/tokens", &Value::Null);
        let opens = |token: &&Value| match token["repositories"].as_array() {
            Some(ids) => ids.iter().any(|id| id.as_u64() == Some(repo_id)),
            None => false,
        };
        listed["tokens"].as_array().expect("tokens").iter().filter(opens).cloned().collect()
    }

    /// Calls whose path begins with `path`, as `METHOD path status`.
    pub fn calls(&self, path: &str) -> Vec<String> {
        let listed = self.admin("GET", "/calls", &Value::Null);
        let calls = listed["calls"].as_array().expect("calls").iter().filter_map(|call| {
            let called = call["path"].as_str().filter(|called| called.starts_with(path))?;
            Some(format!("{} {called} {}", call["method"].as_str()?, call["status"]))
        });
        calls.collect()
    }
}

/// A fault that is on until this is dropped.
#[derive(Debug)]
pub struct Fault<'a> {
    forge: &'a Forge,
    id: u64,
}

impl Drop for Fault<'_> {
    fn drop(&mut self) {
        let socket = self.forge.data.join("admin.sock");
        // A forge that is gone has no faults either.
        let _ = http::request(&socket, "DELETE", &format!("/faults/{}", self.id), "");
    }
}
