//! One connection served by hyper, with deadlines: whatever is not answered at once.

use std::convert::Infallible;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioTimer;
use time::OffsetDateTime;

use super::listener::Server;
use super::problem::Refused;
use super::routes;
use super::stream::{AttestedStream, SharedPeer};
use crate::credentials::Forge;
use crate::credentials::attest::{Peer, Refusal};

/// Time for a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// Longest life of a connection.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(60);
/// At the end of the host agent: time for what was accepted to be asked and answered still. Who
/// asks nothing holds it up no longer; what is being answered then goes on.
const LAST_CALL: Duration = Duration::from_millis(200);
/// Largest head of a request, in bytes.
pub const HEAD_MAX: usize = 8192;
/// Most header lines of a request.
pub const HEADERS_MAX: usize = 32;

/// Serves one request of a connection, until it is answered, takes too long, or the drone's socket
/// closes. The next request comes on another connection, in turn with the other drones'.
pub async fn serve<F: Forge>(
    server: Arc<Server<F>>,
    stream: UnixStream,
    peer: Result<Peer, Refusal>,
) {
    let peer = match peer {
        Ok(peer) => SharedPeer::new(peer),
        Err(refusal) => return server.credentials.refused(&server.drone, None, &refusal).await,
    };
    let stream = match tokio::net::UnixStream::from_std(stream) {
        Ok(stream) => AttestedStream::new(stream, peer.clone()),
        Err(error) => {
            return tracing::warn!(drone = %server.drone, %error, "cannot serve a connection");
        }
    };
    let serving = reading().serve_connection(stream, answering(Arc::clone(&server), peer));
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = server.stop.cancelled() => return,
        () = server.shutdown.cancelled() => {
            match tokio::time::timeout(LAST_CALL, serving.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
            }
        }
        () = tokio::time::sleep(CONNECTION_DEADLINE) => return,
    };
    if let Err(error) = ended {
        tracing::debug!(drone = %server.drone, %error, "a connection ended badly");
    }
}

/// How hyper reads a drone's request: one a connection, within limits.
pub fn reading() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(false);
    builder
}

/// What hyper calls with the request of a connection.
fn answering<F: Forge>(
    server: Arc<Server<F>>,
    peer: SharedPeer,
) -> impl HttpService<Incoming, ResBody = Full<Bytes>, Error = Infallible, Future: Send> {
    service_fn(move |request: Request<Incoming>| {
        let (server, peer) = (Arc::clone(&server), peer.clone());
        async move {
            let response = routes::answer(&server.credentials, &server.drone, &peer, request).await;
            Ok::<_, Infallible>(match spend(&server, response.status().is_success()) {
                Ok(()) => response,
                Err(refused) => refused.into_response(),
            })
        }
    })
}

/// Tokens from the cache are limited in concurrency, and new ones where they are minted. Who gets
/// nothing but refusals is told no more than that after a while.
fn spend<F: Forge>(server: &Server<F>, succeeded: bool) -> Result<(), Refused> {
    if succeeded {
        return Ok(());
    }
    let mut refusals = server.refusals.lock().unwrap_or_else(PoisonError::into_inner);
    refusals.take(OffsetDateTime::now_utc()).map_err(|wait| {
        Refused::busy("this drone asks too often for what it cannot get".to_owned(), wait)
    })
}
