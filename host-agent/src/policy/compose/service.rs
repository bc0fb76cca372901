//! One service of a Compose file.

use serde_json::{Map, Value, json};

use super::super::finding::Permit;
use super::super::ledger::{Ledger, Place};
use super::super::mount::{Wish, judge_mount};
use super::super::node::{Member, Node};
use super::super::plan::{Mount, Reference, Service};
use super::super::quantity::parse_bytes;
use super::super::reference::judge_image;
use super::super::{metadata, privilege};
use super::file::{File, Role, WORKSPACE_KEY};
use super::keys::{Rule, rule};
use super::{JudgedService as Judged, build, environment};

/// Judges one service; what is left of it for the staged file.
pub fn judge_service(
    name: &str,
    node: &Node,
    place: &Place,
    file: &mut File<'_, '_>,
    ledger: &mut Ledger<'_>,
) -> Value {
    let mut kept = Map::new();
    let before = file.project.services.get(name).filter(|_| file.role != Role::Extended);
    let mut judged = before.cloned().unwrap_or_default();
    // First, whatever the order of the keys: the rest adds to it.
    if let Some(member) = node.member("extends") {
        let place = place.inner(member.line, "extends");
        let left = extends(&member.value, &place, &mut judged, file, ledger);
        kept.extend(left.map(|left| (member.name.clone(), left)));
    }
    for member in node.members() {
        let place = place.inner(member.line, &member.name);
        match rule(&member.name) {
            Rule::Keep => {
                kept.insert(member.name.clone(), member.value.to_json());
            }
            Rule::Strip(_) if member.name.starts_with("x-") => {}
            Rule::Strip(reason) => ledger.strip(&place, reason),
            Rule::Refuse(reason) => ledger.refuse(&place, reason),
            Rule::Ask(permit, reason) => {
                if ledger.ask(permit, &place, reason) {
                    kept.insert(member.name.clone(), member.value.to_json());
                }
            }
            Rule::Judge => {
                if let Some(value) = judge(member, node, &place, &mut judged, file, ledger) {
                    kept.insert(member.name.clone(), value);
                }
            }
        }
    }
    judged.mounts.extend(mounts(node, place, &mut kept, file, ledger));
    environment::judge_environment(node, place, &mut kept, file, ledger);
    if file.role != Role::Extended {
        file.project.services.insert(name.to_owned(), judged.clone());
    }
    file.project.extendable.insert((file.path.clone(), name.to_owned()), judged);
    Value::Object(kept)
}

/// Keys with a content to look at; `None`: nothing is left, or another function adds it.
fn judge(
    member: &Member,
    service_node: &Node,
    place: &Place,
    judged: &mut Judged,
    file: &mut File<'_, '_>,
    ledger: &mut Ledger<'_>,
) -> Option<Value> {
    let service = &mut judged.service;
    let node = &member.value;
    match member.name.as_str() {
        "image" => image(node, service_node, place, service, file, ledger),
        "build" => build::judge_build(node, place, judged, file, ledger),
        "privileged" => metadata::judge_privileges("privileged", node, place, ledger),
        "cap_add" => metadata::judge_privileges("capAdd", node, place, ledger),
        "security_opt" => metadata::judge_privileges("securityOpt", node, place, ledger),
        "network_mode" => network_mode(node, place, service, ledger),
        "networks" => networks(node, service_node, place, ledger),
        "pid" | "ipc" | "uts" | "userns_mode" | "cgroup" => {
            namespace(&member.name, node, place, ledger)
        }
        "devices" | "deploy" | "logging" | "oom_kill_disable" | "post_start" | "pre_stop" => {
            reaching(&member.name, node, place, ledger)
        }
        "labels" => Some(labels(node, place, ledger)),
        "sysctls" => Some(named(node, place, ledger, privilege::judge_sysctl)),
        "ulimits" => Some(named(node, place, ledger, privilege::judge_ulimit)),
        "volumes_from" => volumes_from(node, place, ledger),
        // `volumes`, `tmpfs`, `secrets` and `configs` are mounts, `environment` and `env_file` one;
        // `extends` was first.
        _ => None,
    }
}

/// Keys that may or may not reach beyond the drone; what comes last are hooks.
fn reaching(name: &str, node: &Node, place: &Place, ledger: &mut Ledger<'_>) -> Option<Value> {
    match name {
        "devices" => devices(node, place, ledger),
        "oom_kill_disable" => {
            if privilege::is_wanted(node) {
                ledger.refuse(place, "it weighs the drone against the host");
            }
            None
        }
        "logging" => {
            let driver = node.value("driver").and_then(Node::text);
            if matches!(driver, None | Some("json-file" | "local" | "none")) {
                ledger.strip(place, "the host sets it itself");
            } else {
                ledger.refuse(place, "a log driver writes to the host or the network");
            }
            None
        }
        "deploy" => deploy(node, place, ledger),
        _ => {
            let asks = |hook: &Node| hook.value("privileged").is_some_and(privilege::is_wanted);
            if !node.list().unwrap_or_default().iter().any(asks)
                || privilege::judge_privileged(place, ledger)
            {
                return Some(node.to_json());
            }
            None
        }
    }
}

/// `deploy`: of all that a cluster would want to know, devices alone concern the host.
fn deploy(node: &Node, place: &Place, ledger: &mut Ledger<'_>) -> Option<Value> {
    let reservations = node.value("resources").and_then(|node| node.value("reservations"));
    match reservations.and_then(|node| node.value("devices")) {
        Some(devices) => ledger
            .ask(Permit::Devices, place, "devices belong to the host")
            .then(|| json!({"resources": {"reservations": {"devices": devices.to_json()}}})),
        None => {
            ledger.strip(place, "the host sets the limits");
            None
        }
    }
}

fn devices(node: &Node, place: &Place, ledger: &mut Ledger<'_>) -> Option<Value> {
    let words = node.list()?.iter().map(|one| (one, device_name(one)));
    let kept =
        words.filter(|(one, device)| privilege::judge_device(device, &place.at(one.line), ledger));
    let kept: Vec<Value> = kept.map(|(one, _)| one.to_json()).collect();
    (!kept.is_empty()).then_some(Value::Array(kept))
}

fn image(
    node: &Node,
    service_node: &Node,
    place: &Place,
    service: &mut Service,
    file: &mut File<'_, '_>,
    ledger: &mut Ledger<'_>,
) -> Option<Value> {
    let Some(reference) = node.text() else {
        ledger.broken(place, "an image reference is expected");
        return None;
    };
    // Beside `build` it is only the name of what is built, which nobody fetches.
    if service_node.member("build").is_some() {
        ledger.strip(place, "the host names what it builds");
        return None;
    }
    if !judge_image(reference, place, file.project.build.is_local, ledger) {
        return None;
    }
    service.image = Some(reference.to_owned());
    file.project.references.push(Reference::Image(reference.to_owned()));
    Some(json!(reference))
}

/// `extends`: a service of this file, or of another one in the checkout.
fn extends(
    node: &Node,
    place: &Place,
    judged: &mut Judged,
    file: &mut File<'_, '_>,
    ledger: &mut Ledger<'_>,
) -> Option<Value> {
    let service = node.scalar().or_else(|| node.value("service").and_then(Node::scalar))?;
    for member in node.members() {
        if !matches!(member.name.as_str(), "file" | "service") {
            ledger.refuse_whole(&place.inner(member.line, &member.name), "not a known key");
        }
    }
    let other = node.value("file").and_then(Node::text);
    let path = match other {
        Some(other) => file.extended(other, place, ledger)?,
        None => {
            file.service(&service, ledger);
            file.path.clone()
        }
    };
    if let Some(base) = file.project.extendable.get(&(path, service.clone())) {
        judged.inherit(base);
    }
    Some(match other {
        Some(other) => json!({ "file": other, "service": service }),
        None => json!({ "service": service }),
    })
}

fn network_mode(
    node: &Node,
    place: &Place,
    service: &mut Service,
    ledger: &mut Ledger<'_>,
) -> Option<Value> {
    let mode = node.text().unwrap_or_default();
    if let Some(other) = mode.strip_prefix("service:") {
        service.network_of = Some(other.to_owned());
        return Some(json!(mode));
    }
    if mode == "none" {
        return Some(json!(mode));
    }
    privilege::judge_network(mode, place, ledger).then(|| json!(mode))
}

/// Which networks: all services of a drone share one; what is kept is the names it has there.
fn networks(
    node: &Node,
    service_node: &Node,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<Value> {
    let aliases: Vec<Value> = node
        .members()
        .iter()
        .filter_map(|member| member.value.value("aliases")?.list())
        .flatten()
        .map(Node::to_json)
        .collect();
    let only_default =
        node.list().is_some_and(|list| list.iter().all(|name| name.text() == Some("default")));
    if !only_default {
        ledger.strip(place, "every service of a drone is on the drone's one network");
    }
    let alone = service_node.member("network_mode").is_none();
    (alone && !aliases.is_empty()).then(|| json!({ "default": { "aliases": aliases } }))
}

fn namespace(name: &str, node: &Node, place: &Place, ledger: &mut Ledger<'_>) -> Option<Value> {
    let mode = node.text().unwrap_or_default();
    if matches!(name, "pid" | "ipc") && mode.starts_with("service:") {
        return Some(json!(mode));
    }
    let kind = match name {
        "userns_mode" => "userns",
        "cgroup" => "cgroupns",
        kind => kind,
    };
    privilege::judge_namespace(kind, mode, place, ledger).then(|| json!(mode))
}

fn device_name(node: &Node) -> String {
    let source = node.value("source").and_then(Node::text);
    node.text().or(source).unwrap_or_default().to_owned()
}

fn labels(node: &Node, place: &Place, ledger: &mut Ledger<'_>) -> Value {
    let mut kept = Map::new();
    let listed = node.list().unwrap_or_default().iter().filter_map(|node| {
        let text = node.scalar()?;
        let (name, value) = text.split_once('=').unwrap_or((&text, ""));
        Some((node.line, name.to_owned(), json!(value)))
    });
    let mapped = node.members().iter().map(|member| {
        (member.line, member.name.clone(), json!(member.value.scalar().unwrap_or_default()))
    });
    for (line, name, value) in listed.chain(mapped).collect::<Vec<_>>() {
        if privilege::judge_label(&name, &place.at(line), ledger) {
            kept.insert(name, value);
        }
    }
    Value::Object(kept)
}

/// An object or a list of `name=value`, filtered by name.
fn named(
    node: &Node,
    place: &Place,
    ledger: &mut Ledger<'_>,
    judge: fn(&str, &Place, &mut Ledger<'_>) -> bool,
) -> Value {
    if let Some(list) = node.list() {
        let kept = list.iter().filter(|node| {
            let text = node.scalar().unwrap_or_default();
            judge(text.split('=').next().unwrap_or_default(), &place.at(node.line), ledger)
        });
        return Value::Array(kept.map(Node::to_json).collect());
    }
    let kept =
        node.members().iter().filter(|member| judge(&member.name, &place.at(member.line), ledger));
    Value::Object(kept.map(|member| (member.name.clone(), member.value.to_json())).collect())
}

fn volumes_from(node: &Node, place: &Place, ledger: &mut Ledger<'_>) -> Option<Value> {
    let mut kept = vec![];
    for node in node.list()? {
        let text = node.scalar().unwrap_or_default();
        if text.starts_with("container:") {
            ledger.refuse(&place.at(node.line), "it reaches other containers");
        } else {
            kept.push(json!(text));
        }
    }
    (!kept.is_empty()).then_some(Value::Array(kept))
}

/// `volumes`, `tmpfs`, and `secrets` and `configs` that are files of the checkout.
fn mounts(
    node: &Node,
    place: &Place,
    kept: &mut Map<String, Value>,
    file: &mut File<'_, '_>,
    ledger: &mut Ledger<'_>,
) -> Vec<Mount> {
    let mut wishes: Vec<(Place, Wish)> = vec![];
    for key in ["volumes", "tmpfs", "secrets", "configs"] {
        let Some(member) = node.member(key) else { continue };
        let place = place.inner(member.line, key);
        let single = [member.value.clone()];
        for node in member.value.list().unwrap_or(&single) {
            let place = place.at(node.line);
            match key {
                "volumes" => wishes.push((place, volume_wish(node))),
                "tmpfs" => wishes.push((place, tmpfs_wish(&node.scalar().unwrap_or_default()))),
                _ => wishes.extend(file.granted(key, node, &place, kept, ledger)),
            }
        }
    }
    let (mut staged, mut mounts) = (vec![], vec![]);
    for (place, wish) in wishes {
        if let Some(mount) = judge_mount(&wish, file.mount_context(), &place, ledger) {
            staged.push(file.staged_mount(&mount, &wish.source));
            mounts.push(mount);
        }
    }
    if !staged.is_empty() {
        kept.insert("volumes".to_owned(), Value::Array(staged));
    }
    mounts
}

fn tmpfs_wish(text: &str) -> Wish {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let size = options.split(',').find_map(|option| option.strip_prefix("size="));
    Wish {
        kind: "tmpfs".to_owned(),
        target: target.to_owned(),
        size_bytes: size.and_then(parse_bytes),
        ..Wish::default()
    }
}

/// One entry of `volumes`, short or long.
fn volume_wish(node: &Node) -> Wish {
    if let Some(text) = node.scalar() {
        return Wish::parse_short(&text);
    }
    let text = |name: &str| node.value(name).and_then(Node::scalar).unwrap_or_default();
    let mut wish = Wish {
        kind: text("type").to_ascii_lowercase(),
        source: text("source"),
        target: text("target"),
        read_only: node.value("read_only").and_then(Node::bool).unwrap_or(false),
        ..Wish::default()
    };
    for member in node.members() {
        let nested: &[&str] = match member.name.as_str() {
            "type" | "source" | "target" | "read_only" | "consistency" => continue,
            "bind" => &["create_host_path", "selinux"],
            "volume" => &["nocopy"],
            "tmpfs" => &["size", "mode"],
            _ => &[],
        };
        let unknown =
            member.value.members().iter().find(|one| !nested.contains(&one.name.as_str()));
        if nested.is_empty() {
            wish.objections.push(format!("the mount option {:?} is not known", member.name));
        } else if let Some(unknown) = unknown {
            let option = format!("{}.{}", member.name, unknown.name);
            wish.objections.push(format!("the mount option {option:?} is not known"));
        }
    }
    let size = node.value("tmpfs").and_then(|node| node.value("size")).and_then(Node::scalar);
    wish.size_bytes = size.as_deref().and_then(parse_bytes);
    wish
}

/// A mount in Compose's long form; `key` is the volume's name within the file.
pub fn long_form(mount: &Mount, key: &str) -> Value {
    match mount {
        Mount::Workspace { subpath, target, read_only } => {
            let mut value = json!({"type": "volume", "source": WORKSPACE_KEY, "target": target,
                                   "read_only": read_only});
            if let (Some(subpath), Some(map)) = (subpath, value.as_object_mut()) {
                map.insert("volume".to_owned(), json!({ "subpath": subpath }));
            }
            value
        }
        Mount::Volume { name: Some(_), target, read_only } => {
            json!({"type": "volume", "source": key, "target": target, "read_only": read_only})
        }
        Mount::Volume { name: None, target, .. } => json!({"type": "volume", "target": target}),
        Mount::Tmpfs { target, size_bytes: Some(size), .. } => {
            json!({"type": "tmpfs", "target": target, "tmpfs": {"size": size}})
        }
        Mount::Tmpfs { target, .. } => json!({"type": "tmpfs", "target": target}),
        Mount::Bind { source, target, read_only } => {
            json!({"type": "bind", "source": source, "target": target, "read_only": read_only})
        }
    }
}
