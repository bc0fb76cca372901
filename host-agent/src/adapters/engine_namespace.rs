//! The network namespace that the engine's bridges are in: this process's own, or, where the engine
//! runs without root, one of its user's. Whoever listens on the engine's socket lives in it.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;

use super::Machine;
use crate::lifecycle::network::{Outlook, nameservers};

/// Enters the namespaces of another process; of util-linux.
const NSENTER: &str = "nsenter";

/// How long the engine may take to accept a connection.
const ACCEPT: Duration = Duration::from_secs(5);

/// Where the engine's networks are.
#[derive(Debug, PartialEq, Eq)]
pub enum Namespace {
    /// Where this process is too.
    Ours,
    /// In the namespaces of an engine of this user's.
    Of(u32),
    /// Nobody can tell: the reason.
    Unknown(String),
}

impl Machine {
    /// Where the engine's networks are now; it may have been started anew.
    pub(super) async fn namespace(&self) -> Namespace {
        Namespace::of_engine(&self.programs.docker_socket).await
    }
}

/// The namespace of the process that listens on `socket`.
async fn of_listener(socket: &Path) -> io::Result<Namespace> {
    let connection = tokio::time::timeout(ACCEPT, UnixStream::connect(socket));
    let pid = connection.await.map_err(io::Error::other)??.peer_cred()?.pid();
    let pid = pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
    let pid = pid.ok_or_else(|| io::Error::other("nobody sees who listens on its socket"))?;
    let network = |of: &str| Path::new("/proc").join(of).join("ns/net").metadata();
    let theirs = network(&pid.to_string()).map_err(|_| {
        io::Error::other("the engine is not this user's, so neither is the network of its drones")
    })?;
    let same = network("self")?.ino() == theirs.ino();
    Ok(if same { Namespace::Ours } else { Namespace::Of(pid) })
}

impl Namespace {
    /// Of the engine that listens on `socket`.
    pub async fn of_engine(socket: &Path) -> Self {
        if rustix::process::geteuid().is_root() {
            return Self::Ours;
        }
        of_listener(socket)
            .await
            .unwrap_or_else(|error| Self::Unknown(format!("without root, and {error}")))
    }

    /// `program` and its arguments as they are run in the namespace.
    ///
    /// # Errors
    /// Why it cannot be entered.
    pub fn enter(self, program: &str, arguments: &[&str]) -> Result<(String, Vec<String>), String> {
        let own = arguments.iter().map(|&argument| argument.to_owned());
        match self {
            Self::Ours => Ok((program.to_owned(), own.collect())),
            Self::Of(pid) => {
                // Its mounts too: the firewall's lock is a file.
                let words = ["--preserve-credentials", "-U", "-n", "-m", "-t"];
                let words = words.map(str::to_owned).into_iter();
                // A user's PATH may lack where these programs are.
                let program = find(program);
                let entered = words.chain([pid.to_string(), program]).chain(own);
                Ok((NSENTER.to_owned(), entered.collect()))
            }
            Self::Unknown(reason) => Err(reason),
        }
    }

    /// What containers behind it get to see of the world.
    pub(super) async fn outlook(self) -> Outlook {
        let resolv_conf = match &self {
            Self::Of(pid) => format!("/proc/{pid}/root/etc/resolv.conf"),
            Self::Ours | Self::Unknown(_) => "/etc/resolv.conf".to_owned(),
        };
        let text = tokio::fs::read_to_string(resolv_conf).await.unwrap_or_default();
        let resolvers = nameservers(&text);
        let Self::Of(pid) = self else { return Outlook { resolvers, host: vec![] } };
        let routes = format!("/proc/{pid}/net/route");
        let routes = tokio::fs::read_to_string(routes).await.unwrap_or_default();
        let mut host: Vec<_> = gateways(&routes).map(IpAddr::V4).collect();
        // A resolver of that network is the host under another name, on every port.
        host.extend(resolvers.iter().copied());
        host.extend(own_addresses());
        host.sort_unstable();
        host.dedup();
        Outlook { resolvers, host }
    }
}

/// Where a program of the system's is, if it is at a usual place.
fn find(program: &str) -> String {
    let usual = ["/usr/sbin", "/sbin", "/usr/bin", "/usr/local/sbin"];
    let found = usual.iter().map(|place| PathBuf::from(place).join(program));
    let found = found.into_iter().find(|file| file.is_file());
    found.map_or_else(|| program.to_owned(), |file| file.display().to_string())
}

/// Gateways of the default routes in a `/proc/<pid>/net/route` (addresses in the machine's order).
fn gateways(routes: &str) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let gateway = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (to, by) = (fields.next()?, fields.next()?);
        let by = u32::from_str_radix(by, 16).ok().filter(|by| *by != 0)?;
        (to == "00000000").then(|| Ipv4Addr::from(by.to_ne_bytes()))
    };
    routes.lines().skip(1).filter_map(gateway)
}

/// Addresses of this host that its neighbours reach it by.
fn own_addresses() -> Vec<IpAddr> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return vec![] };
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    };
    all.filter_map(address).filter(|address| !address.is_loopback()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_gateways_are_found() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
            tap0\t00000000\t0202000A\t0003\t0\t0\t0\t00000000\n\
            docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\nbroken\n";
        let expected = Ipv4Addr::from(0x0202_000A_u32.to_ne_bytes());
        assert_eq!(gateways(routes).collect::<Vec<_>>(), [expected]);
    }

    #[tokio::test]
    async fn who_listens_here_is_where_we_are() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("s");
        assert!(of_listener(&socket).await.is_err());
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bind");
        assert_eq!(of_listener(&socket).await.expect("a namespace"), Namespace::Ours);
        let refused = Namespace::Unknown("why".to_owned()).enter("iptables", &[]);
        assert_eq!(refused, Err("why".to_owned()));
        let (program, arguments) = Namespace::Of(7).enter("iptables", &["-S"]).expect("entered");
        assert_eq!(program, NSENTER);
        assert!(arguments.join(" ").contains("-t 7 "), "{arguments:?}");
        assert_eq!(arguments.last().map(String::as_str), Some("-S"));
    }
}
