//! A drone as its user has it.

use serde_json::Value;

use crate::{HostAgent, Run};

/// A drone that was spawned; slain when dropped.
#[derive(Debug)]
pub struct Drone<'a> {
    agent: &'a HostAgent,
    name: String,
}

impl<'a> Drone<'a> {
    pub(crate) fn new(agent: &'a HostAgent, name: String) -> Self {
        Self { agent, name }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command in it by `hatchery exec`: the remote user, in the workspace.
    pub fn exec(&self, command: &[&str]) -> Run {
        self.agent.hatchery(&[&["exec", &self.name, "--"], command].concat())
    }

    /// A shell script in it by `hatchery exec`, that ends at its first failure.
    pub fn sh(&self, script: &str) -> Run {
        self.exec(&["sh", "-euc", script])
    }

    /// The same as root.
    pub fn root_sh(&self, script: &str) -> Run {
        self.agent.hatchery(&["exec", "--root", &self.name, "--", "sh", "-euc", script])
    }

    /// Commits a change of `file` and pushes it, as the remote user; returns the commit.
    pub fn push_change(&self, file: &str, text: &str) -> String {
        let script = format!(
            "printf '%s\\n' '{text}' >>{file}; git add {file}; git commit -qm 'Change {file}'; \
             git push -q origin HEAD; git rev-parse HEAD"
        );
        self.sh(&script).ok().to_owned()
    }

    /// `status --json`.
    pub fn status(&self) -> Value {
        self.agent.json(&["status", &self.name])
    }

    /// Full id of its container.
    pub fn container(&self) -> String {
        self.status()["container_id"].as_str().expect("a container").to_owned()
    }

    /// A field of `docker inspect` of its container, by a Go template.
    pub fn inspect(&self, template: &str) -> String {
        let bed = self.agent.world().bed;
        bed.docker(&["inspect", "--format", template, &self.container()]).ok().to_owned()
    }

    /// Process id of its container's first process, as the host sees it.
    pub fn pid(&self) -> u32 {
        self.inspect("{{.State.Pid}}").parse().expect("a process id")
    }

    /// Ends it with this.
    pub fn slay(self, flags: &[&str]) -> Run {
        let run = self.agent.hatchery(&[&["slay", &self.name], flags].concat());
        if run.code == 0 {
            std::mem::forget(self);
        }
        run
    }
}

impl Drop for Drone<'_> {
    fn drop(&mut self) {
        // A test that failed may have left it in any state; leftovers are what other tests assert.
        let mut command = self.agent.hatchery_command(&["slay", "--force", &self.name]);
        let quiet = std::process::Stdio::null;
        let _ = command.stdin(quiet()).stdout(quiet()).stderr(quiet()).status();
    }
}
