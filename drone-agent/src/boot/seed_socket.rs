//! The seed design's path to the socket, for scripts that know no other.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;

use hatchery_protocol::paths;

use super::file::FileError;

/// Makes the seed's path a symbolic link to `socket`.
pub(super) fn link(socket: &Path) -> Result<(), FileError> {
    link_at(Path::new(paths::SEED_SOCKET), socket)
}

/// Replaces an older link; anything else in that place belongs to somebody.
fn link_at(link: &Path, socket: &Path) -> Result<(), FileError> {
    let linked = match fs::read_link(link) {
        Ok(target) if target == socket => Ok(()),
        Ok(_) => fs::remove_file(link).and_then(|()| symlink(socket, link)),
        // An image with nothing but a shell has no /var/run either.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            link.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| symlink(socket, link))
        }
        Err(_) => Err(ErrorKind::AlreadyExists.into()),
    };
    linked.map_err(FileError::of("linked to the drone's socket", link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_link_is_replaced_and_a_file_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let link = dir.path().join("var/run/creds.sock");
        for target in ["/old", "/new", "/new"] {
            link_at(&link, Path::new(target)).expect("linked");
            assert_eq!(fs::read_link(&link).expect("a link"), Path::new(target));
        }
        fs::remove_file(&link).expect("removed");
        fs::write(&link, "").expect("written");
        assert!(link_at(&link, Path::new("/new")).is_err());
    }
}
