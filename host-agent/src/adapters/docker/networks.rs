//! Bridge networks.

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use bollard::query_parameters as query;

use super::containers::labels;
use super::{CALL, Machine, filter, gone_is_fine};
use crate::lifecycle::engine::{EngineError, Network, NetworkSpec};

impl Machine {
    pub(super) async fn engine_ensure_network(
        &self,
        spec: &NetworkSpec,
    ) -> Result<(), EngineError> {
        let call = self.docker()?.inspect_network(&spec.name, None);
        match self.call(&format!("inspect network {}", spec.name), CALL, call).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error),
        }
        let (docker, wanted) = (self.docker()?.clone(), request(spec));
        let call = async move { docker.create_network(wanted).await };
        match self.make(&format!("create network {}", spec.name), call).await {
            // Another spawn made it meanwhile.
            Ok(_) | Err(EngineError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn engine_networks(
        &self,
        label: Option<&str>,
    ) -> Result<Vec<Network>, EngineError> {
        let filters = label.and_then(|label| filter("label", vec![label.to_owned()]));
        let call = self.docker()?.list_networks(Some(query::ListNetworksOptions { filters }));
        let list = self.call("list networks", CALL, call).await?;
        let named = |network: bollard::models::Network| Network {
            id: network.id.unwrap_or_default(),
            name: network.name.unwrap_or_default(),
            subnets: subnets(network.ipam),
        };
        Ok(list.into_iter().map(named).collect())
    }

    pub(super) async fn engine_remove_network(&self, name: &str) -> Result<(), EngineError> {
        let call = self.docker()?.remove_network(name);
        gone_is_fine(self.call(&format!("remove network {name}"), CALL, call).await)
    }
}

fn request(spec: &NetworkSpec) -> NetworkCreateRequest {
    let options = [
        ("com.docker.network.bridge.name", spec.interface.clone()),
        ("com.docker.network.bridge.enable_icc", spec.containers_talk.to_string()),
    ];
    NetworkCreateRequest {
        name: spec.name.clone(),
        driver: Some("bridge".to_owned()),
        ipam: spec.subnet.clone().map(|subnet| Ipam {
            config: Some(vec![IpamConfig { subnet: Some(subnet), ..Default::default() }]),
            ..Default::default()
        }),
        options: Some(options.map(|(name, value)| (name.to_owned(), value)).into()),
        labels: Some(labels(&spec.labels)),
        ..Default::default()
    }
}

fn subnets(ipam: Option<Ipam>) -> Vec<String> {
    let configs = ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    configs.into_iter().filter_map(|config| config.subnet).collect()
}
