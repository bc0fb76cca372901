//! The stage: where a checkout lies on the host while its drone is made. Written by git and by us
//! alone, never by a drone, and removed when the spawn is over.

use std::io;
use std::path::{Path, PathBuf};

use hatchery_protocol::{DroneName, RepoName};

use crate::config::Paths;

/// Folder of a checkout that the devcontainer CLI takes local features from.
const FOLDER: &str = ".devcontainer";

/// Directories to be added to a workspace, in a stage.
const ADDED: &str = "added";

/// Where a drone's checkout lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    root: PathBuf,
    repo: String,
}

/// What the repository needs that a plain clone does not bring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extras {
    /// It has submodules.
    pub submodules: bool,
    /// Some of its files are in LFS.
    pub lfs: bool,
}

impl Stage {
    /// The stage of `drone`; nothing is made yet.
    pub fn new(paths: &Paths, drone: &DroneName, repo: &RepoName) -> Self {
        Self { root: Self::root(paths, drone), repo: repo.repo().to_owned() }
    }

    /// Everything staged for `drone`.
    pub fn root(paths: &Paths, drone: &DroneName) -> PathBuf {
        Self::all(paths).join(drone.as_str())
    }

    /// What a build for `drone` leaves behind is noted there.
    pub fn notes(paths: &Paths, drone: &DroneName) -> PathBuf {
        Self::root(paths, drone).join("leftovers")
    }

    /// Everything staged for any drone.
    pub fn all(paths: &Paths) -> PathBuf {
        paths.cache().join("stage")
    }

    /// Drones with something below `all`.
    pub fn staged(all: &Path) -> Vec<DroneName> {
        let entries = std::fs::read_dir(all).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    /// The directory that holds nothing but the clone: what is copied into the volume.
    pub fn clones(&self) -> PathBuf {
        self.root.join("clone")
    }

    /// The clone as git made it.
    pub fn clone_dir(&self) -> PathBuf {
        self.clones().join(&self.repo)
    }

    /// The copy of it that is checked and built.
    pub fn checkout(&self) -> PathBuf {
        self.root.join("checkout").join(&self.repo)
    }

    /// A file of ours outside of the checkout.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Makes the directories, empty.
    ///
    /// # Errors
    /// When the cache directory cannot be written.
    pub fn make(&self) -> io::Result<()> {
        remove_tree(&self.root)?;
        std::fs::create_dir_all(self.clones())?;
        std::fs::create_dir_all(self.root.join("checkout"))
    }

    /// Copies the clone for check and build, by hard links: what is changed in the copy is
    /// replaced, never written through.
    ///
    /// # Errors
    /// When the disk is full or the cache directory cannot be written.
    pub fn copy_clone(&self) -> io::Result<Extras> {
        let mut extras = Extras::default();
        link_tree(&self.clone_dir(), &self.checkout(), &mut extras)?;
        extras.submodules = self.clone_dir().join(".gitmodules").is_file();
        Ok(extras)
    }

    /// Makes those of `wanted` (relative, `/` between their parts) that the checkout does not have
    /// below a directory of their own, as they have to lie in the workspace volume; `None`: it has
    /// them all.
    ///
    /// # Errors
    /// When one leaves the checkout or the cache directory cannot be written.
    pub fn add_directories(&self, wanted: &[String]) -> io::Result<Option<PathBuf>> {
        let (checkout, added) = (self.checkout(), self.root.join(ADDED));
        remove_tree(&added)?;
        for path in wanted.iter().filter(|path| !is_there(&checkout, path)) {
            if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                return Err(refused(path));
            }
            std::fs::create_dir_all(added.join(&self.repo).join(path))?;
        }
        Ok(added.exists().then_some(added))
    }

    /// Puts `text` at `path` (relative, `/` between its parts) of the checkout. What is there is
    /// replaced; a symbolic link on the way is refused.
    ///
    /// # Errors
    /// When a part of the path is a link or it cannot be written.
    pub fn write(&self, path: &str, text: &str) -> io::Result<()> {
        let mut target = self.checkout();
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        for folder in folders.split('/').filter(|part| !matches!(*part, "" | ".")) {
            target.push(folder);
            match std::fs::symlink_metadata(&target) {
                Ok(metadata) if metadata.is_dir() && folder != ".." => {}
                Ok(_) => return Err(refused(path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    std::fs::create_dir(&target)?;
                }
                Err(error) => return Err(error),
            }
        }
        if matches!(name, "" | "." | "..") {
            return Err(refused(path));
        }
        let mut file = tempfile::NamedTempFile::new_in(&target)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        file.persist(target.join(name)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Copies the feature at `source` where the devcontainer CLI finds it from the configuration
    /// at `config_path`; returns its reference there.
    ///
    /// # Errors
    /// When it is missing or cannot be copied.
    pub fn add_feature(&self, source: &Path, config_path: &str, name: &str) -> io::Result<String> {
        let folder = config_path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let below = folder == FOLDER || folder.starts_with(&format!("{FOLDER}/"));
        let (folder, reference) = if below {
            (folder.to_owned(), format!("./{name}"))
        } else {
            (FOLDER.to_owned(), format!("./{FOLDER}/{name}"))
        };
        let manifest = format!("{folder}/{name}/devcontainer-feature.json");
        // Makes the folders, and refuses links among them.
        self.write(&manifest, "{}")?;
        copy_tree(source, &self.checkout().join(folder).join(name))?;
        Ok(reference)
    }
}

fn refused(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{path} leaves the checkout or is a link"))
}

/// Whether the checkout has `path`; a link on it counts, and is not followed.
fn is_there(checkout: &Path, path: &str) -> bool {
    let mut target = checkout.to_owned();
    for part in path.split('/') {
        target.push(part);
        match std::fs::symlink_metadata(&target) {
            Ok(metadata) if metadata.is_symlink() => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Removes a directory and all below it; none is fine.
///
/// # Errors
/// When something in it cannot be removed.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn link_tree(source: &Path, target: &Path, extras: &mut Extras) -> io::Result<()> {
    std::fs::create_dir(target)?;
    for entry in std::fs::read_dir(source)? {
        let entry = entry?;
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            link_tree(&from, &to, extras)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&from)?, &to)?;
        } else {
            std::fs::hard_link(&from, &to)?;
            if entry.file_name() == ".gitattributes" && !extras.lfs {
                extras.lfs = std::fs::read_to_string(&from).is_ok_and(|text| uses_lfs(&text));
            }
        }
    }
    Ok(())
}

fn uses_lfs(attributes: &str) -> bool {
    attributes.lines().any(|line| {
        !line.trim_start().starts_with('#')
            && line.split_whitespace().any(|word| word == "filter=lfs")
    })
}

fn copy_tree(source: &Path, target: &Path) -> io::Result<()> {
    std::fs::create_dir_all(target)?;
    for entry in std::fs::read_dir(source)? {
        let entry = entry?;
        let to = target.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(root: &Path) -> Stage {
        let stage = Stage { root: root.to_owned(), repo: "web".to_owned() };
        stage.make().expect("made");
        std::fs::create_dir_all(stage.clone_dir().join(".devcontainer")).expect("made");
        std::fs::write(stage.clone_dir().join(".devcontainer/devcontainer.json"), "theirs")
            .expect("written");
        stage
    }

    #[test]
    fn what_is_written_to_the_copy_leaves_the_clone_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let stage = stage(directory.path());
        std::fs::write(stage.clone_dir().join(".gitattributes"), "*.bin filter=lfs diff=lfs\n")
            .expect("written");
        let extras = stage.copy_clone().expect("copied");
        assert_eq!(extras, Extras { submodules: false, lfs: true });
        stage.write(".devcontainer/devcontainer.json", "ours").expect("written");
        let read = |root: PathBuf| {
            std::fs::read_to_string(root.join(".devcontainer/devcontainer.json")).expect("read")
        };
        assert_eq!(
            (read(stage.clone_dir()), read(stage.checkout())),
            ("theirs".into(), "ours".into())
        );
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let directory = tempfile::tempdir().expect("a directory");
        let stage = stage(directory.path());
        std::os::unix::fs::symlink("/etc", stage.clone_dir().join("out")).expect("linked");
        stage.copy_clone().expect("copied");
        assert!(stage.write("out/passwd", "x").is_err());
        assert!(stage.write("../x", "x").is_err());
        assert!(stage.write("a/..", "x").is_err());
    }

    #[test]
    fn only_directories_that_are_missing_are_added() {
        let directory = tempfile::tempdir().expect("a directory");
        let stage = stage(&directory.path().join("stage"));
        stage.copy_clone().expect("copied");
        let add = |paths: &[&str]| {
            stage.add_directories(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(add(&[".devcontainer"]).expect("nothing to do"), None);
        let added = add(&[".devcontainer", "a/b"]).expect("made").expect("a tree");
        assert!(added.join("web/a/b").is_dir() && !added.join("web/.devcontainer").exists());
        assert!(add(&["../x"]).is_err() && add(&["a/../../x"]).is_err());
    }

    #[test]
    fn a_feature_lies_where_the_cli_looks_for_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let stage = stage(&directory.path().join("stage"));
        stage.copy_clone().expect("copied");
        let feature = directory.path().join("feature");
        std::fs::create_dir_all(feature.join("bin")).expect("made");
        std::fs::write(feature.join("devcontainer-feature.json"), "{\"id\":1}").expect("written");
        for (config, reference, folder) in [
            (".devcontainer.json", "./.devcontainer/drone", ".devcontainer/drone"),
            (".devcontainer/devcontainer.json", "./drone", ".devcontainer/drone"),
            (".devcontainer/py/devcontainer.json", "./drone", ".devcontainer/py/drone"),
        ] {
            assert_eq!(stage.add_feature(&feature, config, "drone").expect("copied"), reference);
            let manifest = stage.checkout().join(folder).join("devcontainer-feature.json");
            assert_eq!(std::fs::read_to_string(manifest).expect("read"), "{\"id\":1}");
        }
    }
}
