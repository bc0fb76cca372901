//! Answers: GitHub's error bodies, and helpers for JSON and streams.

use std::io;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use serde_json::{Value, json};

use crate::permissions::Level;

/// Body of every answer; git's are streamed.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An answer on its way out.
pub type Reply = Response<Body>;

const DOCUMENTATION: &str = "https://docs.github.com/rest";

/// A refusal in GitHub's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// `message` of the body; callers of GitHub match on it.
    pub message: String,
    /// `errors` of the body, on some 422.
    pub errors: Option<Value>,
    /// `X-Accepted-GitHub-Permissions`, on 403.
    pub accepted: Option<String>,
}

impl Refusal {
    /// A refusal with this status and message.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), errors: None, accepted: None }
    }

    /// 404, the answer to whatever the caller may not even know of.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found")
    }

    /// 401 to a token that is expired, revoked or unknown.
    pub fn bad_credentials() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Bad credentials")
    }

    /// 401 to a JWT that nobody here signed, or to none where one is needed.
    pub fn bad_jwt() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded")
    }

    /// 401 where somebody must be logged in.
    pub fn requires_authentication() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Requires authentication")
    }

    /// 403 to a token that lacks a permission, naming it in the header.
    pub fn not_accessible(permission: &str, level: Level) -> Self {
        let mut refusal =
            Self::new(StatusCode::FORBIDDEN, "Resource not accessible by integration");
        refusal.accepted = Some(format!("{permission}={}", level.as_str()));
        refusal
    }

    /// 403 while the installation is suspended.
    pub fn suspended() -> Self {
        Self::new(StatusCode::FORBIDDEN, "This installation has been suspended")
    }

    /// 422 with a message only.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// 422 that names the field at fault.
    pub fn validation(resource: &str, field: &str, code: &str, message: &str) -> Self {
        let mut refusal = Self::unprocessable("Validation Failed");
        refusal.errors = Some(json!([
            {"resource": resource, "field": field, "code": code, "message": message}
        ]));
        refusal
    }

    /// 400 to a body that is not the JSON it should be.
    pub fn bad_json() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Problems parsing JSON")
    }

    /// 500; the cause goes to the log, as GitHub keeps its own too.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "the forge failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Server Error")
    }

    /// The answer.
    pub fn into_reply(self) -> Reply {
        let mut body = json!({
            "message": self.message,
            "documentation_url": DOCUMENTATION,
            "status": self.status.as_str(),
        });
        if let Some(errors) = self.errors {
            body["errors"] = errors;
        }
        let mut reply = json_reply(self.status, &body);
        if let Some(accepted) = self.accepted.and_then(|text| HeaderValue::try_from(text).ok()) {
            reply.headers_mut().insert("x-accepted-github-permissions", accepted);
        }
        reply
    }
}

/// Result of a handler.
pub type Answer = Result<Reply, Refusal>;

/// A body that is all there.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A JSON answer.
pub fn json_reply(status: StatusCode, body: &Value) -> Reply {
    with_type(status, "application/json; charset=utf-8", body.to_string())
}

/// 200 with JSON.
pub fn ok(body: &Value) -> Answer {
    Ok(json_reply(StatusCode::OK, body))
}

/// 201 with JSON.
pub fn created(body: &Value) -> Answer {
    Ok(json_reply(StatusCode::CREATED, body))
}

/// 204.
pub fn no_content() -> Answer {
    let mut reply = Response::new(full(Bytes::new()));
    *reply.status_mut() = StatusCode::NO_CONTENT;
    Ok(reply)
}

/// A plain-text answer.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    with_type(status, "text/plain; charset=utf-8", body)
}

/// An answer of some media type.
pub fn with_type(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(full(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    reply
}

/// A redirect; GitHub's carry a JSON body with the target, too.
pub fn redirect(status: StatusCode, location: &str) -> Reply {
    let words = if status == StatusCode::MOVED_PERMANENTLY { "Moved Permanently" } else { "Found" };
    let mut reply = json_reply(
        status,
        &json!({"message": words, "url": location, "documentation_url": DOCUMENTATION}),
    );
    if let Ok(location) = HeaderValue::try_from(location) {
        reply.headers_mut().insert(header::LOCATION, location);
    }
    reply
}
