//! A client of the admin socket, for other processes.

use std::{io, path::Path, path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use tokio::{net::UnixStream, time::timeout};

use crate::admin::SOCKET;

/// Longest time of one admin call; seeding a large repository takes its time.
const DEADLINE: Duration = Duration::from_secs(120);

/// Why an admin call failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody serves the socket.
    #[error("no forge answers on {}; is it running?", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The forge refused, in its words.
    #[error("the forge refused ({status}): {message}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// Why.
        message: String,
    },
}

/// Speaks to the admin socket of a data directory; one connection a call.
#[derive(Debug, Clone)]
pub struct AdminClient {
    socket: PathBuf,
}

impl AdminClient {
    /// For the forge that serves `data_dir`.
    pub fn new(data_dir: &Path) -> Self {
        Self { socket: data_dir.join(SOCKET) }
    }

    /// Makes a call of the crate page's table; `body` is one of this crate's types, a
    /// [`Value`], or `()` for none.
    ///
    /// # Errors
    /// When nobody answers within two minutes, or the forge refuses.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<Value, AdminError> {
        let unreachable = |source| AdminError::Unreachable { path: self.socket.clone(), source };
        let body = serde_json::to_value(body).map_err(io::Error::other).map_err(unreachable)?;
        let sent = timeout(DEADLINE, self.send(method, path, &body)).await;
        let sent = sent.map_err(|_| unreachable(io::ErrorKind::TimedOut.into()))?;
        let (status, value) = sent.map_err(unreachable)?;
        if status.is_success() {
            return Ok(value);
        }
        let message = value["error"].as_str().unwrap_or_default().to_owned();
        Err(AdminError::Refused { status, message })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> io::Result<(StatusCode, Value)> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .body(Full::new(Bytes::from(body)))
            .map_err(io::Error::other)?;
        let answer = async move {
            let reply = sender.send_request(request).await.map_err(io::Error::other)?;
            let status = reply.status();
            let body = reply.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
            let value = serde_json::from_slice(&body).map_err(io::Error::other)?;
            Ok((status, value))
        };
        // The connection ends when `answer` drops its sender, or the forge hangs up.
        tokio::join!(answer, connection).0
    }
}
