//! Temporary directories of the devcontainer CLI, one for each run.
//!
//! It names its folders in the temporary directory by the millisecond of their making, so that two
//! runs that begin in the same one build each other's images, and never removes any of them. Only
//! its list of withdrawn features, which it asks for at most every five minutes, is shared.

use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

/// The CLI's list of withdrawn features.
const MANIFEST: &str = "control-manifest.json";

/// Makes one in `scratch`; it goes when dropped. Blocks.
pub(super) fn make(scratch: &Path) -> io::Result<TempDir> {
    let home = tempfile::Builder::new().prefix("cli-").tempdir_in(scratch)?;
    if let Some(user) = user_name(rustix::process::getuid().as_raw()) {
        let own = home.path().join(format!("devcontainercli-{user}"));
        std::fs::create_dir(&own)?;
        // Where nothing is there yet the CLI writes through the link.
        symlink(scratch.join(MANIFEST), own.join(MANIFEST))?;
    }
    Ok(home)
}

/// Removes what the runs of a host agent that was killed left. Blocks.
pub(super) fn clear(scratch: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(scratch)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("cli-") {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// This user's name, by the local database. Without one the CLI shares nothing.
fn user_name(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let named = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    };
    users.lines().find_map(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_share_the_list_and_nothing_else() {
        let scratch = tempfile::tempdir().expect("a directory");
        let (one, other) = (make(scratch.path()).expect("one"), make(scratch.path()).expect("two"));
        assert_ne!(one.path(), other.path());
        let user = user_name(rustix::process::getuid().as_raw()).expect("a user");
        let list = |home: &TempDir| home.path().join(format!("devcontainercli-{user}/{MANIFEST}"));
        std::fs::write(list(&one), "{}").expect("written");
        drop(one);
        assert_eq!(std::fs::read_to_string(list(&other)).expect("read"), "{}");
        std::mem::forget(other);
        clear(scratch.path()).expect("cleared");
        let left = std::fs::read_dir(scratch.path()).expect("read").count();
        assert_eq!(left, 1, "the list alone");
    }
}
