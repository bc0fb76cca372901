//! `secrets` and `configs` of a service: files of the checkout become mounts.

use serde_json::{Map, Value, json};

use super::super::ledger::{Ledger, Place};
use super::super::mount::{Wish, judge_target};
use super::super::node::Node;
use super::file::File;

impl File<'_, '_> {
    /// A service's entry of `secrets` or `configs` (`key`): a file of the checkout becomes a mount.
    pub fn granted(
        &self,
        key: &str,
        node: &Node,
        place: &Place,
        kept: &mut Map<String, Value>,
        ledger: &mut Ledger<'_>,
    ) -> Option<(Place, Wish)> {
        let name = node.scalar().or_else(|| node.value("source").and_then(Node::scalar))?;
        let Some(source) = self.document.value(key).and_then(|all| all.value(&name)) else {
            ledger.broken(place, "it is not declared at the top of this file");
            return None;
        };
        let usual =
            if key == "secrets" { format!("/run/secrets/{name}") } else { format!("/{name}") };
        let target = match node.value("target").and_then(Node::text) {
            None => usual,
            Some(target) if target.starts_with('/') => target.to_owned(),
            Some(target) => format!("/run/secrets/{target}"),
        };
        if key == "configs" && source.member("content").is_some() {
            judge_target(&target, place, ledger)?;
            let list = kept.entry(key).or_insert_with(|| json!([]));
            list.as_array_mut()?.push(node.to_json());
            return None;
        }
        let Some(path) = source.value("file").and_then(Node::text) else {
            let reason = if source.member("environment").is_some() {
                "the server's environment is not for repositories"
            } else {
                "only files of the repository can be given to a service"
            };
            ledger.strip(place, reason);
            return None;
        };
        let kind = "bind".to_owned();
        let source =
            if path.starts_with(['/', '.', '~']) { path.to_owned() } else { format!("./{path}") };
        Some((place.clone(), Wish { kind, source, target, read_only: true, ..Wish::default() }))
    }
}

/// `configs` whose content stands in the file; those that are files become mounts.
pub fn inline_configs(node: &Node) -> Value {
    let inline = node.members().iter().filter_map(|member| {
        let content = member.value.value("content")?.text()?;
        Some((member.name.clone(), json!({ "content": content })))
    });
    Value::Object(inline.collect())
}
