//! References to images and features, and the registries they may come from.

use std::collections::HashSet;

use super::finding::Permit;
use super::ledger::{Ledger, Place};

/// The registry of an image without one.
const DEFAULT_REGISTRY: &str = "docker.io";

/// What names of drones' own images begin with (`lifecycle::labels`). They hold their repositories'
/// files, and a Compose sibling's can be guessed.
const OF_DRONES: &str = "hatchery/";

/// Whether `reference` could be a reference at all: no option, no whitespace, no control
/// character, nothing that a shell or a URL parser reads differently.
pub fn is_well_formed(reference: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@+".contains(&b);
    reference.bytes().all(legal)
        && reference.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !reference.contains("//")
        && reference.len() <= 512
}

/// The registry that an image reference names: its first part when that looks like a host.
fn image_registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        Some(_) | None => DEFAULT_REGISTRY,
    }
}

/// Docker's own names for its registry.
fn is_hub(name: &str) -> bool {
    matches!(name, DEFAULT_REGISTRY | "index.docker.io" | "registry-1.docker.io")
}

/// Whether `[registries] allow` has `registry`; an entry without a port stands for every port.
fn is_listed(registry: &str, allowed: &[String]) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    allowed.iter().any(|entry| {
        entry.eq_ignore_ascii_case(registry)
            || entry.eq_ignore_ascii_case(host)
            || (is_hub(entry) && is_hub(registry))
    })
}

/// The path of a reference on Docker's own registry, by whatever name of that; `None`: elsewhere.
fn hub_path(reference: &str) -> Option<&str> {
    match image_registry(reference) {
        DEFAULT_REGISTRY if !reference.starts_with(DEFAULT_REGISTRY) => Some(reference),
        registry if is_hub(registry) => reference.split_once('/').map(|(_, path)| path),
        _ => None,
    }
}

/// Whether the engine may take `reference` for an image's id, or the beginning of one: that could be
/// any drone's.
fn may_be_an_id(reference: &str) -> bool {
    reference.starts_with("sha256:") || reference.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Judges an image reference; `true`: it may be used.
pub fn judge_image(
    reference: &str,
    place: &Place,
    is_local: &dyn Fn(&str) -> bool,
    ledger: &mut Ledger<'_>,
) -> bool {
    if !is_well_formed(reference) {
        ledger.refuse_whole(place, format!("{reference:?} is not an image reference"));
        return false;
    }
    if hub_path(reference).is_some_and(|path| path.starts_with(OF_DRONES)) {
        ledger.refuse_whole(place, format!("images named {OF_DRONES}... are other drones' own"));
        return false;
    }
    if is_local(reference) {
        return true;
    }
    if may_be_an_id(reference) {
        let reason = format!("{reference:?} could be the id of an image: write docker.io/library/");
        ledger.refuse_whole(place, reason);
        return false;
    }
    judge_registry(image_registry(reference), place, ledger)
}

/// Judges the registry of a feature's or image's reference.
pub fn judge_registry(registry: &str, place: &Place, ledger: &mut Ledger<'_>) -> bool {
    is_listed(registry, ledger.scope.registries)
        || ledger.ask_whole(
            Permit::Registries,
            place,
            format!("the registry {registry} is not in [registries] allow"),
        )
}

/// What a key of `features` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureReference<'a> {
    /// A directory of the checkout, relative to the configuration's folder.
    Local(&'a str),
    /// `registry/namespace/id[:tag|@digest]`.
    Registry {
        /// The host.
        registry: &'a str,
        /// Everything behind it, without tag and digest.
        path: &'a str,
    },
    /// A bare word, which stood for one of `ghcr.io/devcontainers/features`.
    Legacy(&'a str),
    /// A plain URL.
    Url,
    /// Nothing known.
    Unknown,
}

impl<'a> FeatureReference<'a> {
    /// Parses a key of `features`.
    pub fn parse(text: &'a str) -> Self {
        if text.starts_with("./") || text.starts_with("../") || text.starts_with('/') {
            return Self::Local(text);
        }
        if text.contains("://") {
            return Self::Url;
        }
        if !is_well_formed(text) {
            return Self::Unknown;
        }
        let bare = without_version(text);
        match bare.split_once('/') {
            None => Self::Legacy(bare),
            Some((registry, path)) if registry.contains(['.', ':']) || registry == "localhost" => {
                Self::Registry { registry, path }
            }
            Some(_) => Self::Unknown,
        }
    }
}

/// What a bare word stood for when features had no registry; `None`: nothing that is known.
pub fn legacy_feature(name: &str) -> Option<String> {
    const KNOWN: [&str; 18] = [
        "aws-cli",
        "azure-cli",
        "desktop-lite",
        "docker-from-docker",
        "docker-in-docker",
        "dotnet",
        "git",
        "git-lfs",
        "github-cli",
        "java",
        "kubectl-helm-minikube",
        "node",
        "powershell",
        "python",
        "ruby",
        "rust",
        "sshd",
        "terraform",
    ];
    let name = match name {
        "golang" => "go",
        "common" => "common-utils",
        name => KNOWN.into_iter().find(|known| *known == name)?,
    };
    Some(format!("ghcr.io/devcontainers/features/{name}:1"))
}

/// A reference without its tag or digest.
pub fn without_version(reference: &str) -> &str {
    let bare = reference.split_once('@').map_or(reference, |(bare, _)| bare);
    match bare.rsplit_once(':') {
        // A colon before the last slash is a port.
        Some((name, tag)) if !tag.contains('/') => name,
        Some(_) | None => bare,
    }
}

/// Whether `reference` is among an engine's names of images, which always have a tag.
pub fn is_named(names: &HashSet<String>, reference: &str) -> bool {
    let plain = plain(reference);
    names.contains(plain) || names.contains(&format!("{plain}:latest"))
}

/// The digest among an image's `repository@sha256:...` that belongs to the registry which `reference`
/// names: others may have the image too.
pub fn digest_of(reference: &str, digests: &[String]) -> Option<String> {
    let wanted = plain(without_version(reference));
    digests.iter().find(|digest| plain(without_version(digest)) == wanted).cloned()
}

/// A reference as engines spell it.
fn plain(reference: &str) -> &str {
    let plain = reference.strip_prefix("docker.io/").unwrap_or(reference);
    plain.strip_prefix("library/").unwrap_or(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_the_first_part_that_looks_like_a_host() {
        let table = [
            ("debian:12", "docker.io"),
            ("library/debian", "docker.io"),
            ("mcr.microsoft.com/devcontainers/base:bookworm", "mcr.microsoft.com"),
            ("localhost:5000/x", "localhost:5000"),
            ("localhost/x", "localhost"),
            ("10.0.0.1:80/x@sha256:00", "10.0.0.1:80"),
        ];
        for (reference, registry) in table {
            assert_eq!(image_registry(reference), registry, "{reference}");
        }
    }

    #[test]
    fn the_list_names_hosts_not_prefixes() {
        let allowed = ["docker.io".to_owned(), "localhost".to_owned()];
        for registry in ["docker.io", "Docker.io", "index.docker.io", "localhost:5000"] {
            assert!(is_listed(registry, &allowed), "{registry}");
        }
        for registry in ["docker.io.evil.example", "evil.example", "docker.io@evil", "127.0.0.1"] {
            assert!(!is_listed(registry, &allowed), "{registry}");
        }
    }

    #[test]
    fn drones_own_images_are_known_by_every_spelling() {
        for reference in [
            "hatchery/acme-web:service-db",
            "docker.io/hatchery/acme-web:0123",
            "index.docker.io/hatchery/acme-web@sha256:00",
        ] {
            assert!(hub_path(reference).is_some_and(|path| path.starts_with(OF_DRONES)));
        }
        for reference in ["ghcr.io/hatchery/x", "hatchery.local/dev:12", "hatcheryx/y", "hatchery"]
        {
            assert!(!hub_path(reference).is_some_and(|path| path.starts_with(OF_DRONES)));
        }
        assert!(may_be_an_id("sha256:00") && may_be_an_id("5c") && may_be_an_id("5cda1ba963b4"));
        assert!(!may_be_an_id("debian") && !may_be_an_id("a:1") && !may_be_an_id("library/ada"));
    }

    #[test]
    fn what_is_no_reference_is_not_one() {
        for text in ["", "-v/:/x", "a b", "a\nb", "http://x", "a;b", "$X/y", "../x", "é/x"] {
            assert!(!is_well_formed(text), "{text:?}");
        }
    }

    #[test]
    fn a_local_image_is_found_by_every_spelling() {
        let names: HashSet<String> = ["debian:12", "web:latest"].map(str::to_owned).into();
        for reference in ["debian:12", "docker.io/library/debian:12", "web", "web:latest"] {
            assert!(is_named(&names, reference), "{reference}");
        }
        assert!(!is_named(&names, "debian") && !is_named(&names, "ghcr.io/web"));
    }

    #[test]
    fn a_digest_is_the_named_registrys() {
        let digests = ["localhost:5000/a/b@sha256:00", "debian@sha256:11"].map(str::to_owned);
        for (name, digest) in [
            ("localhost:5000/a/b:1", Some("localhost:5000/a/b@sha256:00")),
            ("docker.io/library/debian:12", Some("debian@sha256:11")),
            ("debian", Some("debian@sha256:11")),
            ("localhost:5001/a/b:1", None),
        ] {
            assert_eq!(digest_of(name, &digests).as_deref(), digest, "{name}");
        }
    }

    #[test]
    fn bare_names_of_old_mean_what_they_meant() {
        let known = |name| legacy_feature(name);
        assert_eq!(known("golang").as_deref(), Some("ghcr.io/devcontainers/features/go:1"));
        assert_eq!(known("git").as_deref(), Some("ghcr.io/devcontainers/features/git:1"));
        assert_eq!(known("fish"), None);
    }

    #[test]
    fn feature_keys_are_told_apart() {
        use FeatureReference as F;
        let sshd = F::Registry { registry: "ghcr.io", path: "devcontainers/features/sshd" };
        let table = [
            ("./local", F::Local("./local")),
            ("/abs", F::Local("/abs")),
            ("ghcr.io/devcontainers/features/sshd:1", sshd.clone()),
            ("ghcr.io/devcontainers/features/sshd@sha256:ab", sshd.clone()),
            ("ghcr.io/devcontainers/features/sshd", sshd),
            ("localhost:5000/a/b", F::Registry { registry: "localhost:5000", path: "a/b" }),
            ("https://x/y.tgz", F::Url),
            ("git", F::Legacy("git")),
            ("owner/repo/feature@v1", F::Unknown),
            ("", F::Unknown),
        ];
        for (text, expected) in table {
            assert_eq!(F::parse(text), expected, "{text}");
        }
    }
}
