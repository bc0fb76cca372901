//! Who is to own a workspace: a user of the container, found without the C library's name
//! services, which a static binary cannot load.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Gid, Uid};

/// The container's users.
pub(super) const PASSWD: &str = "/etc/passwd";

/// A user and the group of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) user: Uid,
    pub(super) group: Gid,
}

/// Why a user cannot be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum OwnerError {
    #[error("there is no user {0:?} in this container")]
    Unknown(String),
    #[error("{PASSWD} cannot be read: {0}")]
    Users(#[from] io::Error),
}

impl Owner {
    /// Finds `name`, a uid, or `uid:gid`. A uid that nobody has keeps its files in the group of
    /// the same number.
    pub(super) fn find(name: &str, passwd: &Path) -> Result<Self, OwnerError> {
        if let Some((user, group)) = name.split_once(':') {
            let parsed = user.parse().ok().zip(group.parse().ok());
            let (user, group) = parsed.ok_or_else(|| OwnerError::Unknown(name.to_owned()))?;
            return Ok(Self::of(user, group));
        }
        let listed = match fs::read_to_string(passwd) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            text => find_in(&text.unwrap_or_default(), name),
        };
        let bare = || Some(Self::of(name.parse().ok()?, name.parse().ok()?));
        let root = || (name == "root").then(|| Self::of(0, 0));
        listed.or_else(bare).or_else(root).ok_or_else(|| OwnerError::Unknown(name.to_owned()))
    }

    fn of(user: u32, group: u32) -> Self {
        Self { user: Uid::from_raw(user), group: Gid::from_raw(group) }
    }
}

/// The user of that name or uid in a passwd(5) file.
fn find_in(passwd: &str, wanted: &str) -> Option<Owner> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let user = fields.nth(1)?;
        let group = fields.next()?.parse().ok()?;
        (name == wanted || user == wanted).then_some(Owner::of(user.parse().ok()?, group))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let dir = tempfile::tempdir().expect("a directory");
        let passwd = dir.path().join("passwd");
        fs::write(&passwd, "root:x:0:0::/:\n+nis\ndev:x:1234:99::/home/dev:/bin/sh\n").expect("ok");
        let find = |name: &str| Owner::find(name, &passwd);
        assert_eq!(find("dev").expect("listed"), Owner::of(1234, 99));
        assert_eq!(find("1234").expect("listed"), Owner::of(1234, 99));
        assert_eq!(find("77").expect("a number"), Owner::of(77, 77));
        assert_eq!(find("7:8").expect("both"), Owner::of(7, 8));
        for name in ["nobody", "", "a:b", "-1", "dev:x"] {
            assert!(find(name).is_err(), "found {name:?}");
        }
        let nowhere = Path::new("/nowhere/passwd");
        assert_eq!(Owner::find("root", nowhere).expect("always"), Owner::of(0, 0));
    }
}
