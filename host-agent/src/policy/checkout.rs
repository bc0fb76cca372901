//! The one way in which the policy reads the staged checkout: nothing outside it is ever opened,
//! whatever symbolic links and `..` say, and nothing without a bound.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;

/// A configuration, Compose file or Dockerfile larger than this is none: 1 MiB.
const MAX_FILE: u64 = 1 << 20;
/// Entries of a local feature that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// Why something in the checkout could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is nothing there.
    #[error("{0} does not exist")]
    Missing(String),
    /// The path, or a symbolic link on it, leads out of the checkout.
    #[error("{0} leads out of the repository")]
    Leaves(String),
    /// It is a directory, a device, larger than a configuration can be, or not UTF-8.
    #[error("{path} {what}")]
    Unfit {
        /// Which.
        path: String,
        /// What is wrong with it.
        what: String,
    },
}

/// What a path in the checkout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// An open checkout.
#[derive(Debug)]
pub struct Checkout {
    root: OwnedFd,
}

impl Checkout {
    /// Opens the checkout at `root`.
    ///
    /// # Errors
    /// When it is no directory.
    pub fn open(root: &Path) -> std::io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
        Ok(Self { root: open(root, flags, Mode::empty())? })
    }

    /// What is at `path`, symbolic links within the checkout followed.
    ///
    /// # Errors
    /// When there is nothing, it leads out, or it is neither file nor directory.
    pub fn kind(&self, path: &str) -> Result<Kind, ReadError> {
        let file = self.open_at(path, OFlags::PATH)?;
        let stat = fstat(&file).map_err(|error| unfit(path, error))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Kind::File),
            FileType::Directory => Ok(Kind::Directory),
            _ => Err(unfit(path, "is neither a file nor a directory")),
        }
    }

    /// The text of the file at `path`.
    ///
    /// # Errors
    /// As [`Checkout::kind`]; also when it is too large or not UTF-8.
    pub fn read(&self, path: &str) -> Result<String, ReadError> {
        if self.kind(path)? != Kind::File {
            return Err(unfit(path, "is a directory"));
        }
        // Not blocking: should the file have become a FIFO meanwhile, open returns at once.
        let file = File::from(self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK)?);
        let mut bytes = vec![];
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| unfit(path, error))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(unfit(path, "is larger than 1 MiB"));
        }
        String::from_utf8(bytes).map_err(|_| unfit(path, "is not UTF-8"))
    }

    /// Names of what is in the directory `path`, sorted, with what each is without following it.
    ///
    /// # Errors
    /// As [`Checkout::kind`].
    pub fn entries(&self, path: &str) -> Result<Vec<(String, FileType)>, ReadError> {
        let directory = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut entries = vec![];
        for entry in Dir::read_from(directory).map_err(|error| unfit(path, error))? {
            let entry = entry.map_err(|error| unfit(path, error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !matches!(name.as_str(), "." | "..") {
                entries.push((name, entry.file_type()));
            }
            if entries.len() > MAX_ENTRIES {
                return Err(unfit(path, "has too many entries"));
            }
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    /// Walks a directory that a tool on the host will copy, following symbolic links.
    ///
    /// # Errors
    /// [`ReadError::Leaves`] for the first link that leads out of the checkout.
    pub fn stays_inside(&self, path: &str) -> Result<(), ReadError> {
        let mut left = MAX_ENTRIES;
        let mut directories = vec![path.to_owned()];
        while let Some(directory) = directories.pop() {
            for (name, kind) in self.entries(&directory)? {
                left = left.checked_sub(1).ok_or_else(|| unfit(path, "has too many entries"))?;
                let child = format!("{directory}/{name}");
                match kind {
                    FileType::Directory => directories.push(child),
                    FileType::Symlink => match self.kind(&child) {
                        Ok(_) | Err(ReadError::Missing(_)) => {}
                        Err(error) => return Err(error),
                    },
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn open_at(&self, path: &str, flags: OFlags) -> Result<OwnedFd, ReadError> {
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let name = if path.is_empty() { "." } else { path };
        openat2(&self.root, name, flags | OFlags::CLOEXEC, Mode::empty(), inside).map_err(|error| {
            match error {
                Errno::XDEV => ReadError::Leaves(path.to_owned()),
                Errno::NOENT | Errno::NOTDIR => ReadError::Missing(path.to_owned()),
                error => unfit(path, error),
            }
        })
    }
}

fn unfit(path: &str, what: impl ToString) -> ReadError {
    ReadError::Unfit { path: path.to_owned(), what: what.to_string() }
}

/// `path` seen from the directory `base` of the checkout, both with `/`, as a clean path relative
/// to the checkout's root (empty: the root itself). `None`: it is absolute or leaves the checkout.
pub fn resolve(base: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains(['\0', '\\']) {
        return None;
    }
    let mut parts: Vec<&str> = vec![];
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The directory that a path lies in; empty for the root.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_outside_is_opened() {
        let outside = tempfile::tempdir().expect("a directory");
        std::fs::write(outside.path().join("secret"), "s").expect("write");
        let inside = tempfile::tempdir().expect("a directory");
        let root = inside.path();
        std::fs::write(root.join("file"), "text").expect("write");
        std::fs::create_dir(root.join("dir")).expect("mkdir");
        symlink("../file", root.join("dir/in")).expect("link");
        symlink("../../../etc/passwd", root.join("dir/up")).expect("link");
        symlink("/etc/passwd", root.join("dir/absolute")).expect("link");
        symlink("/nowhere/at/all", root.join("dir/dangling")).expect("link");
        symlink(outside.path(), root.join("dir/folder")).expect("link");
        let checkout = Checkout::open(root).expect("open");
        assert_eq!(checkout.read("file").as_deref(), Ok("text"));
        assert_eq!(checkout.read("dir/in").as_deref(), Ok("text"));
        for path in ["dir/up", "dir/absolute", "dir/dangling", "dir/folder/secret", "../x", "/etc"]
        {
            assert_eq!(checkout.read(path), Err(ReadError::Leaves(path.to_owned())), "{path}");
        }
        assert!(matches!(checkout.read("none"), Err(ReadError::Missing(_))));
        assert!(matches!(checkout.read("dir"), Err(ReadError::Unfit { .. })));
        assert!(matches!(checkout.stays_inside("dir"), Err(ReadError::Leaves(_))));
    }

    #[test]
    fn a_fifo_or_a_huge_file_is_not_read() {
        let inside = tempfile::tempdir().expect("a directory");
        let fifo = inside.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .expect("mkfifo");
        std::fs::write(inside.path().join("big"), vec![b' '; 2 << 20]).expect("write");
        let checkout = Checkout::open(inside.path()).expect("open");
        for path in ["fifo", "big"] {
            assert!(matches!(checkout.read(path), Err(ReadError::Unfit { .. })), "{path}");
        }
    }

    #[test]
    fn paths_are_resolved_or_leave() {
        assert_eq!(resolve(".devcontainer", "..").as_deref(), Some(""));
        assert_eq!(resolve(".devcontainer", "../a/./b//c").as_deref(), Some("a/b/c"));
        assert_eq!(resolve("", "a/..").as_deref(), Some(""));
        for path in ["../..", "/etc", "../../x", "a/../../..", "a\0b", "..\\..\\x"] {
            assert_eq!(resolve(".devcontainer", path), None, "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn a_resolved_path_never_climbs(base in "[a./]{0,8}", path in "[a./]{0,12}") {
            if let Some(path) = resolve(&base, &path) {
                prop_assert!(!path.starts_with('/') && path.split('/').all(|part| part != ".."));
            }
        }
    }
}
