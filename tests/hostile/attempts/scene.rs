//! Who is attacked by whom: a drone in the hands of the adversary, root in it, and beside it a
//! drone and repositories that it was not granted.

use hatchery_tests::{Drone, HostAgent, Repo, Run, Turn};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Processes that each drone may have: few, so that a flood is quick.
pub const PIDS: &str = "256";
/// And this much memory.
pub const MEMORY_MIB: &str = "512";
/// What of both is in the configuration; and less than the App's installations have, so that there is
/// something to escalate to.
pub const LIMITS: &str = "[drone]\nmemory = \"512MiB\"\ncpus = 2\npids = 256\n\
    permissions = { contents = \"read\", issues = \"read\", metadata = \"read\" }";

/// The attacker and its surroundings.
pub struct Scene<'a> {
    pub world: &'a Turn,
    pub agent: &'a HostAgent,
    /// The drone in whose inside everything is attempted.
    pub attacker: Drone<'a>,
    /// Its own repository.
    pub own: Repo,
    /// One of the same account and installation, which it was not granted.
    pub sibling: Repo,
    /// The drone beside it.
    pub victim: Drone<'a>,
    /// That one's repository, of another account.
    pub foreign: Repo,
    /// In a file of the host, and in both repositories that were not granted: whoever shows it has
    /// read what it must not.
    pub secret: String,
}

impl<'a> Scene<'a> {
    /// Spawns both drones.
    pub fn set(world: &'a Turn, agent: &'a HostAgent) -> Self {
        let secret = format!("secret-{}", digest(&agent.home().display().to_string()));
        let own = Repo::describe("attacker").on_dev_image().create(world);
        let sibling = Repo::describe("attacker").beside(&own).named("other");
        let sibling = sibling.file("SECRET.md", &secret).on_dev_image().create(world);
        let foreign = Repo::describe("victim").file("SECRET.md", &secret);
        let foreign = foreign.on_dev_image().create(world);
        std::fs::write(agent.home().join("secret"), &secret).expect("a file of the host");
        let (attacker, victim) = (agent.spawn(&own), agent.spawn(&foreign));
        // Both are in use, and the sight of a token is known to the tests.
        for drone in [&attacker, &victim] {
            drone.sh("git fetch -q").ok();
        }
        Self { world, agent, attacker, own, sibling, victim, foreign, secret }
    }

    /// Runs a program inside the attacker as root.
    pub fn inside(&self, command: &[&str], input: &str) -> Run {
        let mut docker = self.world.bed.command("docker");
        docker.args(["exec", "-i", "-u", "0", self.attacker.name()]).args(command);
        Run::with_input(&mut docker, input)
    }

    /// Runs a script for perl, which is in every Debian, inside the attacker as root. It finds
    /// `input` in its handle DATA.
    pub fn perl(&self, script: &str, arguments: &[&str], input: &str) -> Run {
        let whole = format!("{script}\n__END__\n{input}");
        self.inside(&[&["perl", "-"], arguments].concat(), &whole)
    }

    /// The host's file that holds the secret.
    pub fn secret_file(&self) -> String {
        self.agent.home().join("secret").display().to_string()
    }

    /// What of `answer` the attacker must not have; `None`: nothing.
    pub fn surplus(&self, answer: &str) -> Option<String> {
        if answer.contains(&self.secret) {
            return Some("the secret".to_owned());
        }
        tokens(answer).iter().find_map(|token| self.too_much(token))
    }

    /// What a token opens beyond the attacker's grant, by the forge's own account.
    fn too_much(&self, token: &str) -> Option<String> {
        let digest = digest(token);
        let listed = self.world.forge.admin("GET", "/tokens", &Value::Null);
        let tokens = listed["tokens"].as_array().expect("a list");
        let Some(found) = tokens.iter().find(|one| one["sha256"] == digest.as_str()) else {
            return Some("something that looks like a token and is none".to_owned());
        };
        let within = found["repositories"] == json!([self.own.id()])
            && found["permissions"].as_object().is_some_and(|all| {
                all.iter().all(|(name, level)| {
                    level == "read" && ["contents", "issues", "metadata"].contains(&name.as_str())
                })
            });
        (!within)
            .then(|| format!("a token for {} with {}", found["repositories"], found["permissions"]))
    }
}

/// SHA-256 in hex.
pub fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Everything in `text` that looks like a token.
pub fn tokens(text: &str) -> Vec<String> {
    let of_token = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
    let bodies = text.split("ghs_").skip(1);
    let bodies = bodies.map(|rest| rest.chars().take_while(of_token).collect::<String>());
    bodies.filter(|body| body.len() > 30).map(|body| format!("ghs_{body}")).collect()
}
