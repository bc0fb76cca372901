//! What drones may reach: the networks they are on, and what the lifecycle needs of the host's
//! firewall; `adapters::firewall` implements it.

use std::future::Future;
use std::net::IpAddr;

use crate::config::NetworkConfig;

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

/// Resolvers that drones ask: the configured ones, else the host's, which the engine hands on.
/// Those on a loopback address the engine asks itself.
pub(super) async fn resolvers(config: &NetworkConfig) -> Vec<IpAddr> {
    if !config.dns.is_empty() {
        return config.dns.clone();
    }
    let text = tokio::fs::read_to_string("/etc/resolv.conf").await.unwrap_or_default();
    nameservers(&text)
}

fn nameservers(resolv_conf: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.parse::<IpAddr>().ok())?
    };
    resolv_conf.lines().filter_map(address).filter(|one| !one.is_loopback()).collect()
}

/// The host's firewall.
pub trait NetworkGuard {
    /// Brings the firewall to these rules; what is right already is left alone.
    ///
    /// # Errors
    /// A sentence for people: not root, or the command missing or failing.
    fn guard(&self, rules: &GuardRules) -> impl Future<Output = Result<(), String>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_of_the_host_are_read_leniently() {
        let text = "# x\nsearch a\nnameserver 127.0.0.53\nnameserver 100.100.100.100\nnameserver\n";
        assert_eq!(nameservers(text), ["100.100.100.100".parse::<IpAddr>().expect("an address")]);
    }
}
