//! `hatchery forge serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use local_forge::{RunningForge, ServeOptions, StartError};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::logging::{self, LogFormat};
use crate::cli::terminal::Terminal;
use crate::cli::{Global, Stop, messages};
use crate::lifecycle::{Failure, FailureKind};

/// Run the forge until SIGTERM or Ctrl-C
///
/// Prints, once it listens, what a configuration needs to use it: a `[[forge]]` table, or with
/// --json one JSON object. What it holds lives in its data directory.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Listen here with TLS: loopback or a bridge's address; the real gh needs port 443
    #[arg(long, value_name = "ADDR:PORT", required_unless_present = "listen_plain")]
    listen: Option<SocketAddr>,
    /// Listen here without TLS, for tests
    #[arg(long, value_name = "ADDR:PORT")]
    listen_plain: Option<SocketAddr>,
    /// Host name in certificate and URLs; may be repeated, the first is used in URLs
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Form of minted tokens
    #[arg(long, value_enum, default_value = "stateless", value_name = "FORM")]
    token_format: TokenFormat,
    /// How log lines look
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
}

/// GitHub's two forms of tokens.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum TokenFormat {
    /// 40 characters
    Short,
    /// About 520 characters
    Stateless,
}

/// What a configuration needs.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct ForgeReady {
    /// Host, or address where it has no name.
    pub host: String,
    /// Base of git's URLs.
    pub git_url: String,
    /// Base of the REST API.
    pub api_url: String,
    /// The address that it listens on.
    pub address: String,
    /// The authority to trust.
    pub ca_file: String,
    /// The App's number.
    pub app_id: u64,
    /// The App's client id.
    pub client_id: String,
    /// The App's key.
    pub private_key_file: String,
    /// Where `hatchery forge repo|app|user|admin` reach it.
    pub admin_socket: String,
}

impl ForgeReady {
    fn of(forge: &RunningForge, hosts: &[String]) -> Self {
        let address = forge.addr().ip().to_string();
        Self {
            host: hosts.first().cloned().unwrap_or_else(|| address.clone()),
            git_url: forge.url(),
            api_url: forge.api_url(),
            address,
            ca_file: forge.ca_path().display().to_string(),
            app_id: forge.app_id(),
            client_id: forge.app_client_id(),
            private_key_file: forge.app_private_key_path().display().to_string(),
            admin_socket: forge.admin_socket().display().to_string(),
        }
    }
}

pub(super) fn run(
    args: ServeArgs,
    data_dir: PathBuf,
    global: &Global,
    terminal: &Terminal,
) -> Result<(), Stop> {
    logging::init(args.log_format, global.verbose, terminal.colour)?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::new(FailureKind::Failed, "cannot start").caused_by(&error))?;
    runtime.block_on(serve(args, data_dir, *terminal))
}

async fn serve(args: ServeArgs, data_dir: PathBuf, terminal: Terminal) -> Result<(), Stop> {
    let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    let [Ok(mut terminate), Ok(mut interrupt)] = signals else {
        return Err(Failure::new(FailureKind::Failed, "cannot catch signals").into());
    };
    let until = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    };
    let hosts = args.hosts.clone();
    let options = ServeOptions {
        data_dir,
        listen: args.listen,
        listen_plain: args.listen_plain,
        hosts: args.hosts,
        token_format: match args.token_format {
            TokenFormat::Short => local_forge::TokenFormat::Short,
            TokenFormat::Stateless => local_forge::TokenFormat::Stateless,
        },
        ..ServeOptions::default()
    };
    let mut told = Ok(());
    let ready = |forge: &RunningForge| {
        let ready = ForgeReady::of(forge, &hosts);
        // It goes on when whoever started it reads no further.
        told = match terminal.json {
            true => terminal.json(&ready),
            false => terminal.data(&messages::forge_table(&ready)),
        };
    };
    local_forge::serve(options, ready, until).await.map_err(|error| not_started(&error))?;
    told
}

fn not_started(error: &StartError) -> Failure {
    let failure = Failure::new(FailureKind::Failed, "the local forge does not start");
    match error {
        StartError::Listen(_) => {
            failure.hint("give another address with --listen").caused_by(error)
        }
        StartError::NoListener | StartError::DataDir { .. } | StartError::Seed(_) => {
            failure.caused_by(error)
        }
    }
}
