//! Name resolution with the configured address of a forge that DNS does not know.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hatchery_protocol::ForgeHost;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

/// Resolves the forge's own names to `address`, where there is one, and all others as usual.
#[derive(Debug, Clone)]
pub struct Resolver {
    host: ForgeHost,
    address: Option<IpAddr>,
}

impl Resolver {
    /// For one forge.
    pub fn new(host: ForgeHost, address: Option<IpAddr>) -> Self {
        Self { host, address }
    }

    /// The fixed address for `name`: the forge's host itself or a name below it (`api.<host>`).
    fn fixed(&self, name: &str) -> Option<IpAddr> {
        let name = name.to_ascii_lowercase();
        let below = name.strip_suffix(self.host.as_str())?;
        self.address.filter(|_| below.is_empty() || below.ends_with('.'))
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let fixed = self.fixed(name.as_str());
        Box::pin(async move {
            // Port 0: the connector puts in the one of the address asked for.
            let found: Vec<SocketAddr> = match fixed {
                Some(address) => vec![SocketAddr::new(address, 0)],
                None => tokio::net::lookup_host((name.as_str(), 0)).await?.collect(),
            };
            Ok(found.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_forges_own_names_get_its_address() {
        let host: ForgeHost = "forge.test".parse().expect("a host");
        let resolver = Resolver::new(host.clone(), Some(IpAddr::from([127, 0, 0, 1])));
        for (name, own) in [
            ("forge.test", true),
            ("API.forge.test", true),
            ("evilforge.test", false),
            ("forge.test.evil", false),
            ("github.com", false),
        ] {
            assert_eq!(resolver.fixed(name).is_some(), own, "{name}");
        }
        assert_eq!(Resolver::new(host, None).fixed("forge.test"), None);
    }
}
