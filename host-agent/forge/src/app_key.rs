//! The App's RSA key: made once, kept as GitHub hands it out (PKCS#1 PEM).

use std::{fs, io, path::Path};

use rsa::{
    RsaPrivateKey,
    pkcs1::{
        DecodeRsaPrivateKey as _, EncodeRsaPrivateKey as _, EncodeRsaPublicKey as _, LineEnding,
    },
    rand_core::OsRng,
};

use crate::state::write_whole;

/// File of the App's private key in the data directory, readable by its owner only.
pub const KEY_FILE: &str = "app.private-key.pem";

/// Bits of a new key, as many as GitHub's.
const BITS: usize = 2048;

/// The private and the public key as PKCS#1 PEM; a new pair when none is kept and none is given.
///
/// # Errors
/// When a key cannot be read, written or made.
pub fn load_or_make(data_dir: &Path, given: Option<&str>) -> io::Result<(String, String)> {
    let path = data_dir.join(KEY_FILE);
    let private = match (given, fs::read_to_string(&path)) {
        (Some(pem), _) => pem.to_owned(),
        (None, Ok(pem)) => pem,
        (None, Err(error)) if error.kind() == io::ErrorKind::NotFound => make()?,
        (None, Err(error)) => return Err(error),
    };
    let key = RsaPrivateKey::from_pkcs1_pem(&private).map_err(io::Error::other)?;
    let public = key.to_public_key().to_pkcs1_pem(LineEnding::LF).map_err(io::Error::other)?;
    write_whole(&path, private.as_bytes())?;
    Ok((private, public))
}

/// A new private key, as PKCS#1 PEM; slow without optimisation.
///
/// # Errors
/// When the system has no randomness.
pub fn make() -> io::Result<String> {
    let key = RsaPrivateKey::new(&mut OsRng, BITS).map_err(io::Error::other)?;
    let pem = key.to_pkcs1_pem(LineEnding::LF).map_err(io::Error::other)?;
    Ok(pem.to_string())
}
