//! The App's JWT, and the forge's clock that it has to fit.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use time::OffsetDateTime;

use super::SetUpError;
use crate::config::AppConfig;
use crate::secret::{Token, hex};

/// Seconds that `iat` lies back: a clock a little ahead is no error yet.
const BACK: i64 = 60;
/// Seconds to `exp`. Ten minutes are allowed, and fail with a clock one second fast.
const AHEAD: i64 = 540;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: i64,
    exp: i64,
    /// Random: of two byte-identical JWTs the second was answered 404.
    jti: String,
}

/// Signs as the App.
pub struct Signer {
    issuer: Arc<str>,
    key: Arc<EncodingKey>,
    /// The forge's clock minus ours, in seconds.
    offset: AtomicI64,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads the App's private key.
    ///
    /// # Errors
    /// When it cannot be read or is no RSA key.
    pub fn load(app: &AppConfig) -> Result<Self, SetUpError> {
        let pem = read_key(&app.private_key_file)?;
        let key = EncodingKey::from_rsa_pem(&pem)
            .map_err(|_| SetUpError::Key { path: app.private_key_file.clone() })?;
        let (issuer, offset) = (app.issuer.as_str().into(), AtomicI64::new(0));
        Ok(Self { issuer, key: Arc::new(key), offset })
    }

    /// A fresh JWT by the forge's clock; `None` when the key turns out not to sign. RSA takes a
    /// millisecond or two: off the runtime's workers.
    pub async fn sign(&self) -> Option<Token> {
        let (issuer, key) = (Arc::clone(&self.issuer), Arc::clone(&self.key));
        let now = OffsetDateTime::now_utc().unix_timestamp() + self.offset();
        let signing = tokio::task::spawn_blocking(move || {
            let claims = Claims { iss: &issuer, iat: now - BACK, exp: now + AHEAD, jti: random()? };
            jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).ok()
        });
        signing.await.ok().flatten().map(Token::new)
    }

    /// Seconds that the forge's clock is ahead of ours, as far as it has been corrected.
    pub fn offset(&self) -> i64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// Takes the forge's clock from an answer that called our time wrong.
    pub fn correct(&self, forge_time: OffsetDateTime) {
        let offset = forge_time.unix_timestamp() - OffsetDateTime::now_utc().unix_timestamp();
        self.offset.store(offset, Ordering::Relaxed);
    }
}

fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, SetUpError> {
    std::fs::read(path)
        .map(Zeroizing::new)
        .map_err(|source| SetUpError::File { path: path.to_owned(), source })
}

fn random() -> Option<String> {
    let mut bytes = [0; 16];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(hex(&bytes))
}
