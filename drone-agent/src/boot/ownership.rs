//! Hands the workspace to the remote user.
//!
//! Runs as root over a tree that a repository fills, so it goes by open directories and follows
//! no symbolic link, nor leaves the volume.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use hatchery_protocol::paths;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::fs::{chownat, fstat, openat, statat};
use rustix::io::Errno;

use super::owner::Owner;

/// Deepest directory entered. Each level holds one descriptor open; nothing honest is deeper.
const DEPTH_MAX: usize = 256;

/// What could not be handed over.
#[derive(Debug, thiserror::Error)]
pub(super) enum OwnershipError {
    #[error("{} cannot be opened as a directory: {errno}", dir.display())]
    Open { dir: PathBuf, errno: Errno },
    #[error("{name:?} cannot be changed: {errno}")]
    Entry { name: CString, errno: Errno },
    #[error("a directory cannot be listed: {0}")]
    List(Errno),
    #[error("directories are nested more than {DEPTH_MAX} deep")]
    Deep,
}

/// Hands over the clone, the directory of its worktrees, and the volume's top (for worktrees to
/// come, which lie beside the clone).
pub(super) fn give_workspace(workspace: &Path, owner: Owner) -> Result<(), OwnershipError> {
    give_tree(workspace, owner)?;
    let mut worktrees = workspace.as_os_str().to_owned();
    worktrees.push(".worktrees");
    let worktrees = PathBuf::from(worktrees);
    if worktrees.is_dir() {
        give_tree(&worktrees, owner)?;
    }
    if workspace.parent() == Some(Path::new(paths::WORKSPACES)) {
        let top = open_dir(Path::new(paths::WORKSPACES))?;
        give(&top, c"", &stat_of(&top)?, owner)?;
    }
    Ok(())
}

/// Hands over `dir` and what is in it. The top comes last: when it has the right owner already,
/// all below it was handed over by an earlier boot, and is not looked at again.
fn give_tree(dir: &Path, owner: Owner) -> Result<(), OwnershipError> {
    let top = open_dir(dir)?;
    let stat = stat_of(&top)?;
    if is_owned(&stat, owner) {
        return Ok(());
    }
    give_entries(&top, stat.st_dev, owner, 0)?;
    give(&top, c"", &stat, owner)
}

fn give_entries(
    dir: &OwnedFd,
    device: u64,
    owner: Owner,
    depth: usize,
) -> Result<(), OwnershipError> {
    if depth > DEPTH_MAX {
        return Err(OwnershipError::Deep);
    }
    for entry in Dir::read_from(dir).map_err(OwnershipError::List)? {
        let entry = entry.map_err(OwnershipError::List)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let wrong = |errno| OwnershipError::Entry { name: name.to_owned(), errno };
        let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue, // gone meanwhile
            stat => stat.map_err(wrong)?,
        };
        if stat.st_dev != device {
            continue;
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
            let below = openat(dir, name, flags, Mode::empty()).map_err(wrong)?;
            give_entries(&below, device, owner, depth + 1)?;
        }
        give(dir, name, &stat, owner)?;
    }
    Ok(())
}

/// Changes the owner of `name` in `dir`; an empty name is `dir` itself.
fn give(
    dir: &OwnedFd,
    name: &std::ffi::CStr,
    stat: &Stat,
    owner: Owner,
) -> Result<(), OwnershipError> {
    if is_owned(stat, owner) {
        return Ok(());
    }
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    match chownat(dir, name, Some(owner.user), Some(owner.group), flags) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(OwnershipError::Entry { name: name.to_owned(), errno }),
    }
}

fn is_owned(stat: &Stat, owner: Owner) -> bool {
    stat.st_uid == owner.user.as_raw() && stat.st_gid == owner.group.as_raw()
}

fn open_dir(dir: &Path) -> Result<OwnedFd, OwnershipError> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    openat(CWD, dir, flags, Mode::empty())
        .map_err(|errno| OwnershipError::Open { dir: dir.to_owned(), errno })
}

fn stat_of(dir: &OwnedFd) -> Result<Stat, OwnershipError> {
    fstat(dir).map_err(OwnershipError::List)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use rustix::fs::{Gid, Uid};

    use super::*;

    #[test]
    fn a_tree_changes_hands_and_what_its_links_point_at_does_not() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("only root gives files away: nothing to test");
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let clone = dir.path().join("web");
        let outside = dir.path().join("outside");
        fs::create_dir_all(clone.join("a/b")).expect("made");
        fs::write(clone.join("a/b/file"), "").expect("written");
        fs::create_dir(dir.path().join("web.worktrees")).expect("made");
        fs::write(&outside, "").expect("written");
        symlink(&outside, clone.join("a/link")).expect("linked");
        symlink(dir.path(), clone.join("a/up")).expect("linked");
        let owner = Owner { user: Uid::from_raw(1234), group: Gid::from_raw(99) };
        give_workspace(&clone, owner).expect("handed over");
        let uid = |path: &Path| fs::symlink_metadata(path).expect("there").uid();
        for path in ["web", "web/a", "web/a/b/file", "web/a/link", "web/a/up", "web.worktrees"] {
            assert_eq!(uid(&dir.path().join(path)), 1234, "{path}");
        }
        assert_eq!(uid(&outside), 0);
        assert_eq!(uid(dir.path()), 0);
        fs::write(clone.join("later"), "").expect("written");
        give_workspace(&clone, owner).expect("nothing to do");
        assert_eq!(uid(&clone.join("later")), 0, "a second boot does not walk the tree");
    }

    #[test]
    fn a_workspace_that_is_a_link_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        symlink("/etc", dir.path().join("web")).expect("linked");
        let owner = Owner { user: Uid::from_raw(0), group: Gid::from_raw(0) };
        assert!(give_workspace(&dir.path().join("web"), owner).is_err());
    }
}
