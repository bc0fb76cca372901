//! Pass (b) of the policy: what the drone is made from is resolved to digests and ids, and judged,
//! before anything is built from it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::devcontainers::Lock;
use super::super::engine::{ContainerEngine, Image};
use super::super::failure::{Failure, FailureKind};
use super::super::features::{self, ResolvedFeatures, lock_path};
use super::super::registries::RegistryError;
use super::super::stage::Stage;
use super::super::telling::Telling;
use super::super::view::Step;
use super::super::{Lifecycle, blocking, capacity, labels};
use crate::config::{Config, DroneFeature};
use crate::credentials::Forge;
use crate::policy::{
    self, Finding, Form, PinnedImage, Pins, Plan, Reference, Scope, refusals_as_failure,
};
use crate::records::Record;

/// Whether a feature is named by its digest.
pub(super) fn is_pinned(name: &str) -> bool {
    name.contains("@sha256:")
}

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    /// Resolves all that the plan is made from, judges it, and pins it in the plan.
    pub(super) async fn pin(
        &self,
        stage: &Stage,
        record: &Record,
        plan: &mut Plan,
        telling: &Telling,
    ) -> Result<(), Failure> {
        let locks = self.locks(stage, plan).await;
        let resolved = self.resolve_features(record, plan, locks.as_ref()).await?;
        self.judged(record, &resolved.findings).await;
        let without_refused = record.choices.without_refused;
        if let Some(refused) = refusals_as_failure(&resolved.findings, without_refused) {
            return Err(refused);
        }
        let own = self.pin_own(record).await?;
        let images = self.fetch_images(record, plan, telling).await?;
        let features = resolved.pinned.into_iter().chain(own).collect();
        let pins = Pins { images, features };
        for (name, digest) in pins.references() {
            self.credentials.made_from(record, &name, &digest).await;
        }
        plan.pin(pins, locks.is_some());
        Ok(())
    }

    /// What registries say of the plan's features, judged.
    pub(super) async fn resolve_features(
        &self,
        record: &Record,
        plan: &Plan,
        locks: Option<&BTreeMap<String, String>>,
    ) -> Result<ResolvedFeatures, Failure> {
        let subpaths = self.engine.facts().await?.volume_subpaths();
        let scope = Scope::new(&self.config, &record.drone, &record.repo.name, subpaths);
        let none = BTreeMap::new();
        features::resolve(&*self.engine, plan, locks.unwrap_or(&none), &scope).await
    }

    /// Digests that the repository's lock file prescribes; `None`: it has no lock file.
    pub(super) async fn locks(
        &self,
        stage: &Stage,
        plan: &Plan,
    ) -> Option<BTreeMap<String, String>> {
        let config = stage.checkout().join(&plan.config_path);
        blocking(move || features::locked(&config)).await
    }

    /// Digests of the features that the configuration injects, and of what they need.
    async fn pin_own(&self, record: &Record) -> Result<BTreeMap<String, String>, Failure> {
        let own = injected(&self.config);
        if own.is_empty() {
            return Ok(BTreeMap::new());
        }
        let subpaths = self.engine.facts().await?.volume_subpaths();
        let scope = Scope::new(&self.config, &record.drone, &record.repo.name, subpaths);
        features::resolve_own(&*self.engine, own, &scope).await.map_err(|failure| {
            failure
                .hint("[features] of Hatchery's own configuration has it installed in every drone")
        })
    }

    /// Brings the images that the plan names and the engine does not have, so that all of them are
    /// local from here on; judges what they carry.
    async fn fetch_images(
        &self,
        record: &Record,
        plan: &Plan,
        telling: &Telling,
    ) -> Result<BTreeMap<String, PinnedImage>, Failure> {
        let mut images = BTreeMap::new();
        for reference in &plan.references {
            let Reference::Image(name) = reference else { continue };
            let Some(image) = self.fetch_image(name, plan, telling).await? else { continue };
            if is_base(plan, name) {
                self.judge_base(record, plan, &image).await?;
            }
            let digest = policy::digest_of(name, &image.digests);
            images.insert(name.clone(), PinnedImage { id: image.id, digest });
        }
        Ok(images)
    }

    /// One image; `None`: it cannot be had, and the build may do without.
    async fn fetch_image(
        &self,
        name: &str,
        plan: &Plan,
        telling: &Telling,
    ) -> Result<Option<Image>, Failure> {
        if let Some(image) = self.engine.image(name).await? {
            return Ok(Some(image));
        }
        let facts = self.engine.facts().await?;
        capacity::check_disk(&self.config.limits, capacity::measure(&facts.root_dir))?;
        let engine = &self.engine;
        let pull = async |output| engine.pull(name, output).await;
        match telling.with_output(Step::Policy, pull).await {
            Ok(()) => Ok(self.engine.image(name).await?),
            Err(error) if may_do_without(plan, name, &error) => {
                telling.write(&format!("{error}; left to the build"));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What the base image's metadata asks for, before features are built on top of it.
    async fn judge_base(&self, record: &Record, plan: &Plan, image: &Image) -> Result<(), Failure> {
        let subpaths = self.engine.facts().await?.volume_subpaths();
        let scope = Scope::new(&self.config, &record.drone, &record.repo.name, subpaths);
        let label = image.labels.get(labels::METADATA).map(String::as_str);
        let review = policy::check_metadata(label, plan, &scope)?;
        let without_refused = record.choices.without_refused;
        // All else is said, and written down, of the built image, which carries this label too.
        let Some(refused) = refusals_as_failure(&review.findings, without_refused) else {
            return Ok(());
        };
        self.judged(record, &review.findings).await;
        Err(refused)
    }

    /// Sees that the names which a build has used still mean what was judged.
    pub(super) async fn check_unmoved(&self, plan: &Plan) -> Result<(), Failure> {
        for (name, pinned) in &plan.pins.images {
            if self.engine.image(name).await?.is_some_and(|image| image.id != pinned.id) {
                let message = format!("the image {name} became another one while it was built on");
                return Err(Failure::new(FailureKind::Outside, message).hint("try again"));
            }
        }
        Ok(())
    }

    /// What a dry run says of features and of the images that are there.
    pub(super) async fn preview(
        &self,
        stage: &Stage,
        record: &Record,
        plan: &Plan,
    ) -> Result<(Vec<Finding>, BTreeMap<String, String>), Failure> {
        let locks = self.locks(stage, plan).await;
        let resolved = self.resolve_features(record, plan, locks.as_ref()).await?;
        let mut pins = Pins { features: resolved.pinned, ..Pins::default() };
        for reference in &plan.references {
            let Reference::Image(name) = reference else { continue };
            if let Some(image) = self.engine.image(name).await? {
                let digest = policy::digest_of(name, &image.digests);
                pins.images.insert(name.clone(), PinnedImage { id: image.id, digest });
            }
        }
        Ok((resolved.findings, pins.references()))
    }
}

/// Features that Hatchery adds from registries and that have no digest in the configuration.
fn injected(config: &Config) -> BTreeSet<String> {
    let features = &config.features;
    let drone = match &features.drone {
        DroneFeature::Reference(reference) => Some(reference),
        DroneFeature::BuiltIn => None,
    };
    let sshd = Some(&features.sshd).filter(|reference| !reference.is_empty());
    let all = features.extra.keys().chain(sshd).chain(drone).cloned();
    all.filter(|reference| !is_pinned(reference) && !reference.starts_with("./")).collect()
}

/// Whether the drone's own image is `name`, or made from it by features alone.
fn is_base(plan: &Plan, name: &str) -> bool {
    match &plan.form {
        Form::Image { reference } => reference == name,
        Form::Compose(compose) => compose.own_image() == Some(name),
        Form::Dockerfile { .. } => false,
    }
}

/// Whether a failed pull stops nothing: what is for another platform is the builder's affair, and
/// which siblings start, Compose knows.
fn may_do_without(plan: &Plan, name: &str, error: &RegistryError) -> bool {
    let said = match error {
        RegistryError::Refused { said, .. } => said.as_slice(),
        RegistryError::Unknown { .. }
        | RegistryError::Deadline { .. }
        | RegistryError::Run { .. } => &[],
    };
    match &plan.form {
        Form::Image { .. } => false,
        Form::Dockerfile { .. } => said.iter().any(|line| line.contains("no matching manifest")),
        Form::Compose(_) => !is_base(plan, name),
    }
}

/// Which lock file a build of `plan` obeys, and where ours goes (relative to the checkout) with its
/// text: it pins what features depend on, which the configuration cannot name.
pub(super) fn lock(plan: &Plan, checkout: &Path) -> (Lock, Option<(String, String)>) {
    let config = Path::new(&plan.config_path);
    if lock_path(&checkout.join(config)).is_file() {
        return (Lock::Repository, None);
    }
    if plan.pins.features.is_empty() {
        return (Lock::None, None);
    }
    let entry = |(name, pinned): (&String, &String)| {
        let (_, digest) = pinned.split_once('@')?;
        let entry = json!({"version": "0", "resolved": pinned, "integrity": digest});
        Some((name.clone(), entry))
    };
    let features: Map<String, Value> = plan.pins.features.iter().filter_map(entry).collect();
    let path = lock_path(config).to_string_lossy().into_owned();
    (Lock::Ours, Some((path, json!({"features": features}).to_string())))
}
