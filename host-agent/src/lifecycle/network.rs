//! What drones may reach: the networks they are on, and what the lifecycle needs of the host's
//! firewall; `adapters::firewall` implements it.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};

use hatchery_protocol::DroneName;
use sha2::{Digest as _, Sha256};

use super::engine::{ContainerEngine, EngineError, NetworkSpec, Tuning};
use super::failure::{Failure, FailureKind};
use super::{Lifecycle, labels};
use crate::credentials::Forge;
use crate::secret::hex;

/// Name of the bridge network that image and Dockerfile drones share.
pub const SHARED_NETWORK: &str = "hatchery";

/// Name of its interface on the host.
const SHARED_INTERFACE: &str = "hatchery0";

/// Capabilities to write frames that the firewall does not read: whoever has one answers for its
/// neighbours on a bridge (ARP), takes their traffic, or cuts them off.
const FORGING: [&str; 3] = ["NET_RAW", "NET_ADMIN", "ALL"];

/// The one of them that Docker gives every container.
const RAW: &str = "NET_RAW";

/// Bits of a Compose drone's network: 14 addresses.
const SUBNET_BITS: u8 = 28;

/// How often a free part of the pool is looked for.
const ATTEMPTS: u32 = 5;

/// In what Docker says of a network whose addresses another one has.
const OVERLAPS: &str = "Pool overlaps";

/// What to do where the firewall cannot be set.
pub const WITHOUT_FIREWALL: &str = "run `hatchery serve` as root; or, where nothing of this host needs \
    keeping from drones, accept it: `firewall = false` in [network]";

/// What the host's firewall shall keep drones from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardRules {
    /// Interfaces of the networks that drones are on.
    pub interfaces: Vec<String>,
    /// The one among them whose drones are kept from each other.
    pub shared: String,
    /// TCP ports of the host that stay reachable.
    pub host_ports: Vec<u16>,
    /// Resolvers of drones: their port 53 stays reachable, wherever they are.
    pub resolvers: Vec<IpAddr>,
    /// Addresses that lead to the host by way of the world: of an engine with a network of its own.
    pub host: Vec<IpAddr>,
}

/// How the engine sees the world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Resolvers that it hands on to containers. Those on a loopback address it asks itself.
    pub resolvers: Vec<IpAddr>,
    /// As [`GuardRules::host`].
    pub host: Vec<IpAddr>,
}

/// The host's firewall.
pub trait NetworkGuard {
    /// How the engine sees the world now.
    fn outlook(&self) -> impl Future<Output = Outlook> + Send;

    /// Brings the firewall to these rules.
    ///
    /// # Errors
    /// A sentence for people: not root, or the command missing or failing.
    fn guard(&self, rules: &GuardRules) -> impl Future<Output = Result<(), String>> + Send;
}

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    /// Sees that the shared network is there and what drones may reach is as configured.
    pub(super) async fn ready_network(&self) -> Result<(), Failure> {
        let spec = NetworkSpec {
            name: SHARED_NETWORK.to_owned(),
            interface: SHARED_INTERFACE.to_owned(),
            subnet: None,
            containers_talk: false,
            labels: [(labels::MANAGED.to_owned(), "true".to_owned())].into(),
        };
        self.engine.ensure_network(&spec).await?;
        self.guard_network().await
    }

    /// Sees that the network of an image or Dockerfile drone is there.
    pub(super) async fn ready_segment(&self, drone: &DroneName, on: &str) -> Result<(), Failure> {
        if on == name(drone) {
            self.ready_drone_network(drone).await
        } else {
            self.ready_network().await
        }
    }

    /// Brings the firewall to a configuration that has changed.
    pub async fn reconfigured(&self) {
        if let Err(failure) = self.ready_network().await {
            tracing::warn!(%failure, "the network of drones changes once Docker answers");
        }
    }

    /// Makes the network of a drone that has one of its own, in a free part of the pool.
    pub(super) async fn ready_drone_network(&self, drone: &DroneName) -> Result<(), Failure> {
        // Two drones must not take the same part.
        let turn = self.reserving.lock().await;
        let mut attempt = 1;
        while let Err(error) = self.take_part_of_pool(drone).await? {
            // Whoever else makes networks was faster: what is free is looked for again.
            if attempt == ATTEMPTS || !error.to_string().contains(OVERLAPS) {
                return Err(error.into());
            }
            attempt += 1;
        }
        drop(turn);
        self.guard_network().await
    }

    /// Makes a drone's network in what is free now.
    async fn take_part_of_pool(
        &self,
        drone: &DroneName,
    ) -> Result<Result<(), EngineError>, Failure> {
        let taken: Vec<Subnet> = self
            .engine
            .networks(None)
            .await?
            .iter()
            .flat_map(|network| &network.subnets)
            .filter_map(|text| Subnet::parse(text))
            .collect();
        let pool = self.config.network.pool;
        let subnet = free_part(pool, &taken).ok_or_else(|| {
            let message =
                format!("no /{SUBNET_BITS} of [network] pool {}/{} is free", pool.0, pool.1);
            Failure::new(FailureKind::NoCapacity, message)
                .hint("slay a Compose drone, or set a larger [network] pool")
        })?;
        let spec = NetworkSpec {
            name: name(drone),
            interface: interface(drone),
            subnet: Some(subnet.to_string()),
            containers_talk: true,
            labels: labels::owned(drone),
        };
        Ok(self.engine.ensure_network(&spec).await)
    }

    /// Brings the firewall to what the networks need, unless that was done already. A failure where
    /// it cannot be and nobody said that drones may go without.
    pub(super) async fn guard_network(&self) -> Result<(), Failure> {
        if !self.config.network.firewall {
            self.unguarded("[network] firewall is false");
            return Ok(());
        }
        let managed = format!("{}=true", labels::MANAGED);
        let networks = self.engine.networks(Some(&managed)).await?;
        let own = networks.iter().filter_map(|network| {
            Some(interface(&network.name.strip_prefix("hatchery-")?.parse().ok()?))
        });
        let outlook = self.engine.outlook().await;
        let resolvers = outlook.resolvers;
        let rules = GuardRules {
            interfaces: [SHARED_INTERFACE.to_owned()].into_iter().chain(own).collect(),
            shared: SHARED_INTERFACE.to_owned(),
            host_ports: self.config.network.host_ports.clone(),
            resolvers: if self.config.network.dns.is_empty() {
                resolvers
            } else {
                self.config.network.dns.clone()
            },
            host: outlook.host,
        };
        if self.known.is_guarded(&rules) {
            return Ok(());
        }
        if let Err(problem) = self.engine.guard(&rules).await {
            let said = self.unguarded(&problem);
            return Err(Failure::new(FailureKind::Failed, said).hint(WITHOUT_FIREWALL));
        }
        self.known.guarded(rules);
        self.known.network_problem(None);
        Ok(())
    }

    /// Notes, and logs once, that drones are not kept from the host.
    fn unguarded(&self, problem: &str) -> String {
        let said = format!("drones can reach more of the host than they should: {problem}");
        if self.known.network_problem(Some(said.clone())) {
            tracing::warn!("{said}");
        }
        said
    }
}

/// The network of an image or Dockerfile drone: the shared one, where nobody can forge what its
/// neighbours send, else one of its own.
pub(super) fn segment(drone: &DroneName, tuning: &Tuning) -> String {
    let forges = |capability: &String| FORGING.contains(&capability.trim_start_matches("CAP_"));
    let apart = tuning.privileged || tuning.cap_add.iter().any(forges);
    if apart { name(drone) } else { SHARED_NETWORK.to_owned() }
}

/// The capabilities that a drone gives up on the network `on`.
pub(super) fn forgone(on: &str) -> Option<String> {
    (on == SHARED_NETWORK).then(|| RAW.to_owned())
}

/// Name of a drone's own network.
pub(super) fn name(drone: &DroneName) -> String {
    format!("hatchery-{drone}")
}

/// Name of its interface on the host, at most 15 characters.
fn interface(drone: &DroneName) -> String {
    let mut digits = hex(&Sha256::digest(drone.as_str().as_bytes()));
    digits.truncate(10);
    format!("hat-{digits}")
}

/// A range of IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Subnet {
    first: u32,
    bits: u8,
}

impl Subnet {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let bits = bits.parse().ok().filter(|bits| *bits <= 32)?;
        Some(Self { first: address.parse::<Ipv4Addr>().ok()?.to_bits(), bits })
    }

    fn last(self) -> u32 {
        self.first | u32::MAX.checked_shr(u32::from(self.bits)).unwrap_or(0)
    }

    fn overlaps(self, other: Self) -> bool {
        self.first <= other.last() && other.first <= self.last()
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.first), self.bits)
    }
}

/// The first part of the pool that no network overlaps.
fn free_part((address, bits): (IpAddr, u8), taken: &[Subnet]) -> Option<Subnet> {
    let IpAddr::V4(address) = address else { return None };
    let pool = Subnet { first: address.to_bits(), bits };
    let size = 1_usize << (32 - SUBNET_BITS);
    (pool.first..=pool.last())
        .step_by(size)
        .map(|first| Subnet { first, bits: SUBNET_BITS })
        .find(|part| part.last() <= pool.last() && !taken.iter().any(|one| one.overlaps(*part)))
}

/// The resolvers in a `resolv.conf`, but those on a loopback address.
pub fn nameservers(resolv_conf: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.parse::<IpAddr>().ok())?
    };
    resolv_conf.lines().filter_map(address).filter(|one| !one.is_loopback()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_of_the_host_are_read_leniently() {
        let text = "# x\nsearch a\nnameserver 127.0.0.53\nnameserver 100.100.100.100\nnameserver\n";
        assert_eq!(nameservers(text), ["100.100.100.100".parse::<IpAddr>().expect("an address")]);
    }

    #[test]
    fn whoever_can_forge_packets_has_no_neighbours() {
        let drone = "acme-web".parse().expect("a name");
        let with = |names: &[&str]| Tuning {
            cap_add: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Tuning::default()
        };
        for names in [&["NET_RAW"][..], &["CAP_NET_ADMIN"], &["SYS_PTRACE", "ALL"]] {
            let on = segment(&drone, &with(names));
            assert_eq!((on.as_str(), forgone(&on)), ("hatchery-acme-web", None), "{names:?}");
        }
        let privileged = Tuning { privileged: true, ..Tuning::default() };
        assert_eq!(segment(&drone, &privileged), "hatchery-acme-web");
        let on = segment(&drone, &with(&["SYS_PTRACE"]));
        assert_eq!((on.as_str(), forgone(&on).as_deref()), (SHARED_NETWORK, Some("NET_RAW")));
    }

    #[test]
    fn a_compose_drone_gets_the_first_free_part_of_the_pool() {
        let pool = ("10.213.0.0".parse().expect("an address"), 26);
        let taken = |list: &[&str]| -> Vec<Subnet> {
            list.iter().map(|text| Subnet::parse(text).expect("a subnet")).collect()
        };
        let free = |list: &[&str]| free_part(pool, &taken(list)).map(|part| part.to_string());
        assert_eq!(free(&["172.17.0.0/16"]).as_deref(), Some("10.213.0.0/28"));
        assert_eq!(free(&["10.213.0.0/27"]).as_deref(), Some("10.213.0.32/28"));
        assert_eq!(free(&["10.213.0.0/28", "10.213.0.32/28"]).as_deref(), Some("10.213.0.16/28"));
        assert_eq!(free(&["10.0.0.0/8"]), None);
        assert_eq!(free(&["0.0.0.0/0"]), None);
    }
}
