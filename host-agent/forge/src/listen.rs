//! Where the forge may listen, and who is there already.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use tokio::net::TcpListener;

/// Why an address could not be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The forge is for this machine and its containers.
    #[error("the local forge listens on loopback and private bridge addresses only, not on {0}")]
    Public(IpAddr),
    /// Somebody else has the port.
    #[error("{addr} is in use by {holder}; stop that, or give the forge another `listen` address")]
    Taken {
        /// The address.
        addr: SocketAddr,
        /// The program, as far as it can be told.
        holder: String,
    },
    /// Anything else.
    #[error("cannot listen on {addr}")]
    Io {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Listens on a loopback or private address.
///
/// # Errors
/// When the address is another, taken, or not this machine's.
pub async fn bind(addr: SocketAddr) -> Result<TcpListener, ListenError> {
    if !is_local(addr.ip()) {
        return Err(ListenError::Public(addr.ip()));
    }
    match TcpListener::bind(addr).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let holder = tokio::task::spawn_blocking(move || holder(addr)).await.ok().flatten();
            let holder = holder.unwrap_or_else(|| "another program".to_owned());
            Err(ListenError::Taken { addr, holder })
        }
        Err(source) => Err(ListenError::Io { addr, source }),
    }
}

/// True for loopback, private and link-local-unique addresses: what bridges of Docker have. The
/// unspecified address is none of them, it would listen on all.
fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    }
}

/// Name and pid of the process that listens on a port, from `/proc`: those of other users' are
/// visible to root only.
fn holder(addr: SocketAddr) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| listening_inode(&table, addr.port()))?;
    let socket = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        holds(&entry.path(), &socket).then(|| {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            format!("`{}` (pid {pid})", name.trim())
        })
    })
}

fn holds(process: &Path, socket: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    let mut targets = descriptors.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    targets.any(|target| target.as_os_str() == socket)
}

/// Inode of the socket that listens (state 0A) on a port, from a table of proc(5).
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = u16::from_str_radix(fields.get(1)?.rsplit(':').next()?, 16).ok()?;
        (local == port && *fields.get(3)? == "0A").then(|| fields.get(9)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_and_unspecified_addresses_are_refused() {
        for local in ["127.0.0.1", "127.9.9.9", "172.17.0.1", "10.0.0.1", "192.168.1.1", "::1"] {
            assert!(is_local(local.parse().unwrap()), "{local}");
        }
        for public in ["0.0.0.0", "::", "8.8.8.8", "169.254.1.1", "100.64.0.1", "2001:db8::1"] {
            assert!(!is_local(public.parse().unwrap()), "{public}");
        }
    }

    #[tokio::test]
    async fn a_taken_port_names_its_holder() {
        let first = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let error = bind(first.local_addr().unwrap()).await.unwrap_err();
        let pid = std::process::id().to_string();
        assert!(error.to_string().contains(&pid), "{error}");
    }
}
