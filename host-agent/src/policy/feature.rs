//! `features`: which are installed, where they come from, and which Hatchery supersedes.

use serde_json::{Map, Value};

use super::checkout::{Checkout, Kind, ReadError, parent, resolve};
use super::jsonc;
use super::ledger::{Ledger, Place};
use super::node::Node;
use super::plan::Reference;
use super::reference::{FeatureReference, judge_registry};

/// The registry behind a bare feature name.
const LEGACY_REGISTRY: &str = "ghcr.io";
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
        if is_superseded(&member.name, &member.value, &mut features, &place, ledger) {
            continue;
        }
        if judge_reference(&member.name, folder, checkout, &place, ledger) {
            if !matches!(FeatureReference::parse(&member.name), FeatureReference::Local(_)) {
                features.references.push(Reference::Feature(member.name.clone()));
            }
            features.kept.insert(member.name.clone(), member.value.to_json());
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
pub fn judge_reference(
    name: &str,
    folder: &str,
    checkout: &Checkout,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> bool {
    match FeatureReference::parse(name) {
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
        FeatureReference::Local(path) => judge_local(path, folder, checkout, place, ledger),
    }
}

fn judge_local(
    path: &str,
    folder: &str,
    checkout: &Checkout,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> bool {
    let Some(directory) = resolve(folder, path) else {
        ledger.refuse_whole(place, "it leads out of the repository");
        return false;
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
        return false;
    }
    judge_manifest(&directory, checkout, place, ledger)
}

/// A local feature's own manifest names further features, which are fetched with it.
fn judge_manifest(
    directory: &str,
    checkout: &Checkout,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> bool {
    let file = format!("{directory}/devcontainer-feature.json");
    let text = match checkout.read(&file) {
        Ok(text) => text,
        Err(error) => {
            ledger.unreadable(place, &error);
            return false;
        }
    };
    let manifest = match jsonc::parse(&text) {
        Ok(manifest) => manifest,
        Err(flaw) => {
            ledger.flaw(&file, &flaw);
            return false;
        }
    };
    let depends = manifest.value("dependsOn").map_or(&[][..], Node::members);
    let after = manifest.value("installsAfter").and_then(Node::list).unwrap_or_default();
    let names = depends.iter().map(|member| (member.line, member.name.as_str()));
    let names = names.chain(after.iter().filter_map(|node| Some((node.line, node.text()?))));
    let mut fine = true;
    for (line, name) in names.collect::<Vec<_>>() {
        let place = Place::new(&file, line, name);
        fine &= match FeatureReference::parse(name) {
            FeatureReference::Local(_) => {
                ledger.refuse_whole(&place, "a feature depends on features of registries only");
                false
            }
            _ => judge_reference(name, directory, checkout, &place, ledger),
        };
    }
    fine
}
