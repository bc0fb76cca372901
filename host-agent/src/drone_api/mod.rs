//! A drone's socket: HTTP/1.1 for whoever is attested as a process of that drone.
//!
//! | request | answer |
//! |---|---|
//! | `GET /token` | the drone's own token, `text/plain` |
//! | `GET /v1/token?repo=owner/name&min_valid=1800` | [`hatchery_protocol::wire::TokenReply`] |
//! | `POST /v1/token/rejected` | 204; the token is replaced if it is the current one |
//! | `GET /v1/identity` | [`hatchery_protocol::wire::Identity`] |
//!
//! All sockets are answered from one thread, in turn ([`turns`]): a token from the cache there and
//! then ([`prompt`]), everything else by hyper on the host agent's runtime ([`thorough`]). One
//! request a connection.
//!
//! Errors are RFC 9457 problems. A caller that is not attested gets a bland one: the reason goes
//! to the log and the audit log.

mod listener;
mod problem;
mod prompt;
pub(crate) mod query;
mod routes;
mod stream;
mod thorough;
mod turns;

pub use listener::start;
