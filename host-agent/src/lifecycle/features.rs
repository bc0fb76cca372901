//! Pass (b) of the policy over features: each is looked up in its registry, what it needs further is
//! judged before that is contacted, and all of it gets its digest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use serde_json::Value;

use super::failure::{Failure, FailureKind};
use super::registries::{FeatureManifest, Registries};
use crate::policy::{
    FeatureUse, Finding, Place, Plan, Reference, Scope, check_feature, check_requests,
    refusals_as_failure, without_version,
};

/// Features that one configuration may come to, with all that they depend on.
const MAX_FEATURES: usize = 100;

/// Registries asked at once.
const AT_ONCE: usize = 4;

/// What registries say of features.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvedFeatures {
    /// Reference -> the same by digest, for those of the configuration and all that they need.
    pub pinned: BTreeMap<String, String>,
    /// What is refused, and what a `[[policy]]` rule permits.
    pub findings: Vec<Finding>,
}

/// Looks the plan's features up, and everything that they depend on. `locked` names digests that
/// the repository's own lock file prescribes. Asks nobody for anything once something is refused
/// that `--without-refused` could not leave out.
///
/// # Errors
/// When a registry does not answer, or knows no such feature.
pub async fn resolve(
    registries: &impl Registries,
    plan: &Plan,
    locked: &BTreeMap<String, String>,
    scope: &Scope<'_>,
) -> Result<ResolvedFeatures, Failure> {
    let mut wanted: Vec<FeatureUse> = plan.references.iter().filter_map(feature).collect();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut resolved = ResolvedFeatures::default();
    while !wanted.is_empty() && refusals_as_failure(&resolved.findings, true).is_none() {
        let mut further = vec![];
        for (used, known) in look_up(registries, wanted, &mut seen, locked).await? {
            further.extend(judge(&used, &known, plan, scope, &mut resolved.findings)?);
            resolved.pinned.extend(known.pinned.map(|pinned| (used.name, pinned)));
        }
        wanted = further;
    }
    Ok(resolved)
}

/// Looks up features that the server's own configuration names, and what they depend on: the
/// administrator's choice, which nobody judges.
///
/// # Errors
/// As [`resolve`].
pub async fn resolve_own(
    registries: &impl Registries,
    names: BTreeSet<String>,
    scope: &Scope<'_>,
) -> Result<BTreeMap<String, String>, Failure> {
    let place = Place { file: "[features]".to_owned(), line: None, subject: String::new() };
    let used = |name| FeatureUse { name, place: place.clone(), manifest: None };
    let mut wanted: Vec<FeatureUse> = names.into_iter().map(used).collect();
    let (mut seen, mut pinned) = (BTreeSet::new(), BTreeMap::new());
    while !wanted.is_empty() {
        let mut further = vec![];
        for (used, known) in look_up(registries, wanted, &mut seen, &BTreeMap::new()).await? {
            further.extend(check_feature(&used, known.metadata.as_deref(), scope)?.outcome);
            pinned.extend(known.pinned.map(|pinned| (used.name, pinned)));
        }
        wanted = further;
    }
    Ok(pinned)
}

fn feature(reference: &Reference) -> Option<FeatureUse> {
    match reference {
        Reference::Feature(used) => Some(used.clone()),
        Reference::Image(_) => None,
    }
}

/// What is known of a feature: one of the checkout's has no digest.
struct Known {
    pinned: Option<String>,
    metadata: Option<String>,
}

impl From<FeatureManifest> for Known {
    fn from(manifest: FeatureManifest) -> Self {
        Self { pinned: Some(manifest.pinned), metadata: manifest.metadata }
    }
}

/// Judges one manifest; returns what is installed with it.
fn judge(
    used: &FeatureUse,
    known: &Known,
    plan: &Plan,
    scope: &Scope<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<FeatureUse>, Failure> {
    let metadata = known.metadata.as_deref();
    let review = check_feature(used, metadata, scope)?;
    // The text of the checkout's own was judged with its lines by the first pass.
    if used.manifest.is_none() {
        findings.extend(review.findings);
    }
    if let Some(metadata) = metadata {
        findings.extend(check_requests(used, metadata, plan, scope)?);
    }
    Ok(review.outcome)
}

/// What is known of each of `wanted` that was not `seen` yet.
async fn look_up(
    registries: &impl Registries,
    mut wanted: Vec<FeatureUse>,
    seen: &mut BTreeSet<String>,
    locked: &BTreeMap<String, String>,
) -> Result<Vec<(FeatureUse, Known)>, Failure> {
    wanted.retain(|one| seen.insert(one.name.clone()));
    if seen.len() > MAX_FEATURES {
        let message = format!("the features need more than {MAX_FEATURES} features");
        return Err(Failure::new(FailureKind::Refused, message));
    }
    let mut asked = Vec::with_capacity(wanted.len());
    for used in wanted {
        asked.push(async {
            if let Some(manifest) = &used.manifest {
                let known = Known { pinned: None, metadata: Some(manifest.clone()) };
                return Ok((used, known));
            }
            let reference = locked.get(&used.name).unwrap_or(&used.name);
            let known = registries.feature(reference).await?;
            Ok((used, Known::from(known)))
        });
    }
    let answers: Vec<_> = futures_util::stream::iter(asked).buffered(AT_ONCE).collect().await;
    answers.into_iter().collect()
}

/// Digests that the lock file beside the configuration at `config` prescribes, by reference; `None`:
/// there is no such file. The policy has seen to it that it is none of the host's. Blocks.
pub fn locked(config: &Path) -> Option<BTreeMap<String, String>> {
    Some(read_lock(&std::fs::read_to_string(lock_path(config)).ok()?))
}

/// Where the reference CLI has the lock file of the configuration at `config`.
pub fn lock_path(config: &Path) -> PathBuf {
    let name = config.file_name().unwrap_or_default();
    let hidden = name.to_string_lossy().starts_with('.');
    config.with_file_name(if hidden { ".devcontainer-lock.json" } else { "devcontainer-lock.json" })
}

/// What is wrong in a lock file, the CLI says.
fn read_lock(text: &str) -> BTreeMap<String, String> {
    let lock: Value = serde_json::from_str(text).unwrap_or_default();
    let entries = lock.get("features").and_then(Value::as_object).into_iter().flatten();
    let pinned = entries.filter_map(|(name, entry)| {
        let digest = entry.get("integrity")?.as_str().filter(|it| it.starts_with("sha256:"))?;
        Some((name.clone(), format!("{}@{digest}", without_version(name))))
    });
    pinned.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use super::super::devcontainers::Output;
    use super::super::registries::RegistryError;
    use super::*;
    use crate::policy::check_text;

    /// Registries with these features; it counts who is asked for.
    struct Shelf {
        features: HashMap<&'static str, &'static str>,
        asked: Mutex<Vec<String>>,
    }

    impl Registries for Shelf {
        async fn feature(&self, reference: &str) -> Result<FeatureManifest, RegistryError> {
            self.asked.lock().expect("no panic").push(reference.to_owned());
            let unknown =
                || RegistryError::Unknown { what: "feature", reference: reference.to_owned() };
            let metadata = self.features.get(reference).ok_or_else(unknown)?;
            let name = reference.split(['@', ':']).next().unwrap_or_default();
            Ok(FeatureManifest {
                pinned: format!("{name}@sha256:{}", "0".repeat(64)),
                metadata: (!metadata.is_empty()).then(|| (*metadata).to_owned()),
            })
        }

        async fn pull(&self, _: &str, _: Output) -> Result<(), RegistryError> {
            unreachable!("no image is asked for")
        }
    }

    fn resolved(
        features: &[(&'static str, &'static str)],
        wanted: &str,
    ) -> (Result<ResolvedFeatures, Failure>, Vec<String>) {
        let directory = tempfile::tempdir().expect("a directory");
        let text = format!("{{\"image\": \"debian\", \"features\": {{\"{wanted}\": {{}}}}}}");
        std::fs::write(directory.path().join(".devcontainer.json"), text).expect("write");
        let (drone, repo) = ("acme-web".parse().expect("a"), "acme/web".parse().expect("b"));
        let registries = ["docker.io", "ghcr.io"].map(str::to_owned);
        let scope = Scope {
            drone: &drone,
            repo: &repo,
            registries: &registries,
            rules: &[],
            default_image: "",
            sshd_injected: true,
            volume_subpaths: true,
            local_env: BTreeMap::new(),
        };
        let review = check_text(directory.path(), None, &scope, &|_| false).expect("a review");
        let engine =
            Shelf { features: features.iter().copied().collect(), asked: Mutex::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let done = runtime.block_on(resolve(&engine, &review.outcome, &BTreeMap::new(), &scope));
        (done, engine.asked.into_inner().expect("no panic"))
    }

    #[test]
    fn everything_that_is_needed_is_looked_up_once() {
        let (done, asked) = resolved(
            &[
                (
                    "ghcr.io/a/one:1",
                    r#"{"dependsOn": {"ghcr.io/a/two": {}}, "installsAfter": ["ghcr.io/a/four"]}"#,
                ),
                (
                    "ghcr.io/a/two",
                    r#"{"dependsOn": {"ghcr.io/a/three:2": {}, "ghcr.io/a/one:1": {}}}"#,
                ),
                ("ghcr.io/a/three:2", "{}"),
            ],
            "ghcr.io/a/one:1",
        );
        let done = done.expect("resolved");
        assert_eq!(asked, ["ghcr.io/a/one:1", "ghcr.io/a/two", "ghcr.io/a/three:2"]);
        assert_eq!(done.pinned.len(), 3);
        assert!(done.pinned["ghcr.io/a/two"].starts_with("ghcr.io/a/two@sha256:"));
        assert_eq!(done.findings, []);
    }

    #[test]
    fn a_stranger_is_refused_before_it_is_contacted() {
        for manifest in [
            r#"{"dependsOn": {"evil.example/a/b:1": {}}}"#,
            r#"{"installsAfter": ["evil.example/a/b"]}"#,
            r#"{"dependsOn": {"https://evil.example/b.tgz": {}}}"#,
            r#"{"dependsOn": {"./local": {}}}"#,
            r#"{"dependsOn": {"a": 1, "a": 2}}"#,
            "",
        ] {
            let manifest: &'static str = manifest;
            let (done, asked) = resolved(&[("ghcr.io/a/one:1", manifest)], "ghcr.io/a/one:1");
            assert_eq!(asked, ["ghcr.io/a/one:1"], "{manifest}");
            let findings = done.expect("resolved").findings;
            assert!(refusals_as_failure(&findings, false).is_some(), "{manifest}");
        }
    }

    #[test]
    fn what_a_feature_asks_for_is_refused_before_a_build() {
        for (manifest, droppable) in [
            (r#"{"privileged": true}"#, true),
            (r#"{"capAdd": ["SYS_ADMIN"]}"#, true),
            (
                r#"{"mounts": [{"type": "bind", "source": "/var/run/docker.sock", "target": "/d"}]}"#,
                true,
            ),
        ] {
            let manifest: &'static str = manifest;
            let (done, _) = resolved(&[("ghcr.io/a/one:1", manifest)], "ghcr.io/a/one:1");
            let findings = done.expect("resolved").findings;
            assert!(refusals_as_failure(&findings, false).is_some(), "{manifest}");
            assert_eq!(refusals_as_failure(&findings, true).is_none(), droppable, "{manifest}");
        }
        let harmless =
            r#"{"capAdd": ["SYS_PTRACE"], "init": true, "securityOpt": ["seccomp=unconfined"]}"#;
        let (done, _) = resolved(&[("ghcr.io/a/one:1", harmless)], "ghcr.io/a/one:1");
        assert_eq!(done.expect("resolved").findings, []);
    }

    #[test]
    fn an_unknown_feature_is_the_registrys_failure() {
        let (done, _) = resolved(&[], "ghcr.io/a/none:1");
        assert_eq!(done.expect_err("unknown").kind, FailureKind::Outside);
    }

    #[test]
    fn a_lock_file_says_which() {
        let text = r#"{"features": {
            "ghcr.io/a/b:1": {"integrity": "sha256:00", "resolved": "evil.example/x@sha256:11"},
            "localhost:5000/a/c": {"integrity": "sha256:22"}, "ghcr.io/a/d:1": {"integrity": "md5"}}}"#;
        let expected = [
            ("ghcr.io/a/b:1", "ghcr.io/a/b@sha256:00"),
            ("localhost:5000/a/c", "localhost:5000/a/c@sha256:22"),
        ];
        let expected = expected.map(|(name, pinned)| (name.to_owned(), pinned.to_owned()));
        assert_eq!(read_lock(text), expected.into());
        assert!(read_lock("{").is_empty());
    }
}
