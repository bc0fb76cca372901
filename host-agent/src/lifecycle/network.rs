//! What drones may reach: the networks they are on, and what the lifecycle needs of the host's
//! firewall; `adapters::firewall` implements it.

use std::future::Future;
use std::net::IpAddr;

/// Name of the bridge network that image and Dockerfile drones share.
pub const SHARED_NETWORK: &str = "hatchery";

/// Name of its interface on the host.
pub const SHARED_INTERFACE: &str = "hatchery0";

/// What the host's firewall shall keep drones from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardRules {
    /// Interfaces of the networks that drones are on.
    pub interfaces: Vec<String>,
    /// TCP ports of the host that stay reachable.
    pub host_ports: Vec<u16>,
    /// Addresses of the host whose port 53 stays reachable: where drones resolve through them.
    pub resolvers: Vec<IpAddr>,
}

/// The host's firewall.
pub trait NetworkGuard {
    /// Brings the firewall to these rules; what is right already is left alone.
    ///
    /// # Errors
    /// A sentence for people: not root, or the command missing or failing.
    fn guard(&self, rules: &GuardRules) -> impl Future<Output = Result<(), String>> + Send;
}
