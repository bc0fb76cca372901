//! The control API's server: one socket, a task a connection, a drain at the end.

mod handle;
mod socket;

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hatchery_protocol::ForgeHost;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::drones::Drones;
use super::operations::Operations;
use crate::config::Config;
use crate::lifecycle::Failure;
use handle::Api;

/// A client has so long to send the head of a request, and so long to leave a connection idle.
const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// Rollbacks have so long before their clients are left without an answer; one that does not read
/// on holds its own up.
const ROLLBACK: Duration = Duration::from_secs(60);

/// Answers under way have so long to end once nothing else is.
const DRAIN: Duration = Duration::from_secs(10);

/// Connections at once; a client needs one, and one more to cancel.
const CONNECTIONS: usize = 256;

/// A bound control socket; nobody is answered before [`Server::serve`].
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    /// To be removed at the end; `None`: the service manager goes on listening.
    own_socket: Option<PathBuf>,
    default_forge: ForgeHost,
}

impl Server {
    /// Takes the state directory for this host agent alone and binds the control socket (0660,
    /// group `hatchery` where it exists), or takes the one that was `passed` to this process. Makes
    /// both directories where missing. Needs a runtime.
    ///
    /// # Errors
    /// When another host agent has the state directory or answers on the socket, or when they
    /// cannot be made.
    pub fn bind(config: &Config, passed: Option<OwnedFd>) -> Result<Self, Failure> {
        let lock = socket::lock_state(&config.paths)?;
        let path = config.paths.control_socket();
        let (listener, own_socket) = match passed {
            Some(passed) => (socket::adopt(passed.into(), &path)?, None),
            None => (socket::bind(&path)?, Some(path)),
        };
        // Ends with the process, and so after everything in it that writes state.
        std::mem::forget(lock);
        let default_forge = config.default_forge().clone();
        Ok(Self { listener, own_socket, default_forge })
    }

    /// Answers until `shutdown`; then cancels what is under way and waits for its rollback.
    pub async fn serve<D: Drones>(self, drones: Arc<D>, shutdown: CancellationToken) {
        let operations = Arc::new(Operations::default());
        let api = Arc::new(Api {
            drones,
            operations: Arc::clone(&operations),
            default_forge: self.default_forge,
            shutdown: shutdown.clone(),
        });
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        while let Some(stream) = accept(&self.listener, &shutdown).await {
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                tracing::warn!("more than {CONNECTIONS} connections to the control socket");
                continue;
            };
            let connection = connection(Arc::clone(&api), stream, cut.clone());
            connections.spawn(async move {
                connection.await;
                drop(permit);
            });
        }
        drop(self.listener);
        if let Some(socket) = self.own_socket
            && let Err(error) = std::fs::remove_file(socket)
        {
            tracing::debug!(%error, "the control socket was gone already");
        }
        operations.cancel_all();
        connections.close();
        // Who follows an operation hears how it ended.
        let _ = tokio::time::timeout(ROLLBACK, operations.wait()).await;
        if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
            tracing::warn!("cutting connections that did not end");
            cut.cancel();
            connections.wait().await;
        }
        // What is left has nobody to answer, but a rollback to finish; its steps have deadlines.
        operations.wait().await;
    }
}

async fn accept(listener: &UnixListener, shutdown: &CancellationToken) -> Option<UnixStream> {
    /// Out of descriptors, mostly: others must end before the next can be taken.
    const PAUSE: Duration = Duration::from_millis(50);
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => return Some(stream),
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the control socket");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection<D: Drones>(api: Arc<Api<D>>, stream: UnixStream, cut: CancellationToken) {
    let shutdown = api.shutdown.clone();
    let service = service_fn(move |request| {
        let api = Arc::clone(&api);
        async move { Ok::<_, Infallible>(handle::request(api, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client left early");
    }
}
