//! The wrapper around every secret: redacted in `Debug`, wiped on drop, one way out.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// A forge token: an opaque string of up to some kB. No `Display`, `Serialize` or `Clone`.
#[derive(Debug)]
pub struct Token(SecretString);

impl Token {
    /// Takes what the forge sent.
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// The only way out: search for it to find every use.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// SHA-256 of the token, 64 lower-case hex digits: how audit lines and `erase` name it.
    pub fn sha256(&self) -> String {
        hex(&Sha256::digest(self.expose().as_bytes()))
    }
}

/// Lower-case hex digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_shows_itself() {
        let token = Token::new("ghs_secret".to_owned());
        assert!(!format!("{token:?}").contains("secret\""));
        assert!(!format!("{token:?}").contains("ghs_"));
        assert_eq!(token.sha256().len(), 64);
    }
}
