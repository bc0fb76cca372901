//! `environment` and `env_file` of a Compose service: files are read here and become variables, so
//! that Compose reads no file for them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::checkout::{ReadError, resolve};
use super::super::ledger::{Ledger, Place};
use super::super::node::Node;
use super::file::File;
use super::interpolate::parse_env;

/// An object, or a list of `name=value`, as pairs; `None`: the name alone.
pub fn pairs(node: &Node) -> Vec<(String, Option<String>)> {
    let listed = node.list().unwrap_or_default().iter().filter_map(Node::scalar).map(|text| {
        match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text, None),
        }
    });
    let mapped = node.members().iter().map(|member| (member.name.clone(), member.value.scalar()));
    listed.chain(mapped).collect()
}

/// The same with values; a name alone has the one of the project's `.env`, or goes.
pub fn words(node: Option<&Node>, values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let pairs = node.map(pairs).unwrap_or_default();
    let valued = pairs.into_iter().filter_map(|(name, value)| {
        let value = value.or_else(|| values.get(&name).cloned())?;
        Some((name, value))
    });
    valued.collect()
}

/// Puts the service's environment, files first, into `kept`.
pub fn judge_environment(
    service: &Node,
    place: &Place,
    kept: &mut Map<String, Value>,
    file: &File<'_, '_>,
    ledger: &mut Ledger<'_>,
) {
    let mut environment = BTreeMap::new();
    if let Some(member) = service.member("env_file") {
        let place = place.inner(member.line, "env_file");
        let single = [member.value.clone()];
        for node in member.value.list().unwrap_or(&single) {
            environment.extend(env_file(node, &place.at(node.line), file, ledger));
        }
    }
    let declared = service.value("environment");
    environment.extend(words(declared, &file.values));
    for (name, value) in declared.map(pairs).unwrap_or_default() {
        if value.is_none() && !environment.contains_key(&name) {
            let place = place.with(&format!("environment {name}"));
            ledger.strip(&place, "the server's environment is not for repositories");
        }
    }
    if !environment.is_empty() {
        kept.insert("environment".to_owned(), json!(environment));
    }
}

fn env_file(
    node: &Node,
    place: &Place,
    file: &File<'_, '_>,
    ledger: &mut Ledger<'_>,
) -> BTreeMap<String, String> {
    let path = node.scalar().or_else(|| node.value("path").and_then(Node::scalar));
    let path = path.unwrap_or_default();
    let Some(inside) = resolve(&file.base, &path) else {
        ledger.refuse(place, format!("{path:?} is a file of the host, outside the repository"));
        return BTreeMap::new();
    };
    match file.project.build.checkout.read(&inside) {
        Ok(text) => return parse_env(&text),
        // Env files are what people keep out of git.
        Err(ReadError::Missing(_)) => {
            ledger.strip(place, format!("{inside} is not in the repository"));
        }
        Err(ReadError::Leaves(_)) => {
            ledger.refuse(place, format!("{inside} leads to a file of the host"));
        }
        Err(error @ ReadError::Unfit { .. }) => ledger.unreadable(place, &error),
    }
    BTreeMap::new()
}
