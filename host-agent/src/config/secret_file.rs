//! Files that hold a secret: only the service may read them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// What is wrong with the mode of `path`, and the command that mends it. `None`: nothing, or there is
/// no such file, which whoever reads it will say.
///
/// A group may read it: that is how a key of root's is read by a service that is not root. Which
/// group that may be is the administrator's choice, and a client that checks a configuration is not
/// the service.
pub(super) fn exposed(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    let (wrong, right) = if mode & 0o007 != 0 {
        ("every user of this machine gets at the key", "0600")
    } else if mode & 0o030 != 0 {
        ("its group can change the key", "0640")
    } else {
        return None;
    };
    let shown = path.display();
    Some(format!("{shown} has mode {mode:04o}: {wrong}; run `chmod {right} {shown}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_never_reads_a_secret_and_a_group_never_writes_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("app.pem");
        std::fs::write(&file, "key").expect("written");
        let set = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&file, mode).expect("set");
        };
        for mode in [0o400, 0o600, 0o640, 0o440] {
            set(mode);
            assert_eq!(exposed(&file), None, "{mode:o}");
        }
        for mode in [0o604, 0o644, 0o602, 0o601, 0o660, 0o620] {
            set(mode);
            let said = exposed(&file).expect("exposed");
            let parts = [&format!("mode {mode:04o}"), "`chmod 06", &file.display().to_string()];
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
        assert_eq!(exposed(&directory.path().join("none")), None);
    }
}
