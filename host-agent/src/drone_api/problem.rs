//! Errors as RFC 9457 problems: a stable type to branch on, and what to do now. Texts are ours;
//! of the forge's there is only what its adapter cut and redacted.

use std::time::Duration;

use bytes::Bytes;
use hatchery_protocol::wire::{Problem, problem};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use crate::credentials::token::TokenError;
use crate::credentials::{ForgeError, attest::Refusal};

/// An error on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    retry_after: Option<Duration>,
    /// Nothing more is read from this connection.
    close: bool,
}

impl Refused {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: String) -> Self {
        Self { status, kind, title, detail, retry_after: None, close: false }
    }

    /// The caller is not a process of this drone. Says nothing of why: see [`Refusal`].
    pub fn forbidden(_: &Refusal) -> Self {
        let detail = "this socket answers the processes of one drone only";
        let refused = Self::new(
            StatusCode::FORBIDDEN,
            problem::FORBIDDEN,
            "You are not a process of this drone",
            detail.to_owned(),
        );
        Self { close: true, ..refused }
    }

    /// The request cannot be read.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        let refused = Self::new(
            StatusCode::BAD_REQUEST,
            problem::BAD_REQUEST,
            "The request cannot be read",
            detail.into(),
        );
        Self { close: true, ..refused }
    }

    /// No such route, or not with this method.
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            problem::NOT_FOUND,
            "There is nothing here",
            "this host agent does not know that request; it may be older than what asks".to_owned(),
        )
    }

    /// Too many requests.
    pub fn busy(detail: String, retry_after: Duration) -> Self {
        let refused =
            Self::new(StatusCode::TOO_MANY_REQUESTS, problem::BUSY, "Too many requests", detail);
        Self { retry_after: Some(retry_after), ..refused }
    }

    /// It took too long, or failed in a way that is not the caller's doing.
    pub fn internal(detail: &str) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            problem::INTERNAL,
            "The host agent failed",
            detail.to_owned(),
        )
    }

    /// As an answer.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let body = Problem {
            kind: self.kind.to_owned(),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let body = serde_json::to_vec(&body).expect("strings and a number always serialize");
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<TokenError> for Refused {
    fn from(error: TokenError) -> Self {
        let detail = error.to_string();
        let new = |status, kind, title| Self::new(status, kind, title, detail.clone());
        match &error {
            TokenError::NoGrants(_) | TokenError::NotGranted { .. } => {
                new(StatusCode::FORBIDDEN, problem::NOT_GRANTED, "The repository was not granted")
            }
            TokenError::ManyInstallations { .. } => new(
                StatusCode::FORBIDDEN,
                problem::MANY_INSTALLATIONS,
                "The repositories lie in several installations",
            ),
            TokenError::NoPermissions { .. } => {
                new(StatusCode::FORBIDDEN, problem::FORGE, "The App has no permission there")
            }
            TokenError::Busy { retry_after, .. } => Self::busy(detail, *retry_after),
            TokenError::Revoked(_) => {
                new(StatusCode::SERVICE_UNAVAILABLE, problem::BUSY, "The drone's grants changed")
            }
            TokenError::Forge { source, .. } => forge_refused(source, detail),
        }
    }
}

fn forge_refused(source: &ForgeError, detail: String) -> Refused {
    let new = |status, title, advice: &str| {
        Refused::new(status, problem::FORGE, title, format!("{detail}{advice}"))
    };
    match source {
        ForgeError::NotFound { install_url, installed, .. } => {
            let what =
                if *installed { "give the App access to it" } else { "install the App on it" };
            let at = install_url.as_ref().map(|url| format!(" at {url}")).unwrap_or_default();
            let advice = format!("; {what}{at}");
            new(StatusCode::BAD_GATEWAY, "The forge does not know the repository", &advice)
        }
        ForgeError::InstallationGone { .. } => new(
            StatusCode::BAD_GATEWAY,
            "The App's installation does not cover this",
            "; install the App on it again, or accept its new permissions",
        ),
        ForgeError::Suspended { .. } => {
            new(StatusCode::BAD_GATEWAY, "The App's installation is suspended", "")
        }
        ForgeError::BadApp { .. } => new(
            StatusCode::BAD_GATEWAY,
            "The forge refuses the App",
            "; on the server: `hatchery doctor`",
        ),
        ForgeError::Surplus { .. } => {
            new(StatusCode::BAD_GATEWAY, "The forge answered with too much", "")
        }
        ForgeError::NotConfigured { .. } => {
            new(StatusCode::BAD_GATEWAY, "The forge is not configured", "")
        }
        ForgeError::RateLimited { retry_after, .. } => Refused {
            retry_after: Some(*retry_after),
            ..new(StatusCode::SERVICE_UNAVAILABLE, "The forge limits requests", "")
        },
        ForgeError::Unreachable { .. } => new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The forge cannot be reached",
            "; try again in a moment",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unattested_caller_learns_nothing() {
        let reason = Refusal::Container { pid: 4711, container: "secret".to_owned() };
        let refused = Refused::forbidden(&reason);
        assert_eq!(refused, Refused::forbidden(&Refusal::NoPid));
        assert!(!format!("{refused:?}").contains("4711"));
        let response = refused.into_response();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[header::CONNECTION], "close");
    }

    #[test]
    fn what_was_not_granted_says_how_to_grant_it() {
        let error = TokenError::NotGranted {
            drone: "acme-web".parse().expect("a drone"),
            repo: "acme/api".parse().expect("a repository"),
        };
        let refused = Refused::from(error);
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert_eq!(refused.kind, problem::NOT_GRANTED);
        assert!(refused.detail.contains("`hatchery repo connect acme-web acme/api`"));
    }
}
