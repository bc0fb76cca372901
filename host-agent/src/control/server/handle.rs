//! One request: understood, handed to the lifecycle, answered. One tracing span each.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hatchery_protocol::{DroneName, ForgeHost};
use http::Request;
use http::header::HeaderValue;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::control::api::{
    ConnectRequest, DroneRef, EventKind, Failure, FailureKind, OPERATION_HEADER, SlayRequest,
    Version,
};
use crate::control::drones::Drones;
use crate::control::operations::Operations;
use crate::control::reply::{self, Reply};
use crate::control::route::{self, DroneAction, Route};
use crate::credentials::trail::Wanted;
use crate::lifecycle::Progress;

/// Bytes of a request's body at most; the largest real one has some hundred.
const BODY_MAX: usize = 64 << 10;

/// A client has so long to send a request's body.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// What every request can reach.
pub(super) struct Api<D> {
    pub(super) drones: Arc<D>,
    pub(super) operations: Arc<Operations>,
    pub(super) default_forge: ForgeHost,
    pub(super) shutdown: CancellationToken,
}

/// Answers a request, whatever it is.
pub(super) async fn request<D: Drones>(api: Arc<Api<D>>, request: Request<Incoming>) -> Reply {
    let span = tracing::info_span!(
        "control", method = %request.method(), path = request.uri().path()
    );
    async move {
        let began = Instant::now();
        let reply = answer(&api, request).await.unwrap_or_else(|failure| {
            tracing::info!(kind = ?failure.kind, causes = ?failure.causes, "{failure}");
            reply::problem(&failure)
        });
        let elapsed_ms = began.elapsed().as_millis();
        tracing::debug!(status = reply.status().as_u16(), elapsed_ms, "answered");
        reply
    }
    .instrument(span)
    .await
}

async fn answer<D: Drones>(
    api: &Arc<Api<D>>,
    request: Request<Incoming>,
) -> Result<Reply, Failure> {
    let route = route::parse(request.method(), request.uri(), &api.default_forge)
        .map_err(route::RouteError::into_failure)?;
    match route {
        Route::Version => {
            Ok(reply::json(&Version { version: env!("CARGO_PKG_VERSION").to_owned() }))
        }
        Route::List => api.drones.list().await.map(|list| reply::json(&list)),
        Route::Events => Ok(reply::events(api.drones.subscribe(), api.shutdown.clone())),
        Route::Audit(asked) => {
            let drone = asked.drone.map(|drone| api.drones.find(&drone)).transpose()?;
            let wanted = Wanted { drone, since: asked.since };
            let end = asked.follow.then(|| api.shutdown.clone());
            reply::audit(api.drones.audit_log(), wanted, end).await
        }
        Route::Spawn => {
            let wanted = body(request).await?;
            Ok(operation(api, |drones, progress| async move {
                let status = drones.spawn(wanted, progress).await?;
                Ok(EventKind::Done { status: status.map(Box::new), report: vec![] })
            }))
        }
        Route::Cancel(id) if api.operations.cancel(id) => Ok(reply::nothing()),
        Route::Cancel(id) => {
            Err(Failure::new(FailureKind::Failed, format!("operation {} has ended", id.0)))
        }
        Route::Drone(drone, action) => on_drone(api, &drone, action, request).await,
    }
}

async fn on_drone<D: Drones>(
    api: &Arc<Api<D>>,
    drone: &DroneRef,
    action: DroneAction,
    request: Request<Incoming>,
) -> Result<Reply, Failure> {
    let drone = api.drones.find(drone)?;
    match action {
        DroneAction::Status => api.drones.status(&drone).await.map(|status| reply::json(&status)),
        DroneAction::Exec => api.drones.exec_plan(&drone).await.map(|plan| reply::json(&plan)),
        DroneAction::Logs { container } => {
            reply::log(api.drones.logs(&drone, container).await?).await
        }
        DroneAction::Burrow => {
            to_the_end(api, |drones| async move { drones.burrow(&drone).await }).await
        }
        DroneAction::Unburrow => {
            to_the_end(api, |drones| async move { drones.unburrow(&drone).await }).await
        }
        DroneAction::Adopt => {
            to_the_end(api, |drones| async move { drones.adopt(&drone).await }).await
        }
        DroneAction::Repositories => {
            api.drones.repositories(&drone).map(|grants| reply::json(&grants))
        }
        DroneAction::Connect => {
            let wanted: ConnectRequest = body(request).await?;
            to_the_end(api, |drones| async move { drones.connect(&drone, &wanted).await }).await
        }
        DroneAction::Disconnect { repo } => {
            to_the_end(api, |drones| async move { drones.disconnect(&drone, &repo).await }).await
        }
        DroneAction::Rebuild => Ok(rebuild(api, drone)),
        DroneAction::Slay => Ok(slay(api, drone, body(request).await?)),
    }
}

fn rebuild<D: Drones>(api: &Arc<Api<D>>, drone: DroneName) -> Reply {
    operation(api, |drones, progress| async move {
        let status = drones.rebuild(&drone, progress).await?;
        Ok(EventKind::Done { status: Some(Box::new(status)), report: vec![] })
    })
}

fn slay<D: Drones>(api: &Arc<Api<D>>, drone: DroneName, wanted: SlayRequest) -> Reply {
    operation(api, |drones, progress| async move {
        let report = drones.slay(&drone, wanted, progress).await?;
        Ok(EventKind::Done { status: None, report })
    })
}

/// Starts what the client follows by its events, and cancels it when the client leaves.
fn operation<D: Drones, W>(api: &Arc<Api<D>>, work: impl FnOnce(Arc<D>, Progress) -> W) -> Reply
where
    W: Future<Output = Result<EventKind, Failure>> + Send + 'static,
{
    let token = CancellationToken::new();
    let (progress, events) = Progress::new(token.clone());
    let work = work(Arc::clone(&api.drones), progress.clone());
    let id = api.operations.start(token.clone(), async move {
        let last = work.await.unwrap_or_else(|failure| {
            tracing::info!(kind = ?failure.kind, causes = ?failure.causes, "{failure}");
            EventKind::Failed { failure: Box::new(failure) }
        });
        progress.tell(None, last).await;
    });
    let mut reply = reply::operation(events, token.drop_guard());
    reply.headers_mut().insert(OPERATION_HEADER, HeaderValue::from(id.0));
    reply
}

/// Does a short thing to its end even if the client leaves, and answers with the outcome.
async fn to_the_end<D: Drones, W, T>(
    api: &Arc<Api<D>>,
    work: impl FnOnce(Arc<D>) -> W,
) -> Result<Reply, Failure>
where
    W: Future<Output = Result<T, Failure>> + Send + 'static,
    T: Serialize + Send + 'static,
{
    let outcome = api.operations.finish(work(Arc::clone(&api.drones))).await;
    let broke_off = || Failure::new(FailureKind::Failed, "the host agent broke off: see its log");
    outcome.ok_or_else(broke_off)?.map(|value| reply::json(&value))
}

/// The request's body; an empty one is an empty object, where every field has a default.
async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Failure> {
    let unreadable = |error: &(dyn std::error::Error + 'static)| {
        Failure::new(FailureKind::Usage, "cannot read the request's body").caused_by(error)
    };
    let collected = Limited::new(request.into_body(), BODY_MAX).collect();
    let collected = tokio::time::timeout(BODY_LIMIT, collected)
        .await
        .map_err(|late| unreadable(&late))?
        .map_err(|error| unreadable(error.as_ref()))?;
    let bytes = collected.to_bytes();
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    serde_json::from_slice(text).map_err(|error| unreadable(&error))
}
