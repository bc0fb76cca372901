//! `build`: the image, with the features injected; then the policy's look at its metadata, and the
//! final image, which carries what was allowed and nothing else.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use hatchery_protocol::DroneName;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::super::devcontainers::BuildRequest;
use super::super::engine::{ContainerEngine, Image};
use super::super::failure::{Failure, FailureKind};
use super::super::stage::Stage;
use super::super::telling::Telling;
use super::super::view::Step;
use super::super::{Lifecycle, blocking, capacity, labels};
use super::clone::stage_failure;
use super::compose::own_build;
use super::pin::{is_pinned, lock};
use crate::config::DroneFeature;
use crate::credentials::Forge;
use crate::policy::{self, Effective, Form, Plan, Scope};
use crate::records::Record;
use crate::secret::hex;

/// How long a build may take.
const BUILD: Duration = Duration::from_secs(2 * 60 * 60);

/// Name of the built-in feature's folder in a stage.
const FEATURE: &str = "hatchery-drone";

/// Hex digits of a hash in an image's tag.
const TAG: usize = 16;

/// What a drone is created from.
#[derive(Debug, Clone)]
pub(in crate::lifecycle) struct Built {
    /// The final image.
    pub(in crate::lifecycle) image: Image,
    /// The name it has.
    pub(in crate::lifecycle) name: String,
    /// The name of the image that it was made from.
    pub(in crate::lifecycle) base: String,
    /// What its metadata asks for, after the policy.
    pub(in crate::lifecycle) effective: Effective,
}

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(in crate::lifecycle) async fn build(
        &self,
        stage: &Stage,
        record: &Record,
        plan: &Plan,
        telling: &Telling,
    ) -> Result<Built, Failure> {
        let facts = self.engine.facts().await?;
        capacity::check_disk(&self.config.limits, capacity::measure(&facts.root_dir))?;
        if matches!(plan.form, Form::Compose(_)) {
            self.engine.check_compose().await?;
        }
        let features = self.stage_features(stage, plan).await?;
        let key = self.image_key(stage, plan, &features).await?;
        let built = labels::image(&record.drone, &key.tag);
        let existing = if key.complete { self.engine.image(&built).await? } else { None };
        let image = match existing {
            Some(image) => image,
            None => {
                let place = (stage, &record.drone);
                self.build_image(place, plan, &built, features, telling).await?
            }
        };
        self.finish_image(record, plan, image, built, telling).await
    }

    async fn build_image(
        &self,
        (stage, drone): (&Stage, &DroneName),
        plan: &Plan,
        name: &str,
        features: Map<String, Value>,
        telling: &Telling,
    ) -> Result<Image, Failure> {
        let checkout = stage.checkout();
        let (lock, ours) = lock(plan, &checkout);
        if let Some((path, text)) = ours {
            let stage = stage.clone();
            let written = blocking(move || stage.write(&path, &text)).await;
            written.map_err(|error| stage_failure(&error))?;
        }
        let request = BuildRequest {
            config: checkout.join(&plan.config_path),
            workspace: checkout,
            lock,
            image: name.to_owned(),
            features,
            notes: Stage::notes(&self.config.paths, drone),
            limit: BUILD,
        };
        let engine = &self.engine;
        telling
            .with_output(Step::Build, async |output| engine.build(&request, output).await)
            .await?;
        self.check_unmoved(plan).await?;
        if let Form::Compose(compose) = &plan.form
            && let Some(first) = own_build(compose, drone)
        {
            // It has the name that was asked for now.
            engine.remove_image(&first).await?;
        }
        self.engine.image(name).await?.ok_or_else(|| {
            let message = format!("the build ended well, but there is no image {name}");
            Failure::new(FailureKind::Engine, message)
        })
    }

    /// The policy's look at what features and base images ask for, and an image without the rest.
    async fn finish_image(
        &self,
        record: &Record,
        plan: &Plan,
        image: Image,
        name: String,
        telling: &Telling,
    ) -> Result<Built, Failure> {
        let subpaths = self.engine.facts().await?.volume_subpaths();
        let scope = Scope::new(&self.config, &record.drone, &record.repo.name, subpaths);
        let label = image.labels.get(labels::METADATA).map(String::as_str);
        let review = policy::check_metadata(label, plan, &scope)?;
        self.judged(record, &review.findings).await;
        let accepted = review.accept(record.choices.without_refused)?;
        for notice in accepted.notices {
            telling.notice(notice).await;
        }
        let effective = accepted.outcome;
        let allowed = effective.label.to_string();
        let same = label.and_then(|text| serde_json::from_str::<Value>(text).ok())
            == Some(effective.label.clone());
        if same {
            return Ok(Built { image, base: name.clone(), name, effective });
        }
        let mut digest = Sha256::new();
        digest.update(&image.id);
        digest.update(&allowed);
        let base = name;
        let name = labels::image(&record.drone, &format!("{}-final", short(digest)));
        let set = [(labels::METADATA.to_owned(), allowed)].into();
        self.engine.relabel(&image.id, &set, &name).await?;
        let image = self.engine.image(&name).await?.ok_or_else(|| {
            Failure::new(FailureKind::Engine, format!("image {name} is gone again"))
        })?;
        Ok(Built { image, name, base, effective })
    }

    /// Everything injected: reference -> options.
    async fn stage_features(
        &self,
        stage: &Stage,
        plan: &Plan,
    ) -> Result<Map<String, Value>, Failure> {
        let own = |reference: &str| {
            plan.pins.features.get(reference).cloned().unwrap_or_else(|| reference.to_owned())
        };
        let extra = &self.config.features.extra;
        let mut features: Map<String, Value> =
            extra.iter().map(|(name, options)| (own(name), options.clone())).collect();
        if !self.config.features.sshd.is_empty() {
            // With the options of the one that the repository declares and that gave way to it.
            let options = plan.sshd_options.clone();
            let options = options.unwrap_or_else(|| Value::Object(Map::new()));
            features.insert(own(&self.config.features.sshd), options);
        }
        let reference = match &self.config.features.drone {
            DroneFeature::Reference(reference) => own(reference),
            DroneFeature::BuiltIn => {
                let (stage, config) = (stage.clone(), plan.config_path.clone());
                let source = self.config.paths.feature_dir.clone();
                check_feature(&source)?;
                blocking(move || stage.add_feature(&source, &config, FEATURE))
                    .await
                    .map_err(|error| stage_failure(&error))?
            }
        };
        features.insert(reference, Value::Object(Map::new()));
        Ok(features)
    }

    /// The hash of all that goes into the image, and whether that is really all: a tag can mean
    /// another image tomorrow, so what has no id or digest here is always built anew.
    async fn image_key(
        &self,
        stage: &Stage,
        plan: &Plan,
        features: &Map<String, Value>,
    ) -> Result<ImageKey, Failure> {
        let mut digest = Sha256::new();
        let mut complete = plan.is_pinned();
        let mut add = |part: &str| {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        };
        add(env!("CARGO_PKG_VERSION"));
        add(&plan.devcontainer_json.to_string());
        add(&Value::Object(features.clone()).to_string());
        add(&self.feature_digest().await);
        for (reference, digest) in plan.pins.references() {
            add(&reference);
            add(&digest);
        }
        complete &= features.keys().all(|name| name.starts_with("./") || is_pinned(name));
        // A rebuild has a working tree without a commit.
        let paths = if stage.clone_dir().exists() { context_paths(plan) } else { vec![] };
        complete &= !paths.is_empty();
        for path in paths {
            match self.engine.tree_id(&stage.clone_dir(), &path).await? {
                Some(id) => add(&id),
                None => complete &= path == ".devcontainer",
            }
        }
        // An unknown part: a name of its own, so that nothing is taken for it.
        if !complete {
            add(&time::OffsetDateTime::now_utc().unix_timestamp_nanos().to_string());
        }
        Ok(ImageKey { tag: short(digest), complete })
    }

    /// The built-in feature's content.
    async fn feature_digest(&self) -> String {
        let source = self.config.paths.feature_dir.clone();
        blocking(move || {
            let mut digest = Sha256::new();
            let mut files =
                vec![source.join("devcontainer-feature.json"), source.join("install.sh")];
            let programs = std::fs::read_dir(source.join("bin")).into_iter().flatten().flatten();
            files.extend(programs.map(|entry| entry.path()));
            files.sort();
            for file in files {
                // What cannot be read counts as empty; the build says so.
                let _ = add_file(&mut digest, &file);
            }
            hex(&digest.finalize())
        })
        .await
    }
}

/// Adds a file's content in pieces: a whole program at once would stay in the allocator's keeping.
fn add_file(digest: &mut Sha256, path: &Path) -> io::Result<()> {
    let (mut file, mut piece) = (File::open(path)?, [0; 16 << 10]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(()),
            count => digest.update(piece.get(..count).unwrap_or_default()),
        }
    }
}

/// Name of an image by its content.
struct ImageKey {
    tag: String,
    complete: bool,
}

fn short(digest: Sha256) -> String {
    let mut digits = hex(&digest.finalize());
    digits.truncate(TAG);
    digits
}

/// Directories of the checkout that the image is made from.
fn context_paths(plan: &Plan) -> Vec<String> {
    let own = ".devcontainer".to_owned();
    match &plan.form {
        Form::Image { .. } => vec![own],
        Form::Dockerfile { context, dockerfile, .. } => {
            vec![own, context.clone(), dockerfile.clone()]
        }
        // Any service's context may lie anywhere.
        Form::Compose(_) => vec![".".to_owned()],
    }
}

fn check_feature(source: &Path) -> Result<(), Failure> {
    if source.join("devcontainer-feature.json").is_file() {
        return Ok(());
    }
    let message = format!("the built-in feature is not in {}", source.display());
    Err(Failure::new(FailureKind::Usage, message)
        .hint("build it with `scripts/build`, or set [features] drone to an OCI reference"))
}
