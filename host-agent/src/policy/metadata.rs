//! Pass (c): the built image's `devcontainer.metadata` label, merged with the plan into what the
//! container is created with.
//!
//! `devcontainer up` unites an override with the image's label, so that an override cannot take a
//! privilege or a mount away: only a label that has been through here is ever created from.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::finding::Review;
use super::jsonc;
use super::ledger::{Ledger, Place};
use super::mount::{self, MountContext, Wish, judge_mount};
use super::node::{Member, Node};
use super::plan::{Form, Mount, Plan};
use super::privilege;
use super::scope::Scope;
use super::variables::Variables;
use crate::lifecycle::{Failure, FailureKind};

/// The label that carries the metadata.
const LABEL: &str = "devcontainer.metadata";
/// More text than this is no metadata: 1 MiB.
const MAX_LABEL: usize = 1 << 20;

/// What the container is created with and what runs in it, after the merge rules of the
/// specification: the last entry wins for scalars, unions for capabilities and security options,
/// concatenation for entrypoints and hooks, mounts by target keeping the last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effective {
    /// The final image's label `devcontainer.metadata`: what was allowed, nothing else. An array.
    pub label: Value,
    /// User of hooks, `exec` and editors; `None`: the container's user.
    pub remote_user: Option<String>,
    /// User of the container's main process; `None`: the image's.
    pub container_user: Option<String>,
    /// Environment of every process, host-side variables substituted.
    pub container_env: BTreeMap<String, String>,
    /// Environment of hooks, `exec` and editors; `None` unsets. `${containerEnv:X}` is left in.
    pub remote_env: BTreeMap<String, Option<String>>,
    /// Workspace, configuration's, features' and image's mounts, one for each target.
    pub mounts: Vec<Mount>,
    /// Capabilities to add, without `CAP_`.
    pub cap_add: Vec<String>,
    /// Security options to set.
    pub security_opt: Vec<String>,
    /// A reaping pid 1.
    pub init: bool,
    /// Only where a `[[policy]]` rule permits it.
    pub privileged: bool,
    /// Shell lines to run, in order, before the main process.
    pub entrypoints: Vec<String>,
    /// Replace the image's command with one that waits; the specification's default is true for
    /// image and Dockerfile, false for Compose.
    pub override_command: bool,
    /// `none`, `loginShell`, `interactiveShell` or `loginInteractiveShell`.
    pub user_env_probe: String,
    /// The hook after which the drone counts as set up.
    pub wait_for: String,
    /// Which hooks there are.
    pub hooks: Hooks,
    /// Names of all volumes to create (and label) first, the plan's among them.
    pub volumes: Vec<String>,
}

/// Commands of each hook, features' first; each a string, an array, or an object of both.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hooks {
    /// `onCreateCommand`.
    pub on_create: Vec<Value>,
    /// `updateContentCommand`.
    pub update_content: Vec<Value>,
    /// `postCreateCommand`.
    pub post_create: Vec<Value>,
    /// `postStartCommand`.
    pub post_start: Vec<Value>,
    /// `postAttachCommand`.
    pub post_attach: Vec<Value>,
}

/// Checks the label of the image built from `plan` and merges both. `label` is the label's text,
/// `None` when the image has none.
///
/// # Errors
/// `Refused` when the label is not what the specification says.
pub fn check_metadata(
    label: Option<&str>,
    plan: &Plan,
    scope: &Scope<'_>,
) -> Result<Review<Effective>, Failure> {
    let entries = label.map(parse_label).transpose()?.unwrap_or_default();
    let mut ledger = Ledger::new(scope);
    let mut pass = Pass::new(plan, scope);
    for (index, entry) in entries.iter().enumerate() {
        pass.entry(index, entry, &mut ledger);
    }
    let outcome = pass.finish(plan, &mut ledger);
    let (findings, broken) = ledger.close();
    Review::new(outcome, findings, broken)
}

fn parse_label(text: &str) -> Result<Vec<Node>, Failure> {
    let refused =
        |why: &str| Failure::new(FailureKind::Refused, format!("the image's label {LABEL} {why}"));
    if text.len() > MAX_LABEL {
        return Err(refused("is larger than 1 MiB"));
    }
    let node = jsonc::parse(text).map_err(|flaw| refused(&format!("does not parse: {flaw}")))?;
    let entries = node.list().map_or_else(|| vec![node.clone()], <[Node]>::to_vec);
    if entries.iter().all(Node::is_map) {
        return Ok(entries);
    }
    Err(refused("is not an array of objects"))
}

/// Judges `privileged`, `capAdd` or `securityOpt`; the value that is left, if any.
pub fn judge_privileges(
    name: &str,
    node: &Node,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<Value> {
    if name == "privileged" {
        let granted = privilege::is_wanted(node) && privilege::judge_privileged(place, ledger);
        return granted.then_some(Value::Bool(true));
    }
    let Some(list) = node.list() else {
        ledger.broken(place, "an array of words is expected");
        return None;
    };
    let mut kept = vec![];
    for node in list {
        let place = place.at(node.line);
        let text = node.scalar().unwrap_or_default();
        kept.extend(match name {
            "capAdd" => privilege::judge_capability(&text, &place, ledger),
            _ => privilege::judge_security_opt(&text, &place, ledger),
        });
    }
    (!kept.is_empty()).then(|| json!(kept))
}

/// Keys of an entry that are confined to the drone.
const KEPT: [&str; 22] = [
    "id",
    "init",
    "entrypoint",
    "customizations",
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
    "waitFor",
    "remoteUser",
    "containerUser",
    "userEnvProbe",
    "remoteEnv",
    "containerEnv",
    "overrideCommand",
    "forwardPorts",
    "portsAttributes",
    "otherPortsAttributes",
    "shutdownAction",
    "updateRemoteUserUID",
    "secrets",
];

struct Pass<'a> {
    variables: Variables,
    context: MountContext<'a>,
    label: Vec<Value>,
    effective: Effective,
}

impl<'a> Pass<'a> {
    fn new(plan: &'a Plan, scope: &Scope<'_>) -> Self {
        let workspace = &plan.workspace;
        let (clone, folder) = (&workspace.clone, &workspace.folder);
        let effective = Effective {
            override_command: !matches!(plan.form, Form::Compose(_)),
            user_env_probe: "loginInteractiveShell".to_owned(),
            wait_for: "updateContentCommand".to_owned(),
            ..Effective::default()
        };
        Self {
            variables: Variables::new(
                scope.drone,
                scope.repo.repo(),
                clone,
                folder,
                &scope.local_env,
            ),
            context: MountContext {
                checkout: None,
                base: "",
                workspace_folder: folder,
                clone_is_root: workspace.clone_is_root,
            },
            label: vec![],
            effective,
        }
    }

    fn entry(&mut self, index: usize, entry: &Node, ledger: &mut Ledger<'_>) {
        let id = entry.value("id").and_then(Node::text).unwrap_or("an entry");
        let mut kept = Map::new();
        for member in entry.members() {
            let place = Place {
                file: "image".to_owned(),
                line: None,
                subject: format!("{LABEL}[{index}] ({id}) {}", member.name),
            };
            if let Some(value) = self.member(member, &place, ledger) {
                self.merge(&member.name, &value);
                kept.insert(member.name.clone(), value);
            }
        }
        self.label.push(Value::Object(kept));
    }

    /// What is left of one key of an entry.
    fn member(&mut self, member: &Member, place: &Place, ledger: &mut Ledger<'_>) -> Option<Value> {
        let variables = self.variables.clone();
        let mut stable = true;
        let value = member.value.map_text(&mut |text, _| {
            stable &= variables.is_stable(text);
            variables.substitute(text, &mut |_| {})
        });
        if !stable {
            ledger.refuse(place, "a variable makes another one");
            return None;
        }
        match member.name.as_str() {
            "mounts" => self.mounts(&member.value, place, ledger),
            name @ ("privileged" | "capAdd" | "securityOpt") => {
                judge_privileges(name, &value, place, ledger)
            }
            "initializeCommand" => {
                ledger.refuse(place, "it runs on the server, as whoever runs Hatchery");
                None
            }
            "hostRequirements" => None,
            name if KEPT.contains(&name) => Some(value.to_json()),
            _ => {
                ledger.strip(place, "not a key that the policy knows");
                None
            }
        }
    }

    fn mounts(&mut self, node: &Node, place: &Place, ledger: &mut Ledger<'_>) -> Option<Value> {
        let variables = self.variables.for_mounts();
        let node = node.map_text(&mut |text, _| variables.substitute(text, &mut |_| {}));
        let mut kept = vec![];
        for node in node.list().unwrap_or_default() {
            let wish = match node.text() {
                Some(text) => Wish::parse(text),
                None => Wish::from_object(node),
            };
            if let Some(mount) = judge_mount(&wish, self.context, place, ledger) {
                kept.extend(mount::to_json(&mount));
                self.effective.mounts.push(mount);
            }
        }
        (!kept.is_empty()).then(|| json!(kept))
    }

    fn merge(&mut self, name: &str, value: &Value) {
        let effective = &mut self.effective;
        let text = || value.as_str().map(str::to_owned);
        let words = || value.as_array().into_iter().flatten().filter_map(Value::as_str);
        match name {
            "init" => effective.init |= value == true,
            "privileged" => effective.privileged |= value == true,
            "capAdd" => union(&mut effective.cap_add, words()),
            "securityOpt" => union(&mut effective.security_opt, words()),
            "entrypoint" => effective.entrypoints.extend(text()),
            "remoteUser" => effective.remote_user = text().or(effective.remote_user.take()),
            "containerUser" => {
                effective.container_user = text().or(effective.container_user.take());
            }
            "containerEnv" => effective
                .container_env
                .extend(pairs(value).filter_map(|(name, value)| Some((name, word(value)?)))),
            "remoteEnv" => {
                effective.remote_env.extend(pairs(value).map(|(name, value)| (name, word(value))))
            }
            "overrideCommand" => {
                effective.override_command = value.as_bool().unwrap_or(effective.override_command);
            }
            "userEnvProbe" => effective.user_env_probe = text().unwrap_or_default(),
            "waitFor" => effective.wait_for = text().unwrap_or_default(),
            _ => effective.hooks.push(name, value),
        }
    }

    fn finish(mut self, plan: &Plan, ledger: &mut Ledger<'_>) -> Effective {
        let own: Vec<Value> = plan.mounts.iter().filter_map(mount::to_json).collect();
        if !own.is_empty() {
            self.label.push(json!({ "mounts": own }));
        }
        let mut effective = self.effective;
        effective.label = Value::Array(self.label);
        let mounts = effective.mounts.drain(..).chain(plan.mounts.iter().cloned());
        effective.mounts = by_target(mounts, &plan.workspace.mounts, ledger);
        let run = &plan.run;
        effective.init |= run.init;
        effective.privileged |= run.privileged;
        union(&mut effective.cap_add, run.cap_add.iter().map(String::as_str));
        union(&mut effective.security_opt, run.security_opt.iter().map(String::as_str));
        effective.container_env.extend(run.env.clone());
        effective.container_user = effective.container_user.or_else(|| run.user.clone());
        let named = effective.mounts.iter().filter_map(Mount::volume_name).map(str::to_owned);
        effective.volumes = named.chain(plan.volumes.iter().cloned()).collect();
        effective.volumes.sort_unstable();
        effective.volumes.dedup();
        effective
    }
}

/// One mount for each target, the last; but the workspace is where it is.
fn by_target(
    mounts: impl Iterator<Item = Mount>,
    workspace: &[Mount],
    ledger: &mut Ledger<'_>,
) -> Vec<Mount> {
    let mut kept: Vec<Mount> = workspace.to_vec();
    for mount in mounts {
        if workspace.iter().any(|known| known.target() == mount.target()) {
            let place = Place {
                file: "image".to_owned(),
                line: None,
                subject: format!("mount at {}", mount.target()),
            };
            ledger.strip(&place, "the workspace is there");
            continue;
        }
        kept.retain(|known| known.target() != mount.target());
        kept.push(mount);
    }
    kept
}

fn union<'a>(known: &mut Vec<String>, more: impl Iterator<Item = &'a str>) {
    for one in more {
        if !known.iter().any(|known| known == one) {
            known.push(one.to_owned());
        }
    }
}

fn pairs(value: &Value) -> impl Iterator<Item = (String, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value))
}

/// A word of an environment; `None` for `null`.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Hooks {
    /// Adds a command; other keys and empty commands are none.
    fn push(&mut self, key: &str, command: &Value) {
        let hook = match key {
            "onCreateCommand" => &mut self.on_create,
            "updateContentCommand" => &mut self.update_content,
            "postCreateCommand" => &mut self.post_create,
            "postStartCommand" => &mut self.post_start,
            "postAttachCommand" => &mut self.post_attach,
            _ => return,
        };
        let empty = match command {
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
        };
        if !empty {
            hook.push(command.clone());
        }
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        [
            &self.on_create,
            &self.update_content,
            &self.post_create,
            &self.post_start,
            &self.post_attach,
        ]
        .into_iter()
        .all(Vec::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::Verdict;
    use crate::policy::tests::Bench;

    fn check(label: &Value) -> Review<Effective> {
        let bench = Bench::json(
            r#"{"image": "debian", "mounts": ["type=volume,source=own,target=/own"],
                "runArgs": ["--init", "-eA=run"]}"#,
        );
        let plan = bench.plan();
        check_metadata(Some(&label.to_string()), &plan, &bench.scope()).expect("a review")
    }

    #[test]
    fn entries_are_merged_as_the_specification_says() {
        let label = json!([
            {"id": "a", "remoteUser": "one", "containerEnv": {"A": "1", "B": "1"},
             "entrypoint": "/a.sh", "capAdd": ["SYS_PTRACE"], "postCreateCommand": "a",
             "mounts": [{"type": "volume", "source": "x-${devcontainerId}", "target": "/x"}]},
            {"id": "b", "remoteUser": "two", "containerEnv": {"B": "2"}, "entrypoint": "/b.sh",
             "capAdd": ["SYS_PTRACE", "NET_RAW"], "postCreateCommand": ["b"], "waitFor": "onCreateCommand",
             "remoteEnv": {"PATH": "${containerEnv:PATH}:/b", "GONE": null},
             "mounts": ["type=volume,source=y,target=/x", "type=tmpfs,target=/own"]},
        ]);
        let effective = check(&label).accept(false).expect("accepted").outcome;
        assert_eq!(effective.remote_user.as_deref(), Some("two"));
        assert_eq!(
            effective.container_env,
            [("A", "run"), ("B", "2")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into()
        );
        assert_eq!(effective.entrypoints, ["/a.sh", "/b.sh"]);
        assert_eq!(effective.cap_add, ["SYS_PTRACE", "NET_RAW"]);
        assert_eq!(effective.hooks.post_create, [json!("a"), json!(["b"])]);
        assert_eq!(effective.remote_env["PATH"].as_deref(), Some("${containerEnv:PATH}:/b"));
        assert_eq!(effective.remote_env["GONE"], None);
        assert_eq!((effective.wait_for.as_str(), effective.init), ("onCreateCommand", true));
        let targets: Vec<_> = effective.mounts.iter().map(Mount::target).collect();
        assert_eq!(targets, ["/workspaces", "/x", "/own"]);
        assert_eq!(effective.volumes, ["hatchery-acme-web.own", "hatchery-acme-web.y"]);
    }

    #[test]
    fn an_image_gets_no_more_than_a_configuration() {
        for entry in [
            json!({"privileged": true}),
            json!({"capAdd": ["SYS_ADMIN"]}),
            json!({"securityOpt": ["apparmor=unconfined"]}),
            json!({"mounts": ["type=bind,source=/etc,target=/x"]}),
            json!({"mounts": [{"type": "bind", "source": "/var/run/docker.sock", "target": "/d"}]}),
            json!({"mounts": ["type=volume,source=hatchery-acme-api,target=/x"]}),
            json!({"initializeCommand": "id"}),
            json!({"privileged": "true"}),
            json!({"privileged": 1}),
            json!({"containerEnv": {"A": "${localEnv:X:$}{localEnv:HOME}"}}),
        ] {
            let review = check(&json!([entry]));
            let worst = review.findings.iter().map(|finding| finding.verdict).max();
            assert_eq!(worst, Some(Verdict::Refuse), "{entry}");
            let left = review.accept(true).expect("droppable").outcome;
            assert!(!left.privileged && left.cap_add.is_empty() && left.security_opt.is_empty());
            assert_eq!(left.label[0], json!({}), "{entry}");
        }
    }

    #[test]
    fn a_label_that_is_none_is_refused() {
        let bench = Bench::json(r#"{"image": "debian"}"#);
        let plan = bench.plan();
        for label in ["", "5", "[5]", "[{]", "[{\"a\": 1, \"a\": 2}]"] {
            let failure = check_metadata(Some(label), &plan, &bench.scope()).expect_err(label);
            assert_eq!(failure.kind, FailureKind::Refused);
        }
        let bare = check_metadata(None, &plan, &bench.scope()).expect("a review").outcome;
        assert_eq!((bare.label, bare.override_command), (json!([]), true));
    }

    proptest! {
        #[test]
        fn no_label_panics(text in "[\\[\\]{}\":,a-z${}/=]{0,60}") {
            let bench = Bench::json(r#"{"image": "debian"}"#);
            let _ = check_metadata(Some(&text), &bench.plan(), &bench.scope());
        }
    }
}
