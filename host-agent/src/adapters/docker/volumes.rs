//! Volumes.

use std::collections::BTreeMap;

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters as query;

use super::containers::labels;
use super::{CALL, Machine, filter, gone_is_fine};
use crate::lifecycle::engine::EngineError;

impl Machine {
    pub(super) async fn engine_create_volume(
        &self,
        name: &str,
        with: &BTreeMap<String, String>,
    ) -> Result<(), EngineError> {
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            driver: Some("local".to_owned()),
            labels: Some(labels(with)),
            ..Default::default()
        };
        let action = format!("create volume {name}");
        let docker = self.docker()?.clone();
        let call = async move { docker.create_volume(request).await };
        let made = self.make(&action, call).await?;
        // An existing volume is answered as it is: one that is not ours is not taken over.
        let ours = with.iter().all(|(label, value)| made.labels.get(label) == Some(value));
        if ours {
            return Ok(());
        }
        let message = "a volume of that name exists and does not belong to this drone".to_owned();
        Err(EngineError::Conflict { action, message })
    }

    pub(super) async fn engine_volumes(
        &self,
        label: Option<&str>,
    ) -> Result<Vec<String>, EngineError> {
        let filters = label.and_then(|label| filter("label", vec![label.to_owned()]));
        let call = self.docker()?.list_volumes(Some(query::ListVolumesOptions { filters }));
        let list = self.call("list volumes", CALL, call).await?;
        Ok(list.volumes.into_iter().flatten().map(|volume| volume.name).collect())
    }

    pub(super) async fn engine_remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let call = self.docker()?.remove_volume(name, None::<query::RemoveVolumeOptions>);
        gone_is_fine(self.call(&format!("remove volume {name}"), CALL, call).await)
    }
}
