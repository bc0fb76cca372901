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
use super::super::plan::Reference;
use super::super::reference::judge_image;
use super::file::File;
use super::{BuildSoFar, JudgedService, environment};

/// Judges `build`, a context's path or an object, on top of what earlier files say of it; what is
/// left of it.
pub fn judge_build(
    node: &Node,
    place: &Place,
    judged: &mut JudgedService,
    file: &mut File<'_, '_>,
    ledger: &mut Ledger<'_>,
) -> Option<Value> {
    judged.service.builds = true;
    let base = file.base.clone();
    let scope = BuildContext { folder: &base, ..file.project.build };
    let named = node.text().or_else(|| node.value("context").and_then(Node::text));
    let mut build = judged.build.clone().unwrap_or_default();
    let mut kept = Map::new();
    if named.is_some() || judged.build.is_none() {
        let name = named.unwrap_or(".");
        build.context = context(name, scope, place, ledger)?;
        kept.insert("context".to_owned(), json!(name));
    }
    for key in ["dockerfile", "dockerfile_inline"] {
        let Some(member) = node.member(key).filter(|member| !member.value.is_null()) else {
            continue;
        };
        let place = place.inner(member.line, key);
        let Some(text) = member.value.text() else {
            ledger.broken(&place, "a text is expected");
            return None;
        };
        kept.insert(key.to_owned(), json!(text));
        match key {
            "dockerfile" => build.dockerfile = Some(text.to_owned()),
            _ => build.inline = Some((text.to_owned(), place)),
        }
    }
    arguments(node, file, &mut build, &mut kept);
    let staged = BuildContext { target: build.target.as_deref(), ..scope };
    file.project.references.extend(dockerfiles(&build, staged, place, ledger)?);
    judged.build = Some(build);
    for member in node.members() {
        let place = place.inner(member.line, &member.name);
        if let Some(left) = judge_option(member, scope, &place, ledger) {
            kept.insert(member.name.clone(), left);
        }
    }
    Some(Value::Object(kept))
}

/// `args` and `target`, which decide what the Dockerfile fetches.
fn arguments(
    node: &Node,
    file: &File<'_, '_>,
    build: &mut BuildSoFar,
    kept: &mut Map<String, Value>,
) {
    let args = environment::words(node.value("args"), &file.values);
    if !args.is_empty() {
        kept.insert("args".to_owned(), json!(args));
        build.args.extend(args);
    }
    let target = node.value("target").and_then(Node::text).map(str::to_owned);
    build.target = target.or(build.target.take());
}

fn context(
    name: &str,
    scope: BuildContext<'_>,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<String> {
    if name.contains("://") || name.starts_with("git@") {
        ledger.refuse_whole(place, "the build context is fetched past [registries]");
        return None;
    }
    judge_context(name, scope, place, ledger)
}

/// Judges what the build's Dockerfile fetches, whether it is a file or stands in `build`.
fn dockerfiles(
    build: &BuildSoFar,
    scope: BuildContext<'_>,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<Vec<Reference>> {
    let mut references = vec![];
    if let Some((text, place)) = &build.inline {
        let place_of = |_, instruction: &str| place.with(instruction);
        references.extend(judge_fetched(text, &place_of, &build.args, scope, ledger)?);
    }
    if build.inline.is_none() || build.dockerfile.is_some() {
        let name = build.dockerfile.as_deref().unwrap_or("Dockerfile");
        let path = resolve(&build.context, name);
        references.extend(judge_dockerfile(path.as_deref(), &build.args, scope, place, ledger)?);
    }
    Some(references)
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
        "context" | "args" | "dockerfile" | "dockerfile_inline" => None,
        "target" | "extra_hosts" | "no_cache" | "platforms" | "shm_size" => Some(value.to_json()),
        "pull" => {
            ledger.strip(place, "base images are looked up at every build");
            None
        }
        "cache_from" => Some(json!(judge_caches(value, place, ledger))),
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
