//! Files that boot writes: whole or not at all, and only when they change.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// A file that could not be brought into the wanted state.
#[derive(Debug, thiserror::Error)]
#[error("{} could not be {action}: {source}", path.display())]
pub(super) struct FileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// For `map_err`: what was tried with which file.
    pub(super) fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source }
    }
}

/// Creates `dir` and waits until no other boot is at work in it; the lock ends with the value.
pub(super) fn lock(dir: &Path) -> Result<File, FileError> {
    fs::create_dir_all(dir).map_err(FileError::of("created", dir))?;
    let locked = File::open(dir).and_then(|file| {
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    });
    locked.map_err(FileError::of("locked", dir))
}

/// Makes `path` a file with `content`, readable by all. A reader sees the old or the new one.
pub(super) fn put(path: &Path, content: &str) -> Result<(), FileError> {
    if fs::read(path).is_ok_and(|old| old == content.as_bytes()) {
        return Ok(());
    }
    let draft = path.with_extension("new");
    let written = File::create(&draft).and_then(|mut file| {
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    });
    written.map_err(FileError::of("written", path))
}

/// Removes `path` if it is there.
pub(super) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(FileError::of("removed", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_left_alone_when_right() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("settings");
        put(&path, "one").expect("written");
        let first = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(first, 0o644);
        fs::set_permissions(dir.path(), Permissions::from_mode(0o500)).expect("read-only");
        put(&path, "one").expect("nothing to do");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).expect("writable");
        put(&path, "two").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("there"), "two");
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
    }

    #[test]
    fn an_error_names_the_file_and_what_was_tried() {
        let text = put(Path::new("/nowhere/at/all"), "x").expect_err("no directory").to_string();
        assert!(text.starts_with("/nowhere/at/all could not be written: "), "{text}");
        remove(Path::new("/nowhere/at/all")).expect("nothing to remove");
    }
}
