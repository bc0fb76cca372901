//! `features`: which are installed, where they come from, and which Hatchery supersedes.

use serde_json::{Map, Value};

use super::checkout::{Checkout, Kind, ReadError, parent, resolve};
use super::jsonc;
use super::ledger::{Ledger, Place};
use super::node::Node;
use super::plan::{FeatureUse, Reference};
use super::published::{further, judge_further};
use super::reference::{FeatureReference, judge_registry, legacy_feature};

/// The registry behind a bare feature name.
pub const LEGACY_REGISTRY: &str = "ghcr.io";
/// The feature whose place our own join takes.
const TAILSCALE: (&str, &str) = ("ghcr.io", "tailscale/codespace/tailscale");

/// What `features` comes to.
#[derive(Debug, Default)]
pub struct Features {
    /// What is installed, with its options.
    pub kept: Map<String, Value>,
    /// `overrideFeatureInstallOrder`.
    pub order: Vec<String>,
    /// Options of a declared sshd feature, which gave way to ours.
    pub sshd_options: Option<Value>,
    /// What is fetched.
    pub references: Vec<Reference>,
}

impl Features {
    /// `features` and `overrideFeatureInstallOrder` as they are staged.
    pub fn staged(&self) -> Map<String, Value> {
        let mut staged = Map::new();
        if !self.kept.is_empty() {
            staged.insert("features".to_owned(), Value::Object(self.kept.clone()));
        }
        if !self.order.is_empty() {
            staged.insert("overrideFeatureInstallOrder".to_owned(), self.order.clone().into());
        }
        staged
    }

    /// Judges `overrideFeatureInstallOrder`: the reference CLI fetches what it names.
    pub fn order(
        &mut self,
        node: &Node,
        folder: &str,
        checkout: &Checkout,
        place: &Place,
        ledger: &mut Ledger<'_>,
    ) {
        for node in node.list().unwrap_or_default() {
            let Some(name) = node.text() else { continue };
            let place = place.at(node.line);
            if matches!(FeatureReference::parse(name), FeatureReference::Registry { registry, path }
                if (registry, path) == TAILSCALE || is_sshd(path) && ledger.scope.sshd_injected)
            {
                continue;
            }
            if judge_reference(name, folder, checkout, &place, ledger) {
                self.order.push(name.to_owned());
            }
        }
    }
}

/// Whether a feature's path names an SSH server.
fn is_sshd(path: &str) -> bool {
    path.rsplit('/').next() == Some("sshd")
}

/// The lock file beside the configuration at `config`: the reference CLI reads it on the host.
pub fn judge_lock(config: &str, checkout: &Checkout, ledger: &mut Ledger<'_>) {
    let name = config.rsplit('/').next().unwrap_or(config);
    let hidden = if name.starts_with('.') { "." } else { "" };
    let Some(path) = resolve(parent(config), &format!("{hidden}devcontainer-lock.json")) else {
        return;
    };
    let place = Place::new(&path, 1, "features");
    match checkout.read(&path) {
        Err(ReadError::Missing(_)) => {}
        Err(error) => ledger.unreadable(&place, &error),
        Ok(text) => {
            if let Err(flaw) = jsonc::parse(&text) {
                ledger.flaw(&path, &flaw);
            }
        }
    }
}

/// Judges `features`; `folder` is the configuration's.
pub fn judge_features(
    node: &Node,
    folder: &str,
    checkout: &Checkout,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Features {
    let mut features = Features::default();
    if !node.is_map() {
        ledger.broken(place, "an object of features is expected");
        return features;
    }
    for member in node.members() {
        let place = place.inner(member.line, &member.name);
        let name = match FeatureReference::parse(&member.name) {
            FeatureReference::Legacy(name) => match legacy_feature(name) {
                Some(reference) => reference,
                None => {
                    ledger.strip(
                        &place,
                        "there is no such feature: they are named with their registry",
                    );
                    continue;
                }
            },
            _ => member.name.clone(),
        };
        if is_superseded(&name, &member.value, &mut features, &place, ledger) {
            continue;
        }
        if let Some(manifest) = judge_feature(&name, folder, checkout, &place, ledger) {
            let used = FeatureUse { name: name.clone(), place, manifest };
            features.references.push(Reference::Feature(used));
            features.kept.insert(name, member.value.to_json());
        }
    }
    features
}

fn is_superseded(
    name: &str,
    options: &Node,
    features: &mut Features,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> bool {
    let FeatureReference::Registry { registry, path } = FeatureReference::parse(name) else {
        return false;
    };
    if (registry, path) == TAILSCALE {
        ledger.tailscale_superseded = true;
        ledger.strip(place, "Hatchery joins the drone to the tailnet itself");
        return true;
    }
    if is_sshd(path) && ledger.scope.sshd_injected {
        features.sshd_options = Some(options.to_json());
        ledger.strip(place, "[features] sshd takes its place, with these options");
        return true;
    }
    false
}

/// Judges where a feature comes from; `true`: it may be used.
fn judge_reference(
    name: &str,
    folder: &str,
    checkout: &Checkout,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> bool {
    judge_feature(name, folder, checkout, place, ledger).is_some()
}

/// The same; inside it the manifest of a local one. `None`: it may not be used.
fn judge_feature(
    name: &str,
    folder: &str,
    checkout: &Checkout,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<Option<String>> {
    let fine = match FeatureReference::parse(name) {
        FeatureReference::Registry { registry, .. } => judge_registry(registry, place, ledger),
        FeatureReference::Legacy(_) => judge_registry(LEGACY_REGISTRY, place, ledger),
        FeatureReference::Url => {
            ledger.refuse_whole(place, "features come from registries, not from plain URLs");
            false
        }
        FeatureReference::Unknown => {
            ledger.refuse_whole(place, "not a feature that the policy knows how to fetch");
            false
        }
        FeatureReference::Local(path) => {
            return judge_local(path, folder, checkout, place, ledger).map(Some);
        }
    };
    fine.then_some(None)
}

/// The manifest of a feature of the checkout's.
fn judge_local(
    path: &str,
    folder: &str,
    checkout: &Checkout,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<String> {
    let Some(directory) = resolve(folder, path) else {
        ledger.refuse_whole(place, "it leads out of the repository");
        return None;
    };
    // The reference CLI copies the directory on the host and follows links while it does.
    let kind = checkout.kind(&directory).and_then(|kind| match kind {
        Kind::Directory => checkout.stays_inside(&directory),
        Kind::File => Err(ReadError::Unfit {
            path: directory.clone(),
            what: "is a file, not a feature's directory".to_owned(),
        }),
    });
    if let Err(error) = kind {
        ledger.unreadable(place, &error);
        return None;
    }
    judge_manifest(&directory, checkout, place, ledger)
}

/// A local feature's own manifest names further features, which are fetched with it.
fn judge_manifest(
    directory: &str,
    checkout: &Checkout,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<String> {
    let file = format!("{directory}/devcontainer-feature.json");
    let text = match checkout.read(&file) {
        Ok(text) => text,
        Err(error) => {
            ledger.unreadable(place, &error);
            return None;
        }
    };
    let manifest = match jsonc::parse(&text) {
        Ok(manifest) => manifest,
        Err(flaw) => {
            ledger.flaw(&file, &flaw);
            return None;
        }
    };
    let mut fine = true;
    for named in further(&manifest) {
        let place = Place::new(&file, named.line, &named.name);
        fine &= judge_further(&named.name, &place, ledger);
    }
    fine.then_some(text)
}
