//! The forge as a program of its own.

use std::{future::Future, net::SocketAddr, path::PathBuf};

use crate::{
    LocalForge,
    builder::StartError,
    running::RunningForge,
    spec::{InstallationSpec, RepositorySpec, TokenFormat},
};

/// What `hatchery forge` starts with.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// Directory of everything that stays; created.
    pub data_dir: PathBuf,
    /// Address with TLS: loopback or a bridge's, port 443 for the real `gh`.
    pub listen: Option<SocketAddr>,
    /// Address without TLS, for tests.
    pub listen_plain: Option<SocketAddr>,
    /// Host names for the certificate; the first one is used in URLs.
    pub hosts: Vec<String>,
    /// Form of tokens.
    pub token_format: TokenFormat,
    /// Repositories that must be there.
    pub repositories: Vec<RepositorySpec>,
    /// Installations that must be there.
    pub installations: Vec<InstallationSpec>,
}

/// Runs a forge until `until` resolves, then ends it in good order. `ready` is called once it
/// listens: to print its address, or to tell a parent.
///
/// # Errors
/// When it does not start: an address that is refused or taken, a data directory that cannot be
/// used or is used by another forge, a seed that fails.
pub async fn serve(
    options: ServeOptions,
    ready: impl FnOnce(&RunningForge),
    until: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let mut builder = LocalForge::builder(&options.data_dir).token_format(options.token_format);
    if let Some(addr) = options.listen {
        builder = builder.listen(addr);
    }
    if let Some(addr) = options.listen_plain {
        builder = builder.listen_plain(addr);
    }
    builder = options.hosts.iter().fold(builder, |builder, host| builder.host(host));
    builder = options.repositories.into_iter().fold(builder, crate::Builder::repository);
    builder = options.installations.into_iter().fold(builder, crate::Builder::installation);
    let forge = builder.start().await?;
    ready(&forge);
    until.await;
    forge.shutdown().await;
    Ok(())
}
