//! The seal on a container: proof that this host labelled it, whatever an image or a Compose file
//! carries.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use hatchery_protocol::{DroneName, RepoId};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::records::ForgeRepoId;
use crate::secret::hex;

/// Length of the key, in bytes: a block of SHA-256's output, RFC 2104's minimum.
const KEY_BYTES: usize = 32;

/// The host's own key. Never leaves the host.
pub struct SealKey([u8; KEY_BYTES]);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(..)")
    }
}

impl SealKey {
    /// Reads the key, or makes one at the first start (0600).
    ///
    /// # Errors
    /// When it cannot be read or made, or is not one.
    pub fn load(path: &Path) -> io::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => Self::from_bytes(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(path),
            Err(error) => Err(error),
        }
    }

    fn make(path: &Path) -> io::Result<Self> {
        let mut key = [0; KEY_BYTES];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
        let directory = path.parent().unwrap_or_else(|| Path::new("/"));
        std::fs::create_dir_all(directory)?;
        // Whole or not at all, and a second start at the same moment does not win with another.
        let mut file = tempfile::Builder::new().prefix(".seal-").tempfile_in(directory)?;
        file.write_all(&key)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path).map_err(|error| error.error)?;
        Ok(Self(key))
    }

    fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        bytes.try_into().map(Self).map_err(|_| {
            let message = format!("a seal key has {KEY_BYTES} bytes, this one {}", bytes.len());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    }

    /// The seal of a drone, 64 hex digits.
    pub fn seal(&self, drone: &DroneName, repo: &RepoId, repo_id: ForgeRepoId) -> String {
        hex(&self.mac(drone, repo, repo_id).finalize().into_bytes())
    }

    /// Whether `seal` is the drone's, in constant time.
    pub fn verify(
        &self,
        seal: &str,
        drone: &DroneName,
        repo: &RepoId,
        repo_id: ForgeRepoId,
    ) -> bool {
        let Some(bytes) = unhex(seal) else { return false };
        self.mac(drone, repo, repo_id).verify_slice(&bytes).is_ok()
    }

    /// None of the parts can contain a line feed, so no two drones share a text.
    fn mac(&self, drone: &DroneName, repo: &RepoId, repo_id: ForgeRepoId) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        let text = format!("{drone}\n{}\n{repo_id}\n{}", repo.name.folded(), repo.host);
        mac.update(text.as_bytes());
        mac
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.is_ascii().then_some(text.as_bytes())?;
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_for_one_drone_of_one_host() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("etc/seal.key");
        let key = SealKey::load(&path).expect("made");
        let host = "github.com".parse().expect("a host");
        let repo = RepoId::parse("acme/web", &host).expect("a repository");
        let other = RepoId::parse("acme/api", &host).expect("a repository");
        let drone: DroneName = "acme-web".parse().expect("a name");
        let seal = key.seal(&drone, &repo, 7);
        let again = SealKey::load(&path).expect("read");
        assert!(again.verify(&seal, &drone, &repo, 7));
        assert!(!again.verify(&seal, &drone, &repo, 8));
        assert!(!again.verify(&seal, &drone, &other, 7));
        assert!(!again.verify("", &drone, &repo, 7) && !again.verify("zz", &drone, &repo, 7));
        let stranger = SealKey::load(&directory.path().join("other")).expect("made");
        assert!(!stranger.verify(&seal, &drone, &repo, 7));
    }

    #[test]
    fn a_torn_key_is_no_key() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("seal.key");
        std::fs::write(&path, "short").expect("written");
        assert!(SealKey::load(&path).is_err());
    }
}
