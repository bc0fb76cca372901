//! What the classic builder leaves behind beside the image that was asked for: stages that only files
//! were taken from, the steps of a build that failed and the container of its last one, and the image
//! in which the devcontainer CLI hands features over. (BuildKit keeps such things in a cache of its
//! own, which it limits.)
//!
//! The builder's output names each of them. That is noted in a file as it comes, so that it is found
//! after a kill, too. But the output is partly the repository's own words: what it names is removed
//! only if it is younger than the build, has no name, does not run, and nothing needs it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::query_parameters as query;
use futures_util::StreamExt as _;
use time::OffsetDateTime;

use super::Machine;
use super::devcontainer_cli::BuilderKind;
use crate::lifecycle::engine::ContainerEngine as _;

/// How long a sweep waits for builds under way, which may be using what it would remove, and for a
/// step to end whose client is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The image in which the devcontainer CLI hands features to the classic builder; every run of the
/// CLI on an engine calls it so.
const FEATURES: &str = "dev_container_feature_content_temp";

/// Digits of an id in the builder's output.
const DIGITS: usize = 12;

/// Something that a build made, by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Made {
    Container(String),
    Image(String),
}

/// What one build made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftovers {
    began: i64,
    /// What [`FEATURES`] meant before, if anything.
    features: Option<String>,
    made: Vec<Made>,
}

/// Leftovers that wait for a build of another drone to end.
pub type Unswept = Mutex<Vec<Leftovers>>;

/// Takes notes of a build's output.
pub struct Notes {
    file: File,
    /// The part of a line that has come so far.
    line: String,
    /// The next image was there before: a stage begins with it, or it is from the cache.
    known: bool,
}

impl Notes {
    /// Begins them in `path`. Blocks.
    ///
    /// # Errors
    /// When the file cannot be written.
    fn begin(path: &Path, features: Option<&str>) -> io::Result<Self> {
        let mut file = File::create(path)?;
        let now = OffsetDateTime::now_utc().unix_timestamp();
        writeln!(file, "began {now}")?;
        if let Some(id) = features {
            writeln!(file, "features {id}")?;
        }
        Ok(Self { file, line: String::new(), known: false })
    }

    /// A piece of the output. A note that cannot be written is a leftover that stays.
    pub fn hear(&mut self, text: &str) {
        for piece in text.split_inclusive(['\n', '\r']) {
            self.line.push_str(piece);
            if piece.ends_with(['\n', '\r']) {
                let line = std::mem::take(&mut self.line);
                if let Some(made) = self.made(line.trim()) {
                    let _ = match made {
                        Made::Container(id) => writeln!(self.file, "container {id}"),
                        Made::Image(id) => writeln!(self.file, "image {id}"),
                    };
                }
            }
        }
    }

    fn made(&mut self, line: &str) -> Option<Made> {
        if line.starts_with("Step ") {
            self.known = line.contains(" : FROM ");
            return None;
        }
        let result = line.strip_prefix("---> ")?;
        if result == "Using cache" {
            self.known = true;
            return None;
        }
        if let Some(id) = result.strip_prefix("Running in ") {
            return is_id(id).then(|| Made::Container(id.to_owned()));
        }
        (is_id(result) && !self.known).then(|| Made::Image(result.to_owned()))
    }
}

fn is_id(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Leftovers {
    /// Reads notes; `None` where there are none.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let (_, began) = lines.next().filter(|(key, _)| *key == "began")?;
        let mut leftovers = Self { began: began.parse().ok()?, features: None, made: Vec::new() };
        for (key, value) in lines {
            match key {
                "features" => leftovers.features = Some(value.to_owned()),
                "container" => leftovers.made.push(Made::Container(value.to_owned())),
                "image" => leftovers.made.push(Made::Image(value.to_owned())),
                _ => {}
            }
        }
        Some(leftovers)
    }
}

impl Machine {
    /// Notes for a build that has the engine for itself. Without them it leaves what it leaves.
    pub(super) async fn take_notes(&self, path: &Path) -> Option<Notes> {
        let features = self.image(FEATURES).await.ok()?.map(|image| image.id);
        let path = path.to_owned();
        let begun =
            tokio::task::spawn_blocking(move || Notes::begin(&path, features.as_deref())).await;
        let begun = begun.unwrap_or_else(|error| Err(error.into()));
        begun.inspect_err(|error| tracing::warn!(%error, "no notes of a build's leftovers")).ok()
    }

    /// Removes what a build left that noted it in `path`; no build may be under way.
    pub(super) async fn sweep_alone(&self, path: &Path) {
        let waiting = std::mem::take(&mut *self.unswept());
        for leftovers in read(path).await.into_iter().chain(waiting) {
            self.remove_leftovers(&leftovers).await;
        }
    }

    /// The same, when builds of other drones may be under way: they use what others have made. If
    /// they take long, the last of them does it.
    pub(super) async fn sweep_soon(&self, path: &Path) {
        let Some(leftovers) = read(path).await else { return };
        self.unswept().push(leftovers);
        let turn = self.build_permit(BuilderKind::Classic);
        if let Ok(_permit) = tokio::time::timeout(PATIENCE, turn).await {
            self.sweep_alone(path).await;
        }
    }

    fn unswept(&self) -> std::sync::MutexGuard<'_, Vec<Leftovers>> {
        self.unswept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn remove_leftovers(&self, leftovers: &Leftovers) {
        self.restore_features(leftovers.features.as_deref()).await;
        // The last first: what was made of an image keeps it.
        for made in leftovers.made.iter().rev() {
            match made {
                Made::Container(id) => self.remove_step(id, leftovers.began).await,
                Made::Image(id) => self.remove_stage(id, leftovers.began).await,
            }
        }
    }

    /// What the CLI's image for features was called before is called so again.
    async fn restore_features(&self, before: Option<&str>) {
        let Ok(Some(now)) = self.image(FEATURES).await else { return };
        match (before, self.docker()) {
            (Some(id), _) if id == now.id => {}
            (Some(id), Ok(docker)) => {
                let name = query::TagImageOptions {
                    repo: Some(FEATURES.to_owned()),
                    tag: Some("latest".to_owned()),
                };
                // Gone since then: then the name stays with what has it now.
                let _ = self
                    .call("name an image", super::docker::CALL, docker.tag_image(id, Some(name)))
                    .await;
            }
            (None, _) => {
                let _ = self.remove_image(FEATURES).await;
            }
            (Some(_), Err(_)) => {}
        }
    }

    /// Removes the container of a step that failed. That of one that was cut off is the engine's to
    /// end, which takes it a moment.
    async fn remove_step(&self, id: &str, began: i64) {
        let Ok(docker) = self.docker() else { return };
        let Ok(found) = docker.inspect_container(id, None).await else { return };
        let young = found.created.is_some_and(|at| at.unix_timestamp() >= began);
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        let of_drone = labels.keys().any(|name| name.starts_with("hatchery."));
        if !young || of_drone {
            return;
        }
        if found.state.and_then(|state| state.running).unwrap_or(true) {
            let gone = query::WaitContainerOptions { condition: "removed".to_owned() };
            let mut ends = std::pin::pin!(docker.wait_container(id, Some(gone)));
            let _ = tokio::time::timeout(PATIENCE, ends.next()).await;
        } else {
            let _ = self.remove(id).await;
        }
    }

    /// Removes an image that nothing is made of and that has no name.
    async fn remove_stage(&self, id: &str, began: i64) {
        let Ok(docker) = self.docker() else { return };
        let Ok(found) = docker.inspect_image(id).await else { return };
        let young = found.created.is_some_and(|at| at.unix_timestamp() >= began);
        if young && found.repo_tags.unwrap_or_default().is_empty() {
            // Its parents have their own turn, if they are of this build. A refusal: it is needed.
            let options = query::RemoveImageOptions { noprune: true, ..Default::default() };
            let removing = docker.remove_image(id, Some(options), None);
            let _ = self.call("remove an image", super::docker::CALL, removing).await;
        }
    }
}

/// Takes notes out of their file.
async fn read(path: &Path) -> Option<Leftovers> {
    let text = tokio::fs::read_to_string(path).await.ok()?;
    let _ = tokio::fs::remove_file(path).await;
    Leftovers::parse(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Sending build context to Docker daemon  2.56kB\r\n\
        Step 1/5 : FROM debian:12 AS one\r\n ---> 270946d0a156\r\n\
        Step 2/5 : RUN echo one\r\n ---> Running in b7f5560dc177\r\n\
        one\r\nRemoving intermediate container b7f5560dc177\r\n ---> e8f836f5af41\r\n\
        Step 3/5 : USER root\r\n ---> Using cache\r\n ---> 5f1910f553de\r\n\
        Step 4/5 : COPY --from=one /a /\r\n ---> a1d3d8cc8260\r\n\
        Step 5/5 : RUN exit 7\r\n ---> Running in 7e7b8e260795\r\n";

    #[test]
    fn what_a_build_made_is_noted_however_its_output_comes() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("made");
        for size in [1, 7, OUTPUT.len()] {
            let mut notes = Notes::begin(&path, Some("sha256:0")).expect("a file");
            for piece in OUTPUT.as_bytes().chunks(size) {
                notes.hear(std::str::from_utf8(piece).expect("text"));
            }
            drop(notes);
            let text = std::fs::read_to_string(&path).expect("notes");
            let leftovers = Leftovers::parse(&text).expect("leftovers");
            let container = |id: &str| Made::Container(id.to_owned());
            let image = |id: &str| Made::Image(id.to_owned());
            assert_eq!(leftovers.features.as_deref(), Some("sha256:0"));
            assert_eq!(
                leftovers.made,
                [
                    container("b7f5560dc177"),
                    image("e8f836f5af41"),
                    image("a1d3d8cc8260"),
                    container("7e7b8e260795"),
                ]
            );
        }
    }

    #[test]
    fn only_whole_ids_are_taken() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("made");
        let mut notes = Notes::begin(&path, None).expect("a file");
        for line in ["---> a1d3", "---> ../../x", "---> Running in a", "---> a1d3d8cc8260 x"] {
            notes.hear(&format!(" {line}\n"));
        }
        drop(notes);
        let text = std::fs::read_to_string(&path).expect("notes");
        assert_eq!(Leftovers::parse(&text).expect("leftovers").made, []);
        assert_eq!(Leftovers::parse(""), None);
    }
}
