//! What a Compose drone was last brought up from: kept on the host, so that a rebuild that fails, or
//! whose host agent is killed, brings the project back as it was.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use hatchery_protocol::DroneName;
use serde::{Deserialize, Serialize};

use super::stage::Stage;
use crate::config::Paths;

/// Everything that `up` reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeMemo {
    /// The repository's files as the policy left them: path in the checkout, text.
    pub repository: Vec<(String, String)>,
    /// Ours: name in the stage, text.
    pub ours: Vec<(String, String)>,
}

impl ComposeMemo {
    /// What `drone` runs from, as far as it is known to work.
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn load(paths: &Paths, drone: &DroneName) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(place(paths, drone))?)?)
    }

    /// Keeps it as what `drone` runs from.
    ///
    /// # Errors
    /// When the state directory cannot be written.
    pub fn keep(&self, paths: &Paths, drone: &DroneName) -> io::Result<()> {
        let directory = directory(paths);
        std::fs::create_dir_all(&directory)?;
        let mut file = tempfile::Builder::new().prefix(".memo-").tempfile_in(&directory)?;
        serde_json::to_writer(&mut file, self)?;
        file.flush()?;
        file.as_file().sync_all()?;
        file.persist(place(paths, drone)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Forgets what `drone` runs from; nothing known is fine.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn forget(paths: &Paths, drone: &DroneName) -> io::Result<()> {
        match std::fs::remove_file(place(paths, drone)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Puts every file where `up` looks for it.
    ///
    /// # Errors
    /// When the stage cannot be written.
    pub fn put(&self, stage: &Stage) -> io::Result<()> {
        std::fs::create_dir_all(stage.checkout())?;
        for (path, text) in &self.repository {
            stage.write(path, text)?;
        }
        for (name, text) in &self.ours {
            std::fs::write(stage.file(name), text)?;
        }
        Ok(())
    }
}

fn directory(paths: &Paths) -> PathBuf {
    paths.state.join("compose")
}

fn place(paths: &Paths, drone: &DroneName) -> PathBuf {
    directory(paths).join(Path::new(drone.as_str()).with_extension("json"))
}
