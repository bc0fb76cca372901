//! Who calls: nobody, the App by its JWT, or an installation by its token.

use base64::Engine as _;
use http::{HeaderMap, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::{
    forge::Forge,
    model::{App, Installation, Repository, State, TokenRecord},
    permissions::Level,
    reply::Refusal,
};

/// Longest life of a JWT, by the forge's clock: 600 s (GitHub, "Generating a JWT").
const JWT_LIFE_SECONDS: i64 = 600;

/// Who calls.
#[derive(Debug, Clone)]
pub enum Caller {
    /// No credentials were given.
    Anonymous,
    /// The App, by its JWT.
    App,
    /// An installation, by a token that is good now.
    Installation(TokenRecord),
    /// Credentials were given and are bad.
    Refused(Refusal),
}

impl Caller {
    /// Word for the call log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::App => "app",
            Self::Installation(_) => "installation",
            Self::Refused(_) => "refused",
        }
    }

    /// # Errors
    /// 401 when the caller is not the App.
    pub fn as_app(&self) -> Result<(), Refusal> {
        match self {
            Self::App => Ok(()),
            Self::Refused(refusal) if refusal.message.contains("claim") => Err(refusal.clone()),
            Self::Anonymous | Self::Installation(_) | Self::Refused(_) => Err(Refusal::bad_jwt()),
        }
    }

    /// The token of an installation, if that is who calls.
    ///
    /// # Errors
    /// 401 for bad credentials.
    pub fn token(&self) -> Result<Option<&TokenRecord>, Refusal> {
        match self {
            Self::Installation(token) => Ok(Some(token)),
            Self::Anonymous | Self::App => Ok(None),
            Self::Refused(refusal) => Err(refusal.clone()),
        }
    }

    /// Whether this caller may do something at `level` of `permission` with `repo`.
    ///
    /// # Errors
    /// 401 for bad credentials or none, 404 for a repository whose existence is hidden, 403 for a
    /// permission that lacks.
    pub fn may(
        &self,
        state: &State,
        repo: &Repository,
        permission: &str,
        level: Level,
    ) -> Result<(), Refusal> {
        let token = self.token()?;
        let covered = token.filter(|token| token.covers(state, repo));
        let Some(token) = covered else {
            return match (repo.private, level, token) {
                (true, ..) => Err(Refusal::not_found()),
                (false, Level::Read, _) => Ok(()),
                (false, _, Some(_)) => Err(Refusal::not_accessible(permission, level)),
                (false, _, None) => Err(Refusal::requires_authentication()),
            };
        };
        if token.permissions.allows(permission, level) || (!repo.private && level == Level::Read) {
            return Ok(());
        }
        Err(Refusal::not_accessible(permission, level))
    }
}

impl TokenRecord {
    /// True when the token reaches the repository.
    pub fn covers(&self, state: &State, repo: &Repository) -> bool {
        let Some(installation) = state.installations.get(&self.installation_id) else {
            return false;
        };
        state.covers(installation, repo)
            && self.repositories.as_ref().is_none_or(|chosen| chosen.contains(&repo.id))
    }

    /// Its installation, if that still is there.
    pub fn installation<'a>(&self, state: &'a State) -> Option<&'a Installation> {
        state.installations.get(&self.installation_id)
    }
}

/// SHA-256 of a token, lower-case hex.
pub fn digest(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Tells who calls from the `Authorization` header.
pub fn identify(forge: &Forge, headers: &HeaderMap) -> Caller {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Caller::Anonymous;
    };
    let Some((scheme, secret)) = value.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return Caller::Refused(Refusal::bad_credentials());
    };
    let secret = secret.trim();
    let found = match scheme.to_ascii_lowercase().as_str() {
        "bearer" if looks_like_jwt(secret) => return app(forge, secret),
        "bearer" | "token" => installation(forge, secret),
        "basic" => match basic_password(secret) {
            Some(password) => installation(forge, &password),
            None => Err(Refusal::bad_credentials()),
        },
        _ => Err(Refusal::bad_credentials()),
    };
    found.map_or_else(Caller::Refused, Caller::Installation)
}

fn looks_like_jwt(secret: &str) -> bool {
    secret.starts_with("ey") && secret.split('.').count() == 3
}

/// Password of a Basic header. GitHub takes any user name beside an installation token; a token
/// as user name with an empty password, too.
fn basic_password(secret: &str) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(secret).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(
        if password.is_empty() || password == "x-oauth-basic" { user } else { password }.to_owned(),
    )
}

fn app(forge: &Forge, jwt: &str) -> Caller {
    let (app, now) = (forge.store.read(|state| state.app.clone()), forge.clock.now());
    match verify_jwt(&app, jwt, now) {
        Ok(()) => Caller::App,
        Err(refusal) => Caller::Refused(refusal),
    }
}

fn installation(forge: &Forge, token: &str) -> Result<TokenRecord, Refusal> {
    let (sha256, now) = (digest(token), forge.clock.now());
    forge.store.read(|state| {
        let found = state.tokens.iter().find(|record| record.sha256 == sha256);
        let record = found.filter(|record| record.expires_at > now);
        let record = record.ok_or_else(Refusal::bad_credentials)?;
        match record.installation(state) {
            None => Err(Refusal::bad_credentials()),
            Some(installation) if installation.suspended => Err(Refusal::suspended()),
            Some(_) => Ok(record.clone()),
        }
    })
}

/// Checks an App's JWT as GitHub does, in GitHub's words.
///
/// # Errors
/// 401 that says which claim is wrong, or that nothing could be decoded.
pub fn verify_jwt(app: &App, jwt: &str, now: OffsetDateTime) -> Result<(), Refusal> {
    let claims = decoded(app, jwt)?;
    let refuse = |message: &str| Err(Refusal::new(http::StatusCode::UNAUTHORIZED, message));
    let issuer = match &claims["iss"] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return refuse("Missing 'issuer' claim ('iss') in assertion"),
    };
    if issuer != app.client_id && issuer != app.id.to_string() {
        return Err(Refusal::bad_jwt());
    }
    let now = now.unix_timestamp();
    match numeric_date(&claims["iat"]) {
        Some(issued) if issued <= now => {}
        _ => {
            return refuse(
                "'Issued at' claim ('iat') must be an Integer representing the time that the \
                 assertion was issued",
            );
        }
    }
    match numeric_date(&claims["exp"]) {
        Some(expires) if expires > now + JWT_LIFE_SECONDS => {
            refuse("'Expiration time' claim ('exp') is too far in the future")
        }
        Some(expires) if expires > now => Ok(()),
        _ => refuse(
            "'Expiration time' claim ('exp') must be a numeric value representing the future \
             time at which the assertion expires",
        ),
    }
}

/// A claim in whole seconds; a fraction is cut off.
#[allow(clippy::cast_possible_truncation)] // of a fraction, and of times no clock will reach
fn numeric_date(claim: &Value) -> Option<i64> {
    claim.as_i64().or_else(|| claim.as_f64().map(|seconds| seconds as i64))
}

fn decoded(app: &App, jwt: &str) -> Result<Value, Refusal> {
    let mut rules = Validation::new(Algorithm::RS256);
    rules.required_spec_claims.clear();
    rules.validate_exp = false; // by the forge's clock and in GitHub's words, by the caller
    rules.validate_aud = false;
    let key = DecodingKey::from_rsa_pem(app.public_key_pem.as_bytes())
        .map_err(|error| Refusal::internal(&error))?;
    let token = jsonwebtoken::decode::<Value>(jwt, &key, &rules);
    token.map(|data| data.claims).map_err(|_| Refusal::bad_jwt())
}
