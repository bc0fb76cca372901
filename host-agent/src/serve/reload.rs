//! SIGHUP: the configuration file is read again. What can change under running drones counts from
//! then on; a file with errors changes nothing.

use std::sync::Arc;

use super::Told;
use crate::config::{self, Changes, Config, ConfigError, Locations};
use crate::credentials::Forge;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::engine::ContainerEngine;

/// What `systemctl status` shows while the file has errors.
const REFUSED: &str = "answering; the configuration file is wrong, the one before is in force";

/// Reads the file again and says in the log what came of it.
pub(super) async fn reload<F: Forge, E: ContainerEngine>(
    config: &Arc<Config>,
    lifecycle: &Lifecycle<F, E>,
    manager: &Told,
) {
    manager.tell(|manager| manager.reloading()).await;
    let file = config.paths.config.clone();
    let shown = file.display().to_string();
    let load = move || config::load(Some(&file), &Locations::of_process());
    match tokio::task::spawn_blocking(load).await {
        Ok(Ok(new)) => {
            log(&shown, &config.reload(new));
            lifecycle.reconfigured().await;
            manager.tell(|manager| manager.ready("answering")).await;
        }
        Ok(Err(error)) => {
            refuse(&error);
            manager.tell(|manager| manager.ready(REFUSED)).await;
        }
        // The runtime ends.
        Err(_) => {}
    }
}

fn log(file: &str, changes: &Changes) {
    let Changes { applied, at_restart } = changes;
    match applied.as_slice() {
        [] => tracing::info!("{file} was read again: nothing new is in force"),
        applied => tracing::info!("{file} was read again: in force now: {}", applied.join(", ")),
    }
    if !at_restart.is_empty() {
        let what = at_restart.join(", ");
        tracing::warn!("{file} changes what takes a restart of the host agent: {what}");
    }
}

fn refuse(error: &ConfigError) {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(source, "{error}: the one before stays in force");
    for place in error.places() {
        tracing::error!("{place}");
    }
}
