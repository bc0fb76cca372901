//! What the rest of the binary asks the host agent, over the drone's socket.

mod connection;
mod http;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hatchery_protocol::wire::{Identity, Problem, TokenRejected, TokenReply, problem, route};
use hatchery_protocol::{RepoName, paths};

use crate::report::{Failure, code};

/// Time one request may take, from connecting to the last byte. git waits for its helper without
/// limit, so the limit is ours.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Why the host agent gave no answer to use.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no socket here and none is meant to be: this is not a drone.
    #[error("this is not a drone: there is no {}", socket.display())]
    Absent {
        /// Where the socket would be.
        socket: PathBuf,
    },
    /// The socket is there, or its mounted directory is, but nobody listens.
    #[error("the host agent does not run: nobody listens on {}", socket.display())]
    Down {
        /// The socket.
        socket: PathBuf,
        /// What connecting came to.
        #[source]
        source: io::Error,
    },
    /// No complete answer in time.
    #[error("the host agent did not answer within {} s", REQUEST_LIMIT.as_secs())]
    Late,
    /// The connection failed half-way.
    #[error("the connection to the host agent broke: {0}")]
    Broken(#[source] io::Error),
    /// The answer is not what the contract says. It is not shown: it may hold a token.
    #[error("the host agent's answer cannot be read: {0}")]
    Garbled(String),
    /// The host agent said no, and why.
    #[error("{}", .0.detail)]
    Refused(Problem),
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        let failure = Self::new(error.to_string());
        match error {
            AskError::Absent { .. } => failure
                .hint("run it inside a drone that `hatchery spawn` made")
                .code(code::NO_HOST_AGENT),
            AskError::Down { .. } | AskError::Late | AskError::Broken(_) => failure
                .hint("on the server: `systemctl status hatchery`, or start `hatchery serve`")
                .code(code::NO_HOST_AGENT),
            AskError::Garbled(_) => failure
                .hint("on the server: the log of `hatchery serve` says what was sent")
                .code(code::NO_HOST_AGENT),
            AskError::Refused(problem) => failure.code(match problem.kind.as_str() {
                problem::NOT_GRANTED | problem::MANY_INSTALLATIONS | problem::FORBIDDEN => {
                    code::NOT_GRANTED
                }
                problem::FORGE => code::FORGE,
                _ => code::FAILED,
            }),
        }
    }
}

/// What a token is wanted for.
#[derive(Debug, Default, Clone)]
pub struct TokenAsk {
    /// The repositories it must open; none: the drone's primary one.
    pub repos: Vec<RepoName>,
    /// Seconds it must at least live; `None`: what the host agent gives by default.
    pub min_valid: Option<u64>,
}

impl TokenAsk {
    /// Path and query. A [`RepoName`] has no character that would need escaping in a query.
    fn target(&self) -> String {
        let repos = self.repos.iter().map(|repo| format!("repo={repo}"));
        let life = self.min_valid.map(|seconds| format!("min_valid={seconds}"));
        let query: Vec<String> = repos.chain(life).collect();
        match query.is_empty() {
            true => route::TOKEN.to_owned(),
            false => format!("{}?{}", route::TOKEN, query.join("&")),
        }
    }
}

/// The host agent, as this drone reaches it.
#[derive(Debug)]
pub struct HostAgent {
    socket: PathBuf,
}

impl HostAgent {
    /// The one behind this drone's socket. Does not look whether it is there.
    pub fn of_this_drone() -> Self {
        let dir = std::env::var_os(paths::DRONE_DIR_ENV).filter(|dir| !dir.is_empty());
        let dir = dir.unwrap_or_else(|| OsString::from(paths::DRONE_DIR));
        Self { socket: Path::new(&dir).join(paths::SOCKET_NAME) }
    }

    /// Path of the socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether this is a drone at all, be its host agent up or down.
    pub fn is_expected(&self) -> bool {
        connection::is_expected(&self.socket)
    }

    /// A token for what `ask` names.
    ///
    /// # Errors
    /// No host agent, or its refusal.
    pub fn token(&self, ask: &TokenAsk) -> Result<TokenReply, AskError> {
        let body = self.ask("GET", &ask.target(), None)?;
        let reply: TokenReply = decode(&body, route::TOKEN)?;
        // It goes into line-based protocols and environments: an answer that could break out of
        // them is none.
        match !reply.token.is_empty() && reply.token.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(reply),
            false => Err(AskError::Garbled("the token has characters no token has".to_owned())),
        }
    }

    /// Who this drone is and what it was granted.
    ///
    /// # Errors
    /// No host agent, or its refusal.
    pub fn identity(&self) -> Result<Identity, AskError> {
        decode(&self.ask("GET", route::IDENTITY, None)?, route::IDENTITY)
    }

    /// Says that the forge answered 401 to the token with this hash.
    ///
    /// # Errors
    /// No host agent, or its refusal.
    pub fn token_rejected(&self, sha256: String) -> Result<(), AskError> {
        let body = serde_json::to_vec(&TokenRejected { sha256 })
            .expect("a struct of one string is always JSON");
        self.ask("POST", route::TOKEN_REJECTED, Some(&body)).map(|_| ())
    }

    /// One request on a connection of its own; the body of a 2xx answer.
    fn ask(&self, method: &str, target: &str, body: Option<&[u8]>) -> Result<Vec<u8>, AskError> {
        let request = http::request(method, target, body);
        let mut connection = connection::Connection::open(&self.socket, REQUEST_LIMIT)?;
        connection.send(&request)?;
        let response = http::read_response(&mut connection)?;
        match response.status {
            200..=299 => Ok(response.body),
            status => Err(refusal(status, &response.body)),
        }
    }
}

/// A refusal in the contract's form, or the bare status where it is in none.
fn refusal(status: u16, body: &[u8]) -> AskError {
    match serde_json::from_slice(body) {
        Ok(problem) => AskError::Refused(problem),
        Err(_) => AskError::Garbled(format!("status {status} without a reason")),
    }
}

/// Reads a JSON answer. Only the place of a mistake is told: the text around it may be a secret.
fn decode<T: serde::de::DeserializeOwned>(body: &[u8], route: &str) -> Result<T, AskError> {
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        AskError::Garbled(format!("{route} is not as agreed ({place})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_every_repository_and_the_life_it_needs() {
        let repo = |name: &str| name.parse().expect("a repository");
        assert_eq!(TokenAsk::default().target(), "/v1/token");
        let ask =
            TokenAsk { repos: vec![repo("acme/web"), repo("acme/a.b")], min_valid: Some(1800) };
        assert_eq!(ask.target(), "/v1/token?repo=acme/web&repo=acme/a.b&min_valid=1800");
    }

    #[test]
    fn an_unreadable_answer_is_not_repeated() {
        let error =
            decode::<TokenReply>(br#"{"token": "ghs_secret", "expires_at": 1}"#, "/v1/token");
        let text = error.err().expect("not a token").to_string();
        assert!(text.contains("line 1") && !text.contains("ghs_"), "{text}");
    }

    #[test]
    fn a_refusal_keeps_the_host_agents_words() {
        let body = br#"{"type":"urn:hatchery:not-granted","title":"t","status":403,"detail":"no"}"#;
        assert!(matches!(refusal(403, body), AskError::Refused(problem) if problem.detail == "no"));
        assert!(matches!(refusal(502, b"<html>"), AskError::Garbled(_)));
    }
}
