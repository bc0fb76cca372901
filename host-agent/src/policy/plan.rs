//! What is left of a repository's configuration once the policy is through with it: the input of
//! build and create.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::ledger::Place;

/// The outcome of pass (a).
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The configuration file, relative to the checkout, with `/` separators. When the repository
    /// has none and `[drone] image` stands in: `.devcontainer/devcontainer.json`, to be written.
    pub config_path: String,
    /// What to stage there instead of the repository's text: strict JSON, variables of the host
    /// side substituted, nothing in it that was stripped or refused. `mounts`, `runArgs`,
    /// `workspaceMount` and `workspaceFolder` are not in it: they are [`Plan::mounts`],
    /// [`Plan::run`] and [`Plan::workspace`] (Compose keeps `workspaceFolder`).
    pub devcontainer_json: Value,
    /// Image, Dockerfile or Compose.
    pub form: Form,
    /// Where the workspace lies.
    pub workspace: Workspace,
    /// `mounts` of the configuration and of `runArgs`, in order.
    pub mounts: Vec<Mount>,
    /// The `runArgs` that are honoured.
    pub run: RunSettings,
    /// Every volume to create (and label) before the container: names as the engine sees them,
    /// without the workspace's and the state's.
    pub volumes: Vec<String>,
    /// Directories of the checkout that mounts name and git does not have: to be made in the
    /// workspace volume first.
    pub directories: Vec<String>,
    /// Options of a declared sshd feature, which gave way to `[features] sshd`: for that one.
    pub sshd_options: Option<Value>,
    /// What pass (b) resolves to digests.
    pub references: Vec<Reference>,
    /// What pass (b) found it to be; empty before.
    pub pins: Pins,
}

impl Plan {
    /// Takes over what pass (b) found: what is built is named by digest from here on, as far as
    /// there is one. Features keep their names where the repository's own lock file pins them.
    pub fn pin(&mut self, pins: Pins, locked: bool) {
        let members = self.devcontainer_json.as_object_mut();
        let features = members.and_then(|members| members.get_mut("features"));
        if let (Some(Value::Object(features)), false) = (features, locked) {
            *features = std::mem::take(features)
                .into_iter()
                .map(|(name, options)| (pins.features.get(&name).cloned().unwrap_or(name), options))
                .collect();
        }
        let digest = |name: &str| pins.images.get(name)?.digest.clone();
        match &mut self.form {
            Form::Image { reference } => {
                if let Some(digest) = digest(reference) {
                    self.devcontainer_json["image"] = Value::String(digest.clone());
                    *reference = digest;
                }
            }
            Form::Compose(compose) => compose.pin(&digest),
            // The Dockerfile stays as it is: the image that it names is here already.
            Form::Dockerfile { .. } => {}
        }
        self.pins = pins;
    }

    /// Whether all that a build fetches is known by digest or id.
    pub fn is_pinned(&self) -> bool {
        self.references.iter().all(|reference| match reference {
            Reference::Image(name) => self.pins.images.contains_key(name),
            Reference::Feature(used) => {
                used.manifest.is_some() || self.pins.features.contains_key(&used.name)
            }
        })
    }
}

/// What a configuration's references are, by the time of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    /// Images, by the reference that names them.
    pub images: BTreeMap<String, PinnedImage>,
    /// Features, those among them that others depend on: reference -> the same by digest.
    pub features: BTreeMap<String, String>,
}

impl Pins {
    /// Each reference with its digest, or its id where no registry has it.
    pub fn references(&self) -> BTreeMap<String, String> {
        let images = self.images.iter().map(|(name, image)| {
            (name.clone(), image.digest.as_ref().unwrap_or(&image.id).clone())
        });
        images.chain(self.features.clone()).collect()
    }
}

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedImage {
    /// Its id on the engine.
    pub id: String,
    /// `repository@sha256:...` as the registry that its reference names has it; `None`: it did not
    /// come from there.
    pub digest: Option<String>,
}

/// What the drone is made from.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// `image`.
    Image {
        /// The reference as written, variables substituted.
        reference: String,
    },
    /// `build.dockerfile` or `dockerFile`.
    Dockerfile {
        /// Relative to the checkout.
        dockerfile: String,
        /// Relative to the checkout; `.` is its root.
        context: String,
        /// `build.target`.
        target: Option<String>,
        /// `build.args`, variables substituted.
        args: BTreeMap<String, String>,
    },
    /// `dockerComposeFile`.
    Compose(Compose),
}

/// A Compose configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Compose {
    /// `dockerComposeFile`, relative to the checkout, in order.
    pub paths: Vec<String>,
    /// Every file of the project that was read (`extends` and `include` too), sanitised: to be
    /// written over the staged ones. Interpolated already (a literal `$` is `$$`), so run Compose
    /// with `COMPOSE_DISABLE_ENV_FILE=1`.
    pub files: Vec<StagedFile>,
    /// The service that is the drone.
    pub service: String,
    /// `runServices`; empty: all.
    pub run_services: Vec<String>,
    /// Every service there is, by name.
    pub services: BTreeMap<String, Service>,
}

impl Compose {
    /// The image that the drone's own service runs, where it is not built.
    pub fn own_image(&self) -> Option<&str> {
        let service = self.services.get(&self.service).filter(|service| !service.builds)?;
        service.image.as_deref()
    }

    /// The images that services run as they are.
    fn images(&self) -> impl Iterator<Item = &str> {
        let run = self.services.values().filter(|service| !service.builds);
        run.filter_map(|service| service.image.as_deref())
    }

    /// Names the images of services by digest, as far as `digest` knows one.
    fn pin(&mut self, digest: &dyn Fn(&str) -> Option<String>) {
        let run: BTreeSet<String> = self.images().map(str::to_owned).collect();
        let digest = |name: &str| digest(name).filter(|_| run.contains(name));
        for file in &mut self.files {
            let Ok(mut content) = serde_json::from_str::<Value>(&file.text) else { continue };
            let services = content.get_mut("services").and_then(Value::as_object_mut);
            for service in services.into_iter().flat_map(|services| services.values_mut()) {
                // Of what is built, `image` is the name that it gets.
                let built = service.get("build").is_some();
                let Some(image) = service.get_mut("image").filter(|_| !built) else { continue };
                if let Some(digest) = image.as_str().and_then(digest) {
                    *image = Value::String(digest);
                }
            }
            file.text = content.to_string();
        }
        for service in self.services.values_mut().filter(|service| !service.builds) {
            service.image = service.image.take().map(|name| digest(&name).unwrap_or(name));
        }
    }
}

/// A service as far as our own Compose file needs to know it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// The service whose network it shares (`network_mode: service:x`), which then owns the
    /// networks and the drone's host name.
    pub network_of: Option<String>,
    /// `image`, when it names one.
    pub image: Option<String>,
    /// Whether it is built.
    pub builds: bool,
}

/// A file to write into the stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedFile {
    /// Relative to the checkout.
    pub path: String,
    /// Its whole content: JSON, which is YAML too.
    pub text: String,
}

/// Where the workspace lies in the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workspace {
    /// The workspace folder: where hooks run and editors open.
    pub folder: String,
    /// Where the clone itself is; `folder` is it or lies below it.
    pub clone: String,
    /// How the workspace volume is mounted; for Compose, what is to be added to the service that
    /// is the drone, beside what its staged files say.
    pub mounts: Vec<Mount>,
    /// The volume's root is the clone, not its parent: older engines with another
    /// `workspaceFolder`. Worktrees are not possible then.
    pub clone_is_root: bool,
}

/// A mount that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// The workspace volume, `hatchery-<drone>`.
    Workspace {
        /// Part of the volume, relative; `None`: its root.
        subpath: Option<String>,
        /// Where, absolute.
        target: String,
        /// Mounted read-only.
        read_only: bool,
    },
    /// A volume of the drone's own.
    Volume {
        /// Its name as the engine sees it, `hatchery-<drone>.<name>`; `None`: anonymous.
        name: Option<String>,
        /// Where, absolute.
        target: String,
        /// Mounted read-only.
        read_only: bool,
    },
    /// A tmpfs.
    Tmpfs {
        /// Where, absolute.
        target: String,
        /// Size in bytes.
        size_bytes: Option<u64>,
        /// Mode bits.
        mode: Option<u32>,
    },
    /// A path of the host, only where a `[[policy]]` rule permits it.
    Bind {
        /// The host's path.
        source: String,
        /// Where, absolute.
        target: String,
        /// Mounted read-only.
        read_only: bool,
    },
}

impl Mount {
    /// Where it is mounted.
    pub fn target(&self) -> &str {
        match self {
            Self::Workspace { target, .. }
            | Self::Volume { target, .. }
            | Self::Tmpfs { target, .. }
            | Self::Bind { target, .. } => target,
        }
    }

    /// The engine's name of the volume to create for it, if it has one of its own.
    pub fn volume_name(&self) -> Option<&str> {
        match self {
            Self::Volume { name, .. } => name.as_deref(),
            Self::Workspace { .. } | Self::Tmpfs { .. } | Self::Bind { .. } => None,
        }
    }
}

/// `runArgs` that are honoured, as a create by the engine's API takes them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunSettings {
    /// `--shm-size`.
    pub shm_size_bytes: Option<u64>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// `--env` with a value.
    pub env: BTreeMap<String, String>,
    /// `--label`, without ours.
    pub labels: BTreeMap<String, String>,
    /// `--init`.
    pub init: bool,
    /// `--user`.
    pub user: Option<String>,
    /// `--cap-add`, without `CAP_`, upper case.
    pub cap_add: Vec<String>,
    /// `--cap-drop`.
    pub cap_drop: Vec<String>,
    /// `--security-opt`.
    pub security_opt: Vec<String>,
    /// `--add-host`, as `name:address`.
    pub extra_hosts: Vec<String>,
    /// `--group-add`.
    pub group_add: Vec<String>,
    /// `--sysctl` of the container's own network and ipc namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// `--stop-signal`.
    pub stop_signal: Option<String>,
    /// `--stop-timeout`, in seconds.
    pub stop_timeout_seconds: Option<i64>,
    /// `--platform`.
    pub platform: Option<String>,
    /// `--privileged`, where a rule permits it.
    pub privileged: bool,
    /// `--device`, where a rule permits it: `source[:target[:permissions]]`.
    pub devices: Vec<String>,
    /// `--gpus`, where a rule permits it.
    pub gpus: Option<String>,
    /// `--network host`, where a rule permits it.
    pub host_network: bool,
    /// `--pid|--ipc|--uts|--userns|--cgroupns host`, where a rule permits it: `pid`, `ipc`, ...
    pub host_namespaces: Vec<String>,
}

/// A resource limit of processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// `nofile`.
    pub name: String,
    /// Soft limit; -1: none.
    pub soft: i64,
    /// Hard limit; -1: none.
    pub hard: i64,
}

/// Something from a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// An image, by `image`, `FROM`, `COPY --from`, `# syntax`, or a Compose service.
    Image(String),
    /// A feature of the configuration.
    Feature(FeatureUse),
}

/// A feature that is installed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeatureUse {
    /// What it is fetched by, or the path of a local one.
    pub name: String,
    /// Where it is asked for; its subject tells on whose behalf.
    pub place: Place,
    /// `devcontainer-feature.json` of a local one.
    pub manifest: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::Bench;

    fn pins(images: &[(&str, Option<&str>)], features: &[(&str, &str)]) -> Pins {
        let image = |(name, digest): &(&str, Option<&str>)| {
            let digest = digest.map(str::to_owned);
            ((*name).to_owned(), PinnedImage { id: "sha256:ff".to_owned(), digest })
        };
        let feature = |(name, pinned): &(&str, &str)| ((*name).to_owned(), (*pinned).to_owned());
        Pins {
            images: images.iter().map(image).collect(),
            features: features.iter().map(feature).collect(),
        }
    }

    #[test]
    fn a_pinned_plan_names_digests_where_there_are_some() {
        let text = r#"{"image": "debian:12", "features": {"ghcr.io/a/b:1": {"x": 1}}}"#;
        for (locked, name) in [(false, "ghcr.io/a/b@sha256:22"), (true, "ghcr.io/a/b:1")] {
            let mut plan = Bench::json(text).plan();
            assert!(!plan.is_pinned());
            let found = pins(
                &[("debian:12", Some("debian@sha256:11"))],
                &[("ghcr.io/a/b:1", "ghcr.io/a/b@sha256:22"), ("ghcr.io/a/c", "ghcr.io/a/c@x")],
            );
            plan.pin(found, locked);
            assert!(plan.is_pinned());
            assert_eq!(plan.devcontainer_json["image"], "debian@sha256:11");
            assert_eq!(plan.devcontainer_json["features"][name]["x"], 1);
        }
        let mut plan = Bench::json(r#"{"image": "debian:12"}"#).plan();
        plan.pin(pins(&[("debian:12", None)], &[]), false);
        assert_eq!(plan.devcontainer_json["image"], "debian:12");
        assert_eq!(plan.pins.references()["debian:12"], "sha256:ff");
    }

    #[test]
    fn services_run_what_was_looked_at_and_builds_keep_their_names() {
        let compose = "services:\n  app:\n    image: debian:12\n  db:\n    image: postgres:16\n  \
                       own:\n    build: .\n";
        let config = r#"{"dockerComposeFile": "c.yml", "service": "app"}"#;
        let files = [
            (".devcontainer/devcontainer.json", config),
            (".devcontainer/c.yml", compose),
            (".devcontainer/Dockerfile", "FROM alpine:3\n"),
        ];
        let mut plan = Bench::new(&files).plan();
        let digests = [
            ("debian:12", Some("debian@sha256:11")),
            ("postgres:16", Some("postgres@sha256:22")),
            ("alpine:3", Some("alpine@sha256:33")),
        ];
        plan.pin(pins(&digests, &[]), false);
        assert!(plan.is_pinned());
        let Form::Compose(compose) = &plan.form else { panic!("{:?}", plan.form) };
        let text: String = compose.files.iter().map(|file| file.text.as_str()).collect();
        assert!(text.contains("debian@sha256:11") && text.contains("postgres@sha256:22"), "{text}");
        assert!(!text.contains("alpine"), "{text}");
        assert_eq!(compose.own_image(), Some("debian@sha256:11"));
    }
}
