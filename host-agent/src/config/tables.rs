//! Each table of the file, checked: names and defaults are the design's ("Configuration").
//!
//! `[tailnet]` and `[dotfiles]` are checked here and kept nowhere yet: what reads them comes with
//! the tailnet and with sessions, and a file that has them must load already.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hatchery_protocol::wire::{GitIdentity, Permissions};
use toml::de::DeValue;

use super::env;
use super::forge_table::forges;
use super::paths::Locations;
use super::raw::{Problems, Section};
use super::valid::{
    Config, DroneDefaults, DroneFeature, FeatureConfig, GrantRule, Limits, NetworkConfig,
    PolicyRule, Programs, SshConfig,
};
use super::values::{parse_any_url, parse_duration, parse_pool, parse_size};

const SIZE: &str = "a size such as \"8GiB\"";
const DURATION: &str = "a duration such as \"2h\", \"30m\" or \"90s\"";
const TEXTS: &str = "an array of strings";
const PATTERNS: &str = "an array of patterns such as \"acme/*\"";
const PERMISSIONS: &str = "permissions such as { contents = \"write\" }, each read, write or admin";

/// Asked for on every repository unless `[drone] permissions` says otherwise.
pub const DEFAULT_PERMISSIONS: [(&str, &str); 9] = [
    ("actions", "read"),
    ("checks", "read"),
    ("contents", "write"),
    ("deployments", "read"),
    ("discussions", "write"),
    ("issues", "write"),
    ("metadata", "read"),
    ("pull_requests", "write"),
    ("statuses", "read"),
];

/// How long a lifecycle hook may take unless `[limits] hook_timeout` says otherwise: a cold build of
/// something large.
const HOOK_TIMEOUT: Duration = Duration::from_secs(2 * 60 * 60);

/// Registries that images and features may come from unless `[registries] allow` says otherwise.
pub const DEFAULT_REGISTRIES: [&str; 5] =
    ["docker.io", "ghcr.io", "mcr.microsoft.com", "quay.io", "localhost"];

/// The whole file; `None` where something that has no default is missing or wrong.
pub(super) fn config(mut root: Section<'_>, file: &Path, at: &Locations<'_>) -> Option<Config> {
    let limits = limits(root.section("limits"));
    let drone = drone(root.section("drone"));
    let forges = forges(&mut root, file);
    let git_identity = git(root.section("git"));
    let ssh = ssh(root.section("ssh"));
    let network = network(root.section("network"));
    let features = features(root.section("features"));
    let registries_allow = registries(root.section("registries"));
    let grants: Vec<_> = root.sections("grants").into_iter().filter_map(grant_rule).collect();
    let policy: Vec<_> = root.sections("policy").into_iter().map(policy_rule).collect();
    let programs = programs(root.section("programs"), at);
    check_tailnet(root.section("tailnet"));
    check_dotfiles(root.section("dotfiles"));
    root.finish();
    let paths = at.paths(Some(file));
    forges.map(|forges| Config {
        limits: limits.into(),
        drone: drone.into(),
        forges,
        git_identity: git_identity.into(),
        ssh: ssh.into(),
        network: network.into(),
        features: features.into(),
        registries_allow: registries_allow.into(),
        grants: grants.into(),
        policy: policy.into(),
        programs,
        paths,
    })
}

fn limits(mut section: Section<'_>) -> Limits {
    let count = "a number, 0 for no limit";
    let limits = Limits {
        max_drones: section.read("max_drones", count, number).unwrap_or(20),
        free_memory_floor: section.read("free_memory_floor", SIZE, size).unwrap_or(1 << 30),
        free_disk_floor: section.read("free_disk_floor", SIZE, size).unwrap_or(5 << 30),
        build_concurrency: section.read("build_concurrency", "1 or more", positive).unwrap_or(2),
        hook_timeout: section.read("hook_timeout", DURATION, duration).unwrap_or(HOOK_TIMEOUT),
    };
    section.finish();
    limits
}

fn drone(mut section: Section<'_>) -> DroneDefaults {
    let count = "a number, 0 for no limit";
    let drone = DroneDefaults {
        memory_bytes: section.read("memory", SIZE, size).unwrap_or(8 << 30),
        cpus: section.read("cpus", "a number of CPUs, 0 for no limit", cpus).unwrap_or(4.0),
        pids: section.read("pids", count, whole).unwrap_or(4096),
        image: section.read("image", "an image reference or \"\"", text).unwrap_or_default(),
        permissions: section.read("permissions", PERMISSIONS, permissions).unwrap_or_else(|| {
            DEFAULT_PERMISSIONS.map(|(name, level)| (name.into(), level.into())).into()
        }),
    };
    section.finish();
    drone
}

fn git(mut section: Section<'_>) -> Option<GitIdentity> {
    let name = section.read("name", "a name or \"\"", text).unwrap_or_default();
    let email = section.read("email", "an email address or \"\"", text).unwrap_or_default();
    match (name.is_empty(), email.is_empty()) {
        (false, true) => section.missing("email", "the email address that belongs to `name`"),
        (true, false) => section.missing("name", "the name that belongs to `email`"),
        (true, true) | (false, false) => {}
    }
    section.finish();
    (!name.is_empty()).then_some(GitIdentity { name, email })
}

fn ssh(mut section: Section<'_>) -> SshConfig {
    let ssh = SshConfig {
        port: section.read("port", "a port, 1 to 65535", port).unwrap_or(2222),
        users: section.read("users", "an array of forge users", texts).unwrap_or_default(),
    };
    section.finish();
    ssh
}

fn network(mut section: Section<'_>) -> NetworkConfig {
    let pool = "an IPv4 network of /28 or larger such as \"10.213.0.0/16\"";
    let network = NetworkConfig {
        pool: section
            .read("pool", pool, |value| parse_pool(value.as_str()?))
            .unwrap_or((IpAddr::from([10, 213, 0, 0]), 16)),
        host_ports: section
            .read("host_ports", "an array of ports, 1 to 65535", |value| all(value, port))
            .unwrap_or_default(),
        dns: section
            .read("dns", "an array of IP addresses", |value| all(value, address))
            .unwrap_or_default(),
        firewall: section
            .read("firewall", "true or false", |value| value.as_bool())
            .unwrap_or(true),
    };
    section.finish();
    network
}

fn features(mut section: Section<'_>) -> FeatureConfig {
    let features = FeatureConfig {
        drone: match section.read("drone", "\"built-in\" or an OCI reference", filled) {
            Some(reference) if reference != "built-in" => DroneFeature::Reference(reference),
            Some(_) | None => DroneFeature::BuiltIn,
        },
        sshd: section
            .read("sshd", "an OCI reference or \"\"", text)
            .unwrap_or_else(|| "ghcr.io/devcontainers/features/sshd:1".to_owned()),
        extra: section
            .read("extra", "a table of references, each with a table of options", extra)
            .unwrap_or_default(),
    };
    section.finish();
    features
}

fn registries(mut section: Section<'_>) -> Vec<String> {
    let allow = section.read("allow", TEXTS, texts);
    section.finish();
    allow.unwrap_or_else(|| DEFAULT_REGISTRIES.map(str::to_owned).into())
}

fn grant_rule(mut section: Section<'_>) -> Option<GrantRule> {
    let repositories = section.require("repositories", PATTERNS, patterns);
    let permissions = section.require("permissions", PERMISSIONS, permissions);
    section.finish();
    Some(GrantRule { repositories: repositories?, permissions: permissions? })
}

fn policy_rule(mut section: Section<'_>) -> PolicyRule {
    let rule = PolicyRule {
        repositories: section.require("repositories", PATTERNS, patterns).unwrap_or_default(),
        allow: section.require("allow", "an array of policy keys", texts).unwrap_or_default(),
    };
    section.finish();
    rule
}

/// The programs without a configuration.
pub fn usual_programs(at: &Locations<'_>) -> Programs {
    let problems = Problems::new("");
    programs(Section::empty(&problems), at)
}

fn programs(mut section: Section<'_>, at: &Locations<'_>) -> Programs {
    let program = |section: &mut Section<'_>, key: &'static str| {
        section
            .read(key, "a command's name or path", filled)
            .map_or_else(|| key.into(), PathBuf::from)
    };
    let programs = Programs {
        docker: program(&mut section, "docker"),
        devcontainer: program(&mut section, "devcontainer"),
        git: program(&mut section, "git"),
        docker_socket: docker_socket(&section, at),
    };
    section.finish();
    programs
}

/// The engine's socket: Docker's own variable, where it is set. Other schemes (TCP, ssh) are an
/// engine elsewhere, which could not mount the drones' sockets: refused rather than passed over.
fn docker_socket(section: &Section<'_>, at: &Locations<'_>) -> PathBuf {
    let default = || PathBuf::from("/var/run/docker.sock");
    let Some(host) = (at.variable)(env::DOCKER_HOST) else { return default() };
    let host = host.to_string_lossy();
    host.strip_prefix("unix://").map(PathBuf::from).unwrap_or_else(|| {
        let message = format!("{} is {host:?}; Hatchery needs a unix:///path", env::DOCKER_HOST);
        section.outside(&message);
        default()
    })
}

fn check_tailnet(mut section: Section<'_>) {
    let control = section.read("control", "\"headscale\", \"tailscale\" or \"none\"", |value| {
        filled(value).filter(|name| matches!(name.as_str(), "headscale" | "tailscale" | "none"))
    });
    let url = "the URL of the control server";
    if control.as_deref() == Some("headscale") {
        section.require("url", url, |value| parse_any_url(value.as_str()?));
        section.require("api_key_file", "a file's path", filled);
    } else {
        section.read("url", url, |value| parse_any_url(value.as_str()?));
        section.read("api_key_file", "a file's path", filled);
    }
    section.read("oauth_client_id", "an OAuth client's id", filled);
    section.read("oauth_secret_file", "a file's path", filled);
    section.read("tag", "a tag such as \"tag:drone\"", |value| {
        filled(value).filter(|tag| tag.strip_prefix("tag:").is_some_and(|name| !name.is_empty()))
    });
    section.read("ports", "an array of ports or port ranges, or [\"*\"]", texts);
    section.read("ephemeral", "true or false", |value| value.as_bool());
    section.read("user", "the name of a tailnet user", filled);
    section.finish();
}

fn check_dotfiles(mut section: Section<'_>) {
    section.read("repository", "a repository or \"\"", text);
    section.read("target", "a directory such as \"~/dotfiles\"", filled);
    section.read("install_command", "a command or \"\"", text);
    section.finish();
}

pub(super) fn text(value: &DeValue<'_>) -> Option<String> {
    value.as_str().map(str::to_owned)
}

pub(super) fn filled(value: &DeValue<'_>) -> Option<String> {
    text(value).filter(|text| !text.is_empty())
}

fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    all(value, filled)
}

pub(super) fn address(value: &DeValue<'_>) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

/// Every entry of an array as `take` understands it, or nothing.
fn all<T>(value: &DeValue<'_>, take: impl Fn(&DeValue<'_>) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(|entry| take(entry.get_ref())).collect()
}

/// Patterns on `owner/repo`: two parts, of which none is empty.
fn patterns(value: &DeValue<'_>) -> Option<Vec<String>> {
    let parts = |pattern: &String| pattern.split('/').map(str::len).collect::<Vec<_>>();
    let pattern = |value: &DeValue<'_>| {
        filled(value)
            .filter(|pattern| matches!(*parts(pattern), [owner, repo] if owner > 0 && repo > 0))
    };
    all(value, pattern).filter(|patterns| !patterns.is_empty())
}

fn size(value: &DeValue<'_>) -> Option<u64> {
    parse_size(value.as_str()?)
}

fn duration(value: &DeValue<'_>) -> Option<Duration> {
    parse_duration(value.as_str()?)
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

pub(super) fn number<T: TryFrom<i64>>(value: &DeValue<'_>) -> Option<T> {
    integer(value)?.try_into().ok()
}

fn positive<T: TryFrom<i64>>(value: &DeValue<'_>) -> Option<T> {
    integer(value).filter(|&number| number > 0)?.try_into().ok()
}

fn whole<T: TryFrom<i64>>(value: &DeValue<'_>) -> Option<T> {
    integer(value).filter(|&number| number >= 0)?.try_into().ok()
}

fn port(value: &DeValue<'_>) -> Option<u16> {
    positive(value)
}

fn cpus(value: &DeValue<'_>) -> Option<f64> {
    let number = match value.as_float() {
        Some(float) => float.as_str().parse().ok()?,
        None => f64::from(number::<i32>(value)?),
    };
    (number.is_finite() && number >= 0.0).then_some(number)
}

fn permissions(value: &DeValue<'_>) -> Option<Permissions> {
    let entries = value.as_table()?.iter().map(|(name, level)| {
        let (name, level) = (name.get_ref().to_string(), level.get_ref().as_str()?.to_owned());
        is_permission(&name, &level).then_some((name, level))
    });
    entries.collect::<Option<Permissions>>().filter(|permissions| !permissions.is_empty())
}

/// Whether this is how a forge writes a permission: which ones there are differs by its version.
fn is_permission(name: &str, level: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.bytes().all(legal) && matches!(level, "read" | "write" | "admin")
}

fn extra(value: &DeValue<'_>) -> Option<serde_json::Map<String, serde_json::Value>> {
    let entries = value.as_table()?.iter().map(|(reference, options)| {
        options.get_ref().as_table()?;
        Some((reference.get_ref().to_string(), json(options.get_ref())?))
    });
    entries.collect()
}

/// What a feature's options can be: devcontainer.json has text, truth and numbers there.
fn json(value: &DeValue<'_>) -> Option<serde_json::Value> {
    Some(match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(_) => integer(value)?.into(),
        DeValue::Float(number) => number.as_str().parse::<f64>().ok()?.into(),
        DeValue::Boolean(value) => (*value).into(),
        DeValue::Datetime(_) => return None,
        DeValue::Array(_) => all(value, json)?.into(),
        DeValue::Table(table) => {
            let entries = table
                .iter()
                .map(|(key, value)| Some((key.get_ref().to_string(), json(value.get_ref())?)));
            serde_json::Value::Object(entries.collect::<Option<_>>()?)
        }
    })
}
