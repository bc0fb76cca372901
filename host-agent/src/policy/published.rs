//! Pass (b) over features: what their registries say of them, before anything is built.

use serde_json::{Map, Value};

use super::feature::LEGACY_REGISTRY;
use super::finding::{Finding, Permit, Review, Verdict};
use super::jsonc;
use super::ledger::{Ledger, Place};
use super::metadata::check_metadata;
use super::node::Node;
use super::plan::{FeatureUse, Plan};
use super::reference::{FeatureReference, judge_registry};
use super::scope::Scope;
use crate::lifecycle::Failure;

/// What a manifest can ask of the host; all else in it is confined to the drone.
const ASKING: [&str; 4] = ["capAdd", "mounts", "privileged", "securityOpt"];

/// A feature that another one's manifest names.
#[derive(Debug)]
pub struct Further {
    /// As it stands there.
    pub name: String,
    /// Its line there.
    pub line: u32,
    /// `dependsOn`: it is installed too. Else it is `installsAfter`, which puts in order.
    pub installed: bool,
}

/// What `manifest` names. The reference CLI fetches the manifests of all of them.
pub fn further(manifest: &Node) -> Vec<Further> {
    let depends = manifest.value("dependsOn").map_or(&[][..], Node::members);
    let depends = depends.iter().map(|member| Further {
        name: member.name.clone(),
        line: member.line,
        installed: true,
    });
    let after = manifest.value("installsAfter").and_then(Node::list).unwrap_or_default();
    let after = after.iter().filter_map(|node| {
        let name = node.text()?.to_owned();
        Some(Further { name, line: node.line, installed: false })
    });
    depends.chain(after).collect()
}

/// Judges where a feature that another one names comes from: a registry, and nowhere else.
pub fn judge_further(name: &str, place: &Place, ledger: &mut Ledger<'_>) -> bool {
    match FeatureReference::parse(name) {
        FeatureReference::Registry { registry, .. } => judge_registry(registry, place, ledger),
        FeatureReference::Legacy(_) => judge_registry(LEGACY_REGISTRY, place, ledger),
        FeatureReference::Local(_) | FeatureReference::Url | FeatureReference::Unknown => {
            ledger.refuse_whole(place, "a feature depends on features of registries only");
            false
        }
    }
}

/// What the manifest of `used` names further, judged before any of that is contacted. `metadata` is
/// its `devcontainer-feature.json`. The outcome is what is installed with it, to be looked at next.
///
/// # Errors
/// As the other passes.
pub fn check_feature(
    used: &FeatureUse,
    metadata: Option<&str>,
    scope: &Scope<'_>,
) -> Result<Review<Vec<FeatureUse>>, Failure> {
    let mut ledger = Ledger::new(scope);
    let mut outcome = vec![];
    match metadata.map(jsonc::parse) {
        Some(Ok(manifest)) => {
            for named in further(&manifest) {
                let key = if named.installed { "dependsOn" } else { "installsAfter" };
                let place = used.place.with(&format!("{key} {}", named.name));
                if judge_further(&named.name, &place, &mut ledger) && named.installed {
                    outcome.push(FeatureUse { name: named.name, place, manifest: None });
                }
            }
        }
        Some(Err(flaw)) => {
            ledger.refuse_whole(&used.place, format!("its manifest does not parse: {flaw}"));
        }
        None => {
            let reason = "its registry does not say what else it installs";
            ledger.ask_whole(Permit::Registries, &used.place, reason);
        }
    }
    let (findings, broken) = ledger.close();
    Review::new(outcome, findings, broken)
}

/// What the manifest of `used` asks of the host, before anything is built: the refusals and
/// permissions of the third pass, whose strips come with that.
///
/// # Errors
/// As the third pass.
pub fn check_requests(
    used: &FeatureUse,
    metadata: &str,
    plan: &Plan,
    scope: &Scope<'_>,
) -> Result<Vec<Finding>, Failure> {
    let Ok(manifest) = jsonc::parse(metadata) else { return Ok(vec![]) };
    let mut findings = vec![];
    for key in ASKING {
        let Some(asked) = manifest.value(key) else { continue };
        let entry = Map::from_iter([(key.to_owned(), asked.to_json())]);
        let label = Value::Array(vec![Value::Object(entry)]).to_string();
        let said = check_metadata(Some(&label), plan, scope)?.findings.into_iter();
        let own = said.filter(|one| one.verdict != Verdict::Strip);
        findings.extend(own.map(|one| Finding {
            file: used.place.file.clone(),
            line: used.place.line,
            subject: used.place.with(key).subject,
            ..one
        }));
    }
    Ok(findings)
}
