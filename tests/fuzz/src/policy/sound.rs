//! What must hold of everything that the policy lets through where no rule permits anything.

use hatchery::policy::{Effective, Form, Mount, Plan, Reference, RunSettings};
use serde_json::Value;

use super::is_inside;

/// Capabilities that stay in the drone: the engine's default set, and ptrace.
const CAPABILITIES: [&str; 15] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
    "SYS_PTRACE",
];

/// Keys of a staged service, without those that are looked into.
const SERVICE_KEYS: [&str; 31] = [
    "cap_drop",
    "command",
    "configs",
    "depends_on",
    "entrypoint",
    "environment",
    "expose",
    "extends",
    "extra_hosts",
    "group_add",
    "healthcheck",
    "image",
    "init",
    "labels",
    "links",
    "networks",
    "platform",
    "post_start",
    "pre_stop",
    "profiles",
    "read_only",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "sysctls",
    "tty",
    "ulimits",
    "user",
    "volumes_from",
    "working_dir",
];

/// Variables that need a name to mean something.
const ENV: [&str; 2] = ["env", "localEnv"];

/// Variables that the reference CLI substitutes in a staged configuration.
const VARIABLES: [&str; 7] = [
    "env",
    "localEnv",
    "localWorkspaceFolder",
    "localWorkspaceFolderBasename",
    "containerWorkspaceFolder",
    "containerWorkspaceFolderBasename",
    "devcontainerId",
];

/// A plan reaches nothing of the host.
pub fn plan(plan: &Plan) {
    plan.mounts.iter().chain(&plan.workspace.mounts).for_each(mount);
    plan.volumes.iter().for_each(|name| own_volume(name));
    assert!(plan.directories.iter().all(|path| is_inside(path)), "{:?}", plan.directories);
    assert!(is_inside(&plan.config_path));
    run(&plan.run);
    plan.references.iter().for_each(reference);
    staged(&plan.devcontainer_json);
    match &plan.form {
        Form::Image { .. } => {}
        Form::Dockerfile { dockerfile, context, .. } => {
            assert!(is_inside(dockerfile) && is_inside(context), "{dockerfile:?} {context:?}");
        }
        Form::Compose(compose) => {
            assert!(compose.paths.iter().all(|path| is_inside(path)));
            assert!(compose.services.contains_key(&compose.service));
            for file in &compose.files {
                assert!(is_inside(&file.path));
                compose_file(&serde_json::from_str(&file.text).expect("JSON"));
            }
        }
    }
}

fn reference(reference: &Reference) {
    match reference {
        Reference::Image(name) => fetched(name),
        // The checkout's own; nothing is fetched for it.
        Reference::Feature(feature) if feature.manifest.is_some() => {
            assert!(is_inside(&feature.name), "{feature:?}");
        }
        Reference::Feature(feature) => fetched(&feature.name),
    }
}

/// From a registry that is allowed, and no option of a program.
fn fetched(name: &str) {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@+".contains(&b);
    assert!(name.bytes().all(legal) && !name.starts_with('-'), "{name:?}");
    let registry = name.split_once('/').map_or("", |(host, _)| host);
    let host = registry.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let named = registry.contains(['.', ':']) || registry == "localhost";
    let known = ["docker.io", "ghcr.io", "localhost", "index.docker.io", "registry-1.docker.io"];
    assert!(!named || known.contains(&host.as_str()), "{name:?}");
}

/// What an image's label comes to reaches nothing of the host.
pub fn effective(effective: &Effective) {
    assert!(!effective.privileged);
    capabilities(&effective.cap_add);
    security(&effective.security_opt);
    effective.mounts.iter().for_each(mount);
    effective.volumes.iter().for_each(|name| own_volume(name));
    effective.label.as_array().expect("an array").iter().for_each(staged);
}

fn capabilities(names: &[String]) {
    assert!(names.iter().all(|name| CAPABILITIES.contains(&name.as_str())), "{names:?}");
}

fn security(options: &[String]) {
    assert!(options.iter().all(|option| option == "no-new-privileges"), "{options:?}");
}

fn run(run: &RunSettings) {
    assert!(!run.privileged && !run.host_network && run.gpus.is_none());
    assert!(run.devices.is_empty() && run.host_namespaces.is_empty());
    capabilities(&run.cap_add);
    security(&run.security_opt);
    for label in run.labels.keys() {
        assert!(!label.to_ascii_lowercase().starts_with("hatchery."), "{label:?}");
    }
    run.sysctls.keys().for_each(|name| sysctl(name));
}

/// Parameters that every network and ipc namespace has of its own.
fn sysctl(name: &str) {
    let own = ["net.", "kernel.msg", "kernel.sem", "kernel.shm", "kernel.domainname", "fs.mqueue."];
    assert!(own.iter().any(|prefix| name.starts_with(prefix)), "{name:?}");
}

/// A place in the drone that hides nothing of what keeps it in.
fn target(target: &str) {
    assert!(target.starts_with('/') && !target.split('/').any(|part| part == ".."), "{target:?}");
    for forbidden in [
        "/proc",
        "/sys",
        "/run/drone-agent",
        "/var/run/drone-agent",
        "/run/github-creds.sock",
        "/var/run/github-creds.sock",
    ] {
        assert!(target != forbidden && !target.starts_with(&format!("{forbidden}/")), "{target:?}");
    }
}

/// A part of the workspace volume: of the clone, not beside it.
fn subpath(subpath: &str) {
    assert!(subpath == "web" || subpath.starts_with("web/"), "{subpath:?}");
    assert!(is_inside(subpath), "{subpath:?}");
}

fn mount(mount: &Mount) {
    target(mount.target());
    match mount {
        Mount::Workspace { subpath: None, .. } | Mount::Tmpfs { .. } => {}
        Mount::Workspace { subpath: Some(part), .. } => subpath(part),
        Mount::Volume { name, .. } => name.iter().for_each(|name| own_volume(name)),
        Mount::Bind { .. } => unreachable!("a path of the host: {mount:?}"),
    }
}

/// A volume of this drone's, and not the one with its keys.
fn own_volume(name: &str) {
    let own = name.strip_prefix("hatchery-acme-web.");
    assert!(own.is_some_and(|own| own != "state" && !own.contains('/')), "{name:?}");
}

/// A staged configuration, or an entry of the label: no key that asks the host for anything.
fn staged(value: &Value) {
    for key in ["initializeCommand", "privileged", "runArgs", "workspaceMount", "appPort"] {
        assert!(value.get(key).is_none(), "{key} in {value:#}");
    }
    let listed = |key: &str| {
        let list = value.get(key).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    capabilities(&listed("capAdd"));
    security(&listed("securityOpt"));
    for mount in value.get("mounts").and_then(Value::as_array).into_iter().flatten() {
        assert!(matches!(mount["type"].as_str(), Some("volume" | "tmpfs")), "{mount:#}");
        mount["source"].as_str().into_iter().for_each(own_volume);
    }
    stable(value);
}

/// Nothing is left that the reference CLI would substitute once more.
fn stable(value: &Value) {
    match value {
        Value::String(text) => {
            let mut rest = text.as_str();
            while let Some((_, after)) = rest.split_once("${") {
                let Some((inside, behind)) = after.split_once('}') else { break };
                let kind = inside.split(':').next().unwrap_or_default();
                let bare = inside == kind && ENV.contains(&kind);
                assert!(!VARIABLES.contains(&kind) || bare, "{text:?}");
                rest = behind;
            }
        }
        Value::Array(list) => list.iter().for_each(stable),
        Value::Object(map) => map.values().for_each(stable),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A staged Compose file: keys that are known, volumes that are the drone's.
fn compose_file(file: &Value) {
    let volumes = &file["volumes"];
    for (key, volume) in volumes.as_object().into_iter().flatten() {
        assert_eq!(volume["external"], true, "{volume:#}");
        let name = volume["name"].as_str().unwrap_or_default();
        if key == "hatchery-workspace" {
            assert_eq!(name, "hatchery-acme-web");
        } else {
            own_volume(name);
        }
    }
    for key in file.as_object().expect("an object").keys() {
        assert!(["services", "volumes", "configs", "include"].contains(&key.as_str()), "{key}");
    }
    for service in file["services"].as_object().into_iter().flat_map(|all| all.values()) {
        for (key, value) in service.as_object().expect("an object") {
            service_key(key, value, volumes);
        }
    }
    for config in file["configs"].as_object().into_iter().flat_map(|all| all.values()) {
        let keys: Vec<_> = config.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["content"], "a file of the host: {config:#}");
    }
}

fn words(value: &Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The names of an object, or of a list of `name=value`.
fn names(value: &Value) -> Vec<String> {
    let name = |word: String| word.split('=').next().unwrap_or_default().to_owned();
    let listed = words(value).into_iter().map(name);
    listed.chain(value.as_object().into_iter().flat_map(|map| map.keys().cloned())).collect()
}

fn service_key(key: &str, value: &Value, volumes: &Value) {
    let text = value.as_str().unwrap_or_default();
    match key {
        "cap_add" => capabilities(&words(value)),
        "security_opt" => security(&words(value)),
        "network_mode" => assert!(text == "none" || text.starts_with("service:"), "{value}"),
        "pid" | "ipc" => assert!(text.starts_with("service:"), "{value}"),
        "volumes" => {
            value.as_array().expect("an array").iter().for_each(|one| staged_mount(one, volumes));
        }
        "build" => build(value),
        "image" => fetched(text),
        "sysctls" => names(value).iter().for_each(|name| sysctl(name)),
        "labels" => {
            let ours = |name: &String| name.to_ascii_lowercase().starts_with("hatchery.");
            assert!(!names(value).iter().any(ours), "{value}");
        }
        "volumes_from" => {
            assert!(!words(value).iter().any(|name| name.starts_with("container:")), "{value}");
        }
        "post_start" | "pre_stop" => {
            let hooks = value.as_array().into_iter().flatten();
            hooks.for_each(|hook| assert!(no(&hook["privileged"]), "{value}"));
        }
        "extends" => assert!(is_inside(value["file"].as_str().unwrap_or_default()), "{value}"),
        key => assert!(SERVICE_KEYS.contains(&key), "{key}: {value}"),
    }
}

/// What Compose takes for no.
fn no(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false))
        || matches!(value.as_str(), Some("false" | "no" | "off" | "n" | "f" | "0" | ""))
}

fn staged_mount(mount: &Value, volumes: &Value) {
    target(mount["target"].as_str().unwrap_or_default());
    let source = mount["source"].as_str();
    match mount["type"].as_str() {
        Some("tmpfs") => assert_eq!(source, None),
        Some("volume") => {
            assert!(source.is_none_or(|name| volumes.get(name).is_some()), "{mount:#}");
            mount["volume"]["subpath"].as_str().into_iter().for_each(subpath);
            assert!(source == Some("hatchery-workspace") || mount["volume"].is_null(), "{mount:#}");
        }
        other => unreachable!("a mount of type {other:?}"),
    }
}

fn build(value: &Value) {
    for key in value.as_object().expect("an object").keys() {
        let refused = ["privileged", "entitlements", "ssh", "secrets", "cache_to"];
        assert!(!refused.contains(&key.as_str()), "{key}");
    }
    assert!(matches!(value["network"].as_str(), None | Some("none" | "default")));
    let contexts =
        value["additional_contexts"].as_object().into_iter().flat_map(|map| map.values());
    for context in contexts.chain([&value["context"]]).filter_map(Value::as_str) {
        match context.split_once("://") {
            Some(("docker-image", image)) => fetched(image),
            Some(_) => unreachable!("fetched past the registries: {context:?}"),
            // From `.devcontainer`, one up is the checkout.
            None => {
                let below = context.trim_start_matches("./").strip_prefix("..").unwrap_or(context);
                assert!(
                    context.starts_with("service:") || is_inside(below.trim_start_matches('/'))
                );
            }
        }
    }
}
