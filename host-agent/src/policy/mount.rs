//! Mounts in every spelling, and what becomes of them.

use serde_json::{Value, json};

use super::checkout::{Checkout, ReadError, resolve};
use super::finding::Permit;
use super::ledger::{Ledger, Place};
use super::node::Node;
use super::plan::Mount;
use super::quantity::parse_bytes;
use super::variables::CHECKOUT;

/// A mount as somebody wrote it, before judgement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// `bind`, `volume` or `tmpfs`, lower case.
    pub kind: String,
    /// Path or volume name; empty: anonymous.
    pub source: String,
    /// Where in the container.
    pub target: String,
    /// Mounted read-only.
    pub read_only: bool,
    /// `tmpfs-size` in bytes.
    pub size_bytes: Option<u64>,
    /// `tmpfs-mode`.
    pub mode: Option<u32>,
    /// What the policy does not know or does not let pass, with the reason.
    pub objections: Vec<String>,
}

impl Wish {
    /// A string as `docker run --mount` and `mounts` take it: `type=volume,source=x,target=/y`.
    pub fn parse(text: &str) -> Self {
        let mut wish = Self { kind: "volume".to_owned(), ..Self::default() };
        if text.contains('"') {
            wish.objections.push("quotes in a mount can be read in two ways".to_owned());
            return wish;
        }
        let mut seen = vec![];
        for field in text.split(',') {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            let key = key.trim().to_ascii_lowercase();
            let key = canonical(&key);
            if seen.contains(&key.to_owned()) {
                wish.objections.push(format!("{key:?} stands there twice"));
            }
            seen.push(key.to_owned());
            wish.set(key, value, field.contains('='));
        }
        wish
    }

    /// A short form as `docker run --volume` and Compose take it: `[source:]target[:options]`.
    pub fn parse_short(text: &str) -> Self {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, options) = match parts.as_slice() {
            [target] => ("", *target, ""),
            [source, target] => (*source, *target, ""),
            [source, target, options] => (*source, *target, *options),
            _ => {
                let objection = format!("{text:?} has too many colons");
                return Self { objections: vec![objection], ..Self::default() };
            }
        };
        let bind = source.starts_with(['/', '.', '~', '\\']);
        let mut wish = Self {
            kind: if bind { "bind" } else { "volume" }.to_owned(),
            source: source.to_owned(),
            target: target.to_owned(),
            ..Self::default()
        };
        for option in options.split(',') {
            match option {
                "" | "rw" | "z" | "Z" | "cached" | "delegated" | "consistent" | "nocopy" => {}
                "ro" => wish.read_only = true,
                other => wish.objections.push(format!("the option {other:?} is not known")),
            }
        }
        wish
    }

    /// The object form of `mounts`: `type`, `source`, `target`.
    pub fn from_object(node: &Node) -> Self {
        let mut wish = Self { kind: "volume".to_owned(), ..Self::default() };
        for member in node.members() {
            match member.value.scalar() {
                Some(value) => {
                    let key = member.name.to_ascii_lowercase();
                    wish.set(canonical(&key), &value, true);
                }
                None => wish.objections.push(format!("{:?} is not a word", member.name)),
            }
        }
        wish
    }

    fn set(&mut self, key: &str, value: &str, has_value: bool) {
        let flag = || !has_value || matches!(value, "true" | "1" | "");
        match key {
            "type" => self.kind = value.to_ascii_lowercase(),
            "source" => value.clone_into(&mut self.source),
            "target" => value.clone_into(&mut self.target),
            "readonly" => self.read_only = flag(),
            "consistency" | "volume-nocopy" | "external" => {}
            "tmpfs-size" => self.size_bytes = parse_bytes(value),
            "tmpfs-mode" => self.mode = u32::from_str_radix(value, 8).ok(),
            "volume-driver" | "volume-opt" => self
                .objections
                .push("a volume driver or its options can name any path of the host".to_owned()),
            "bind-propagation" => {
                self.objections.push("mounts do not propagate to or from the host".to_owned());
            }
            other => self.objections.push(format!("the mount option {other:?} is not known")),
        }
    }
}

/// One name for each key of a mount.
fn canonical(key: &str) -> &str {
    match key {
        "src" => "source",
        "dst" | "destination" => "target",
        "ro" => "readonly",
        key => key,
    }
}

/// What mounts are judged against.
#[derive(Debug, Clone, Copy)]
pub struct MountContext<'a> {
    /// The checkout; `None` for a built image's mounts, which may only name it as a whole or
    /// parts that the engine resolves within the workspace volume.
    pub checkout: Option<&'a Checkout>,
    /// Folder of the checkout that relative sources start from.
    pub base: &'a str,
    /// The workspace folder in the container.
    pub workspace_folder: &'a str,
    /// The workspace volume's root is the clone (see `Workspace::clone_is_root`).
    pub clone_is_root: bool,
}

/// Judges a mount; `None`: it was stripped or refused, which the ledger knows.
pub fn judge_mount(
    wish: &Wish,
    context: MountContext<'_>,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<Mount> {
    if let Some(objection) = wish.objections.first() {
        ledger.refuse(place, objection.clone());
        return None;
    }
    let target = judge_target(&wish.target, place, ledger)?;
    let read_only = wish.read_only;
    match wish.kind.as_str() {
        "tmpfs" => Some(Mount::Tmpfs { target, size_bytes: wish.size_bytes, mode: wish.mode }),
        "volume" if wish.source.is_empty() => Some(Mount::Volume { name: None, target, read_only }),
        "volume" if wish.source.starts_with(['/', '.', '~']) => {
            ledger.refuse(place, format!("{:?} is a path, not a volume", wish.source));
            None
        }
        "volume" => {
            let name = judge_volume_name(&wish.source, place, ledger)?;
            Some(Mount::Volume { name: Some(name), target, read_only })
        }
        "bind" => judge_bind(&wish.source, target, read_only, context, place, ledger),
        other => {
            ledger.refuse(place, format!("mounts of type {other:?} are not known"));
            None
        }
    }
}

/// A place in the container where something may be mounted; `None`: stripped or refused.
pub fn judge_target(target: &str, place: &Place, ledger: &mut Ledger<'_>) -> Option<String> {
    const OURS: [&str; 4] = [
        "/run/drone-agent",
        "/var/run/drone-agent",
        "/var/run/github-creds.sock",
        "/run/github-creds.sock",
    ];
    let Some(clean) = target.strip_prefix('/').and_then(|path| resolve("", path)) else {
        ledger.refuse(place, format!("{target:?} is not an absolute path in the container"));
        return None;
    };
    let clean = format!("/{clean}");
    let below = |top: &str| clean == top || clean.starts_with(&format!("{top}/"));
    if OURS.into_iter().any(below) {
        ledger.strip(place, "Hatchery mounts the credential socket itself");
        return None;
    }
    if clean == "/" || below("/proc") || below("/sys") {
        ledger.refuse(place, format!("nothing is mounted over {clean}"));
        return None;
    }
    Some(clean)
}

/// The drone's own volume for what the repository calls `name`; `None`: refused.
pub fn judge_volume_name(name: &str, place: &Place, ledger: &mut Ledger<'_>) -> Option<String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let begins = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if !begins || !name.bytes().all(legal) || name.len() > 128 {
        ledger.refuse(place, format!("{name:?} is not a volume's name"));
        return None;
    }
    if name.to_ascii_lowercase().starts_with("hatchery-") {
        ledger.refuse(place, "volumes named hatchery-... belong to drones, perhaps to another");
        return None;
    }
    // `hatchery-<drone>.state` is ours: node key, logins.
    let own = if name == "state" { "own.state" } else { name };
    Some(ledger.scope.volume(own))
}

fn judge_bind(
    source: &str,
    target: String,
    read_only: bool,
    context: MountContext<'_>,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<Mount> {
    let relative = source.strip_prefix(CHECKOUT).is_some() || !source.starts_with(['/', '~']);
    let path = match source {
        _ if source.starts_with(['/', '~']) => absolute(source),
        _ => absolute(&format!("{CHECKOUT}/{}/{source}", context.base)),
    };
    let inside = match path.strip_prefix(CHECKOUT) {
        Some("") => Some(""),
        Some(rest) => rest.strip_prefix('/'),
        None => None,
    };
    if let Some(inside) = inside {
        let subpath = judge_inside(inside, context, place, ledger)?;
        return Some(Mount::Workspace { subpath, target, read_only });
    }
    if relative {
        let holds_folder = context.workspace_folder.starts_with(&format!("{target}/"));
        if climbs_to_parent(source, context.base) && holds_folder && !context.clone_is_root {
            return Some(Mount::Workspace { subpath: None, target, read_only });
        }
        ledger.refuse(place, "it leads out of the repository, to a path of the host");
        return None;
    }
    let (permit, reason) = match path.as_str() {
        "/var/run/docker.sock" | "/run/docker.sock" => {
            (Permit::DockerSocket, "Docker's socket is root on the host".to_owned())
        }
        path => (Permit::HostMount, format!("{path:?} is a path of the host")),
    };
    (ledger.ask(permit, place, reason) && source.starts_with('/')).then_some(Mount::Bind {
        source: path,
        target,
        read_only,
    })
}

/// Whether `source`, relative or with the checkout's variable, climbs exactly one above the
/// checkout's root.
pub fn climbs_to_parent(source: &str, base: &str) -> bool {
    let relative = match source.strip_prefix(CHECKOUT) {
        Some(rest) => rest.trim_start_matches('/').to_owned(),
        None => format!("./{base}/{source}"),
    };
    // A stand-in for the checkout's own directory: climbing one leaves nothing of it.
    resolve("x", &relative).as_deref() == Some("")
}

/// A clean absolute path; `..` above the root stays there, as the kernel has it.
fn absolute(path: &str) -> String {
    let mut parts: Vec<&str> = vec![];
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The subpath of the workspace volume for a path of the checkout.
fn judge_inside(
    inside: &str,
    context: MountContext<'_>,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<Option<String>> {
    match context.checkout.map(|checkout| checkout.kind(inside)) {
        None | Some(Ok(_)) => {}
        // A directory that git does not have: made in the volume before the container.
        Some(Err(ReadError::Missing(_))) => ledger.missing.push(inside.to_owned()),
        Some(Err(error)) => {
            ledger.unreadable(place, &error);
            return None;
        }
    }
    if context.clone_is_root && inside.is_empty() {
        return Some(None);
    }
    if !ledger.scope.volume_subpaths {
        ledger.refuse(place, "the engine cannot mount a part of the workspace; Engine 26 can");
        return None;
    }
    let repo = ledger.scope.repo.repo();
    let subpath = if inside.is_empty() { repo.to_owned() } else { format!("{repo}/{inside}") };
    Some(Some(subpath))
}

/// A mount as the object form of `mounts` has it, for the final image's label. Volumes are
/// `external`: Hatchery has made them, and Compose shall not put its project's name before them.
pub fn to_json(mount: &Mount) -> Option<Value> {
    match mount {
        Mount::Volume { name: Some(name), target, .. } => {
            Some(json!({"type": "volume", "source": name, "target": target, "external": true}))
        }
        Mount::Volume { name: None, target, .. } => {
            Some(json!({"type": "volume", "target": target}))
        }
        Mount::Tmpfs { target, .. } => Some(json!({"type": "tmpfs", "target": target})),
        Mount::Bind { source, target, .. } => {
            Some(json!({"type": "bind", "source": source, "target": target}))
        }
        // Create mounts the workspace; whether whole or in part cannot be said in the label.
        Mount::Workspace { .. } => None,
    }
}
