//! What the engine says happens to containers.

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::{Machine, filter};
use crate::lifecycle::engine::{EngineError, EngineEvent, EngineEventKind};

impl Machine {
    /// Until the engine stops talking or nobody listens any more.
    pub(super) async fn engine_follow(&self, events: mpsc::Sender<EngineEvent>) -> EngineError {
        let action = "tell what happens";
        let docker = match self.docker() {
            Ok(docker) => docker,
            Err(error) => return error,
        };
        let options = EventsOptions {
            filters: filter("type", vec!["container".to_owned()]),
            ..Default::default()
        };
        let mut stream = Box::pin(docker.events(Some(options)));
        while let Some(message) = stream.next().await {
            match message {
                Ok(message) => {
                    if let Some(event) = event(message)
                        && events.send(event).await.is_err()
                    {
                        break;
                    }
                }
                Err(error) => return self.explain(action, error),
            }
        }
        EngineError::Refused { action: action.to_owned(), message: "it hung up".to_owned() }
    }
}

fn event(message: EventMessage) -> Option<EngineEvent> {
    let kind = match message.action?.as_str() {
        "start" | "unpause" => EngineEventKind::Started,
        "die" => EngineEventKind::Died,
        "stop" => EngineEventKind::Stopped,
        "destroy" => EngineEventKind::Removed,
        "oom" => EngineEventKind::OutOfMemory,
        _ => return None,
    };
    let actor = message.actor?;
    Some(EngineEvent {
        container: actor.id?,
        labels: actor.attributes.unwrap_or_default().into_iter().collect(),
        kind,
    })
}
