//! `include` and `extends`: other files that a Compose file brings in.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::checkout::{ReadError, parent, resolve};
use super::super::ledger::{Ledger, Place};
use super::super::node::Node;
use super::file::{File, Role, judge_file, project_values};
use super::interpolate::parse_env;

impl File<'_, '_> {
    /// Judges the file that a service extends one of, whose relative paths start from its own
    /// folder; `Some`: its path.
    pub fn extended(
        &mut self,
        other: &str,
        place: &Place,
        ledger: &mut Ledger<'_>,
    ) -> Option<String> {
        let path = self.other(other, place, ledger)?;
        let base = parent(&path).to_owned();
        // Its variables are the extending project's.
        let values = self.values.clone();
        judge_file(&path, &base, values, Role::Extended, place, self.project, ledger);
        // Compose takes over the service, not the volumes that its file declares.
        let volumes = self.project.volumes_of.get(&path).cloned();
        self.volumes.extend(volumes.into_iter().flatten());
        Some(path)
    }

    /// Judges what is included; what is left of `include`.
    pub fn include(&mut self, node: &Node, place: &Place, ledger: &mut Ledger<'_>) -> Vec<Value> {
        let mut kept = vec![];
        for entry in node.list().unwrap_or_default() {
            let place = place.at(entry.line);
            let unknown = entry.members().iter().find(|member| {
                !matches!(member.name.as_str(), "path" | "project_directory" | "env_file")
            });
            match unknown {
                Some(member) => {
                    let place = place.inner(member.line, &member.name);
                    ledger.refuse_whole(&place, "not a key that the policy knows");
                }
                None => kept.extend(self.included(entry, &place, ledger)),
            }
        }
        kept
    }

    fn included(&mut self, entry: &Node, place: &Place, ledger: &mut Ledger<'_>) -> Option<Value> {
        let names = words(entry.value("path").unwrap_or(entry));
        let mut paths = vec![];
        for name in &names {
            paths.push(self.other(name, place, ledger)?);
        }
        let folder = entry.value("project_directory").and_then(Node::scalar);
        let base = match &folder {
            Some(folder) => self.other(folder, place, ledger)?,
            None => parent(paths.first()?).to_owned(),
        };
        let mut values = match entry.value("env_file") {
            Some(files) => self.env_files(files, place, ledger)?,
            None => project_values(&base, place, self.project, ledger),
        };
        // What the including project sets wins.
        values.extend(self.values.clone());
        for path in &paths {
            judge_file(path, &base, values.clone(), Role::Included, place, self.project, ledger);
        }
        Some(match folder {
            Some(folder) => json!({ "path": names, "project_directory": folder }),
            None => json!({ "path": names }),
        })
    }

    fn env_files(
        &self,
        files: &Node,
        place: &Place,
        ledger: &mut Ledger<'_>,
    ) -> Option<BTreeMap<String, String>> {
        let mut values = BTreeMap::new();
        for name in words(files) {
            let path = self.other(&name, place, ledger)?;
            match self.project.build.checkout.read(&path) {
                Ok(text) => values.extend(parse_env(&text)),
                Err(ReadError::Missing(_)) => {
                    ledger.strip(place, format!("{path} is not in the repository"));
                }
                Err(error) => {
                    ledger.unreadable(place, &error);
                    return None;
                }
            }
        }
        Some(values)
    }

    /// A path of the checkout, named from this file; `None`: refused.
    fn other(&self, name: &str, place: &Place, ledger: &mut Ledger<'_>) -> Option<String> {
        let path = resolve(&self.base, name).filter(|_| !name.contains("://"));
        if path.is_none() {
            ledger.refuse_whole(place, "it leads out of the repository");
        }
        path
    }
}

/// A word, or a list of them.
fn words(node: &Node) -> Vec<String> {
    let single = [node.clone()];
    node.list().unwrap_or(&single).iter().filter_map(Node::scalar).collect()
}
