//! The policy: nothing that is refused is in what is left, and what is left is refused nothing when
//! it is judged again.

mod sound;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hatchery::policy::{Examined, Form, Plan, Scope, Verdict, check_metadata, examine};
use hatchery_protocol::{DroneName, RepoName};
use serde_json::Value;

use super::text;

const DOCKERFILE: &str = r#"{"build": {"dockerfile": "Dockerfile", "args": {"A": "x"}}}"#;
const COMPOSE: &str =
    r#"{"dockerComposeFile": "compose.yaml", "service": "app", "workspaceFolder": "/w/web"}"#;
const IMAGE: &str = r#"{"image": "debian:12", "runArgs": ["--init", "-eA=b"]}"#;

const JSON: &str = ".devcontainer/devcontainer.json";
const YAML: &str = ".devcontainer/compose.yaml";

/// A checkout with something for every kind of reference to find.
struct Checkout {
    directory: tempfile::TempDir,
    drone: DroneName,
    repo: RepoName,
    registries: Vec<String>,
}

impl Checkout {
    fn new() -> Self {
        let checkout = Self {
            directory: tempfile::tempdir().expect("a directory"),
            drone: "acme-web".parse().expect("a name"),
            repo: "acme/web".parse().expect("a repository"),
            registries: ["docker.io", "ghcr.io", "localhost"].map(str::to_owned).to_vec(),
        };
        for (path, text) in [
            ("Dockerfile", "FROM debian\n"),
            (".devcontainer/Dockerfile", "ARG A=debian\nFROM $A\n"),
            (YAML, "services: {app: {image: debian}}\n"),
            (".devcontainer/base.yaml", "services: {base: {image: debian, init: true}}\n"),
            (".devcontainer/.env", "IMAGE=debian\nX=/etc\n"),
            (".devcontainer/feature/devcontainer-feature.json", r#"{"id": "feature"}"#),
            ("a/b", ""),
        ] {
            checkout.write(path, text);
        }
        for (path, target) in [("out", "/etc"), (".devcontainer/in", "feature")] {
            std::os::unix::fs::symlink(target, checkout.path().join(path)).expect("a link");
        }
        checkout
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("web")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
        std::fs::write(path, text).expect("write");
    }

    fn scope(&self) -> Scope<'_> {
        Scope {
            drone: &self.drone,
            repo: &self.repo,
            registries: &self.registries,
            rules: &[],
            default_image: "",
            sshd_injected: true,
            volume_subpaths: true,
            local_env: BTreeMap::from([("TZ".to_owned(), "UTC".to_owned())]),
        }
    }

    fn examine(&self) -> Option<Examined> {
        examine(&self.path(), Some(JSON), &self.scope(), &|_| false).ok()
    }
}

/// Runs `work` on this thread's checkout and a second one for what is judged again.
fn with_checkouts(work: impl FnOnce(&Checkout, &Checkout)) {
    thread_local! {
        static CHECKOUTS: RefCell<Option<(Checkout, Checkout)>> = const { RefCell::new(None) };
    }
    CHECKOUTS.with_borrow_mut(|slot| {
        let (one, other) = slot.get_or_insert_with(|| (Checkout::new(), Checkout::new()));
        work(one, other);
    });
}

/// The plan of a configuration that a spawn could go on with, even if without what is refused.
fn accepted(examined: Examined) -> Option<Plan> {
    let permitted = examined.findings.iter().any(|one| one.verdict == Verdict::Permit);
    assert!(!permitted, "nothing is permitted here");
    let mut refused = examined.findings.iter().filter(|one| one.verdict == Verdict::Refuse);
    let fine = examined.broken.is_empty() && refused.all(|one| one.droppable);
    examined.plan.filter(|_| fine)
}

/// What was staged, judged once more.
fn judge_again(plan: &Plan, again: &Checkout) {
    again.write(JSON, &plan.devcontainer_json.to_string());
    if let Form::Compose(compose) = &plan.form {
        for file in &compose.files {
            again.write(&file.path, &without_volumes(&file.text));
        }
    }
    let examined = again.examine();
    restore(again);
    let Some(examined) = examined else {
        unreachable!("what was staged cannot be read: {}", plan.devcontainer_json)
    };
    let refused: Vec<_> =
        examined.findings.iter().filter(|one| one.verdict != Verdict::Strip).collect();
    assert!(refused.is_empty(), "{refused:#?} in {plan:#?}");
    assert!(examined.plan.is_some(), "{:#?} of {plan:#?}", examined.broken);
}

/// Puts back what a staged file replaced.
fn restore(checkout: &Checkout) {
    checkout.write(YAML, "services: {app: {image: debian}}\n");
    checkout.write(".devcontainer/base.yaml", "services: {base: {image: debian, init: true}}\n");
}

/// A staged Compose file without the volumes, which are the engine's names there: a repository may
/// not have those.
fn without_volumes(text: &str) -> String {
    let mut file: Value = serde_json::from_str(text).expect("staged files are JSON");
    let map = file.as_object_mut().expect("an object");
    map.remove("volumes");
    let services = map.get_mut("services").and_then(Value::as_object_mut);
    for service in services.into_iter().flat_map(|services| services.values_mut()) {
        service.as_object_mut().expect("an object").remove("volumes");
    }
    file.to_string()
}

fn judge(input: &str, path: &str, config: &str) {
    with_checkouts(|checkout, again| {
        checkout.write(JSON, config);
        checkout.write(path, input);
        let examined = checkout.examine();
        restore(checkout);
        if let Some(plan) = examined.and_then(accepted) {
            sound::plan(&plan);
            judge_again(&plan, again);
        }
    });
}

/// The input is devcontainer.json.
pub fn policy_devcontainer(data: &[u8]) {
    if let Some(text) = text(data) {
        judge(text, JSON, text);
    }
}

/// The input is a Compose file.
pub fn policy_compose(data: &[u8]) {
    if let Some(text) = text(data) {
        judge(text, YAML, COMPOSE);
    }
}

/// The input is a Dockerfile.
pub fn policy_dockerfile(data: &[u8]) {
    let Some(text) = text(data) else { return };
    with_checkouts(|checkout, _| {
        checkout.write(JSON, DOCKERFILE);
        let path = ".devcontainer/Dockerfile";
        checkout.write(path, text);
        let examined = checkout.examine();
        checkout.write(path, "ARG A=debian\nFROM $A\n");
        if let Some(plan) = examined.and_then(accepted) {
            sound::plan(&plan);
        }
    });
}

/// The input is an image's label `devcontainer.metadata`.
pub fn policy_label(data: &[u8]) {
    let Some(text) = text(data) else { return };
    with_checkouts(|checkout, _| {
        checkout.write(JSON, IMAGE);
        let plan = checkout.examine().and_then(accepted).expect("a plan");
        let Ok(review) = check_metadata(Some(text), &plan, &checkout.scope()) else { return };
        if !review.broken.is_empty() {
            return;
        }
        let effective = review.outcome;
        sound::effective(&effective);
        let mut label = effective.label.clone();
        for entry in label.as_array_mut().expect("an array") {
            entry.as_object_mut().expect("an object").remove("mounts");
        }
        let again = check_metadata(Some(&label.to_string()), &plan, &checkout.scope());
        let again = again.expect("a label of ours");
        let refused: Vec<_> =
            again.findings.iter().filter(|one| one.verdict != Verdict::Strip).collect();
        assert!(refused.is_empty() && again.broken.is_empty(), "{refused:#?} in {label:#}");
    });
}

/// Whether `path` lies in a checkout, as far as its text says.
fn is_inside(path: &str) -> bool {
    !path.starts_with('/') && !Path::new(path).components().any(|part| part.as_os_str() == "..")
}
