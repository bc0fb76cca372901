//! Which name a repository's drone gets: never one that another repository's drone has.

use hatchery_protocol::{DroneName, DroneNameError, RepoId};
use sha2::{Digest as _, Sha256};

use crate::secret::hex;

/// Hex digits of the hash behind a name that is not the repository's alone.
const SUFFIX: usize = 6;

/// The drone's name for `repo`: the natural one, or with a suffix when `taken` says that another
/// repository has it.
///
/// # Errors
/// Never for a repository that parsed: its slug and hex digits make a DNS label.
pub fn name_for(
    repo: &RepoId,
    taken: impl Fn(&DroneName) -> bool,
) -> Result<DroneName, DroneNameError> {
    match DroneName::natural(&repo.name) {
        Some(name) if !taken(&name) => Ok(name),
        Some(_) | None => {
            let mut digits = hex(&Sha256::digest(repo.folded().as_bytes()));
            digits.truncate(SUFFIX);
            DroneName::with_suffix(&repo.name, &digits)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(text: &str) -> RepoId {
        RepoId::parse(text, &"github.com".parse().expect("a host")).expect("a repository")
    }

    #[test]
    fn the_later_of_two_gets_a_suffix_of_its_own() {
        let first = name_for(&repo("acme/app-web"), |_| false).expect("a name");
        assert_eq!(first.as_str(), "acme-app-web");
        let later = name_for(&repo("acme-app/web"), |name| *name == first).expect("a name");
        let elsewhere = name_for(&repo("ghe.test/acme-app/web"), |name| *name == first);
        assert!(later.as_str().starts_with("acme-app-web-"));
        assert_ne!(later, elsewhere.expect("a name"));
    }

    #[test]
    fn case_does_not_change_a_name() {
        let taken = |_: &DroneName| true;
        assert_eq!(name_for(&repo("Acme/Web"), taken), name_for(&repo("acme/web"), taken));
    }
}
