//! Requests to one forge's API: https (plain http to loopback only), own roots, no proxies from the environment, a
//! deadline, a bounded answer, redirects within the forge only.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::zeroize::Zeroizing;

use super::SetUpError;
use super::redact::redact;
use super::resolve::Resolver;
use crate::config::ForgeConfig;
use crate::secret::Token;

/// Longest time for one request and its answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longest time for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Connections are kept this long: a mint's few calls share one, an idle forge costs nothing.
const IDLE: Duration = Duration::from_secs(15);
/// Largest answer, in bytes.
const ANSWER_MAX: usize = 1 << 20;
/// Redirects followed at most.
const HOPS: usize = 3;
/// Promised until March 2028 at least.
const API_VERSION: (&str, &str) = ("x-github-api-version", "2022-11-28");

/// An answer, whatever its status.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; may hold a token.
    pub body: Zeroizing<Vec<u8>>,
    /// The path that it came from, after redirects.
    pub path: String,
}

/// Why there is none, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// A client for one forge.
#[derive(Debug)]
pub struct Http {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    scheme: Scheme,
    authority: Authority,
    /// `/api/v3` on Enterprise Server, empty on github.com.
    base_path: String,
}

impl Http {
    /// For the API of `forge`; connects nowhere yet.
    ///
    /// # Errors
    /// When `api_url` is no https address or the private CA cannot be read.
    pub fn new(forge: &ForgeConfig) -> Result<Self, SetUpError> {
        let bad_url = || SetUpError::Url { host: forge.host.clone() };
        let base: Uri = forge.api_url.parse().map_err(|_| bad_url())?;
        let authority = base.authority().cloned().ok_or_else(bad_url)?;
        let plain = base.scheme() == Some(&Scheme::HTTP) && is_loopback(authority.host());
        if base.scheme() != Some(&Scheme::HTTPS) && !plain {
            return Err(bad_url());
        }
        let base_path = base.path().trim_end_matches('/').to_owned();
        let mut tcp =
            HttpConnector::new_with_resolver(Resolver::new(forge.host.clone(), forge.address));
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls(forge.ca_file.as_deref())?);
        let tls = if plain { tls.https_or_http() } else { tls.https_only() };
        let connector = tls.enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(2)
            .http1_max_buf_size(64 << 10)
            .build(connector);
        let scheme = if plain { Scheme::HTTP } else { Scheme::HTTPS };
        Ok(Self { client, scheme, authority, base_path })
    }

    /// Asks for `path` below the API's base. A redirect of a `GET` is followed when it stays with
    /// this very forge; `bearer` never goes anywhere else.
    ///
    /// # Errors
    /// When nothing usable came back in time.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        bearer: Option<&Token>,
        body: Vec<u8>,
    ) -> Result<Answer, NoAnswer> {
        let mut target = format!("{}{path}", self.base_path);
        let body = Bytes::from(body);
        for _ in 0..=HOPS {
            let request = self.request(&method, &target, bearer, body.clone())?;
            let answer =
                tokio::time::timeout(DEADLINE, self.exchange(request, &target)).await.map_err(
                    |_| NoAnswer(format!("no answer within {} s", DEADLINE.as_secs())),
                )??;
            let redirected = matches!(answer.status.as_u16(), 301 | 302 | 307 | 308);
            if method != Method::GET || !redirected {
                return Ok(answer);
            }
            target = self.redirect(&answer.headers)?;
        }
        Err(NoAnswer(format!("more than {HOPS} redirects")))
    }

    fn request(
        &self,
        method: &Method,
        target: &str,
        bearer: Option<&Token>,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, NoAnswer> {
        let unsendable = |_| NoAnswer("the request cannot be put in words".to_owned());
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(target)
            .build()
            .map_err(unsendable)?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        let agent = concat!("hatchery/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers.insert(API_VERSION.0, HeaderValue::from_static(API_VERSION.1));
        if let Some(bearer) = bearer {
            let text = Zeroizing::new(format!("Bearer {}", bearer.expose()));
            let mut value =
                HeaderValue::from_str(&text).map_err(|error| unsendable(error.into()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        target: &str,
    ) -> Result<Answer, NoAnswer> {
        let response =
            self.client.request(request).await.map_err(|error| NoAnswer(chain(&error)))?;
        let (head, incoming) = response.into_parts();
        let mut incoming = Limited::new(incoming, ANSWER_MAX);
        let mut body = Zeroizing::new(Vec::new());
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| NoAnswer(chain(&*error)))?;
            if let Some(data) = frame.data_ref() {
                body.extend_from_slice(data);
            }
        }
        Ok(Answer { status: head.status, headers: head.headers, body, path: target.to_owned() })
    }

    /// Path and query of a redirect that stays with this forge.
    fn redirect(&self, headers: &HeaderMap) -> Result<String, NoAnswer> {
        let location: Option<Uri> = headers
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok());
        let location = location.ok_or_else(|| NoAnswer("a redirect to nowhere".to_owned()))?;
        let ours = match (location.scheme(), location.authority()) {
            (None, None) => true,
            (scheme, authority) => {
                scheme == Some(&self.scheme) && authority == Some(&self.authority)
            }
        };
        let target = location.path_and_query().map(PathAndQuery::as_str);
        target
            .filter(|target| ours && target.starts_with('/'))
            .map(str::to_owned)
            .ok_or_else(|| NoAnswer("a redirect to another host, which is not followed".to_owned()))
    }
}

/// Whether what is sent to `host` stays on this machine.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn tls(ca_file: Option<&Path>) -> Result<rustls::ClientConfig, SetUpError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default protocol versions");
    // A private CA stands alone: no other authority can vouch for that forge.
    let config = match ca_file {
        None => config.with_webpki_roots(),
        Some(path) => config.with_root_certificates(roots(path)?),
    };
    Ok(config.with_no_client_auth())
}

fn roots(path: &Path) -> Result<rustls::RootCertStore, SetUpError> {
    let no_authority = || SetUpError::Authority { path: path.to_owned() };
    let pem =
        std::fs::read(path).map_err(|source| SetUpError::File { path: path.to_owned(), source })?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| no_authority())?;
        roots.add(certificate).map_err(|_| no_authority())?;
    }
    if roots.is_empty() { Err(no_authority()) } else { Ok(roots) }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    redact(&text)
}
