//! `build` of a Compose service.

use serde_json::{Map, Value, json};

use super::super::build::{
    BuildContext, judge_caches, judge_context, judge_dockerfile, judge_fetched,
};
use super::super::checkout::resolve;
use super::super::finding::Permit;
use super::super::ledger::{Ledger, Place};
use super::super::metadata;
use super::super::node::{Member, Node};
use super::super::reference::judge_image;
use super::environment;
use super::file::File;

/// Judges `build`, a context's path or an object; what is left of it.
pub fn judge_build(
    node: &Node,
    place: &Place,
    file: &mut File<'_, '_>,
    ledger: &mut Ledger<'_>,
) -> Option<Value> {
    let context_name =
        node.text().or_else(|| node.value("context").and_then(Node::text)).unwrap_or(".");
    if context_name.contains("://") || context_name.starts_with("git@") {
        ledger.refuse_whole(place, "the build context is fetched past [registries]");
        return None;
    }
    let base = file.base.clone();
    let scope = BuildContext { folder: &base, ..file.project.build };
    let context = judge_context(context_name, scope, place, ledger)?;
    let args = environment::words(node.value("args"), &file.values);
    let references = match node.value("dockerfile_inline").and_then(Node::text) {
        Some(text) => judge_fetched(text, &place.file, &args, scope, ledger)?,
        None => {
            let name = node.value("dockerfile").and_then(Node::text).unwrap_or("Dockerfile");
            judge_dockerfile(resolve(&context, name).as_deref(), &args, scope, place, ledger)?
        }
    };
    file.project.references.extend(references);
    let mut kept = Map::from_iter([("context".to_owned(), json!(context_name))]);
    if !args.is_empty() {
        kept.insert("args".to_owned(), json!(args));
    }
    for member in node.members() {
        let place = place.inner(member.line, &member.name);
        if let Some(left) = judge_option(member, scope, &place, ledger) {
            kept.insert(member.name.clone(), left);
        }
    }
    Some(Value::Object(kept))
}

/// One key of `build`, without the context and the arguments.
fn judge_option(
    member: &Member,
    scope: BuildContext<'_>,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<Value> {
    let value = &member.value;
    match member.name.as_str() {
        "context" | "args" => None,
        "dockerfile" | "dockerfile_inline" | "target" | "extra_hosts" | "no_cache"
        | "platforms" | "pull" | "shm_size" => Some(value.to_json()),
        "cache_from" => Some(json!(judge_caches(value, scope, place, ledger))),
        "additional_contexts" => Some(contexts(value, scope, place, ledger)),
        "network" => network(value, place, ledger),
        "privileged" => metadata::judge_privileges("privileged", value, place, ledger),
        "entitlements" => ledger
            .ask(Permit::Privileged, place, "a build with entitlements reaches the host")
            .then(|| value.to_json()),
        "tags" | "labels" | "isolation" | "provenance" | "sbom" | "ulimits" => {
            ledger.strip(place, "the host sets it itself");
            None
        }
        _ => {
            ledger.refuse(place, "not a build option that the policy knows");
            None
        }
    }
}

fn network(node: &Node, place: &Place, ledger: &mut Ledger<'_>) -> Option<Value> {
    let value = node.text().unwrap_or_default();
    if matches!(value, "none" | "default") {
        return Some(json!(value));
    }
    ledger
        .ask(Permit::HostNetwork, place, "a build on this network reaches the host")
        .then(|| json!(value))
}

/// `additional_contexts`: directories of the checkout, images, services; an object or a list.
fn contexts(node: &Node, scope: BuildContext<'_>, place: &Place, ledger: &mut Ledger<'_>) -> Value {
    let mut kept = Map::new();
    for (name, value) in environment::pairs(node) {
        let place = place.with(&name);
        let value = value.unwrap_or_default();
        let fine = if let Some(image) = value.strip_prefix("docker-image://") {
            judge_image(image, &place, scope.is_local, ledger)
        } else if value.starts_with("service:") {
            true
        } else if value.contains("://") {
            ledger.refuse_whole(&place, "the build context is fetched past [registries]");
            false
        } else {
            judge_context(&value, scope, &place, ledger).is_some()
        };
        if fine {
            kept.insert(name, json!(value));
        }
    }
    Value::Object(kept)
}
