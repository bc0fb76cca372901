//! A forge of one test, and clients for it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use local_forge::{
    Builder, InstallationSpec, Level, LocalForge, Permissions, RepositorySpec, RunningForge,
};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::{net::TcpStream, process::Command, time::timeout};

/// No single step of a test takes longer.
const STEP: Duration = Duration::from_secs(60);

/// A running forge with its data directory.
pub struct Forge {
    pub running: RunningForge,
    pub dir: tempfile::TempDir,
}

impl std::ops::Deref for Forge {
    type Target = RunningForge;

    fn deref(&self) -> &RunningForge {
        &self.running
    }
}

/// One key for all forges of this binary: making one is slow without optimisation.
pub fn app_key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| local_forge::make_app_key().unwrap())
}

pub fn permissions(items: &[(&str, Level)]) -> Permissions {
    items.iter().copied().collect()
}

pub fn repository(owner: &str, name: &str) -> RepositorySpec {
    RepositorySpec {
        owner: owner.into(),
        name: name.into(),
        files: [("README.md".into(), format!("# {name}\n").as_str().into())].into(),
        ..RepositorySpec::default()
    }
}

/// acme has `web`, `api` (both private, installed, most permissions) and `secret` (not chosen).
pub fn acme(builder: Builder) -> Builder {
    let granted = permissions(&[
        ("actions", Level::Write),
        ("checks", Level::Read),
        ("contents", Level::Write),
        ("issues", Level::Write),
        ("pull_requests", Level::Write),
        ("statuses", Level::Read),
    ]);
    builder
        .app_private_key(app_key())
        .repository(repository("acme", "web"))
        .repository(repository("acme", "api"))
        .repository(repository("acme", "secret"))
        .repository(RepositorySpec { public: true, ..repository("octo", "open") })
        .installation(InstallationSpec {
            account: "acme".into(),
            permissions: granted,
            repositories: Some(vec!["web".into(), "api".into()]),
            ..InstallationSpec::default()
        })
}

pub async fn start() -> Forge {
    let dir = tempfile::tempdir().unwrap();
    let builder = LocalForge::builder(dir.path()).listen("127.0.0.1:0".parse().unwrap());
    Forge { running: acme(builder).start().await.unwrap(), dir }
}

impl Forge {
    pub fn installation(&self) -> u64 {
        self.state(|state| state.installations.values().next().unwrap().id)
    }

    pub fn repo_id(&self, owner: &str, name: &str) -> u64 {
        self.state(|state| state.repository(owner, name).unwrap().id)
    }

    /// A JWT as the App signs it, with these claims in place of the usual ones.
    pub fn jwt_with(&self, claims: &Value) -> String {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let mut all = json!({"iss": self.app_client_id(), "iat": now - 60, "exp": now + 540});
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        let key = jsonwebtoken::EncodingKey::from_rsa_pem(app_key().as_bytes()).unwrap();
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
        jsonwebtoken::encode(&header, &all, &key).unwrap()
    }

    pub fn jwt(&self) -> String {
        self.jwt_with(&json!({}))
    }

    /// An HTTP client that outlives the forge.
    pub fn client(&self) -> Client {
        Client { addr: self.addr(), ca_pem: self.ca_pem().to_owned() }
    }

    pub fn get(&self, path: &str) -> Call {
        self.client().call("GET", path, None)
    }

    pub fn post(&self, path: &str, body: Value) -> Call {
        self.client().call("POST", path, Some(body))
    }

    pub async fn mint_raw(&self, body: Value) -> Reply {
        let path = format!("/app/installations/{}/access_tokens", self.installation());
        self.post(&path, body).bearer(&self.jwt()).send().await
    }

    /// A token for some of acme's repositories.
    pub async fn mint(&self, repos: &[&str], permissions: Value) -> String {
        let ids: Vec<u64> = repos.iter().map(|name| self.repo_id("acme", name)).collect();
        let reply = self.mint_raw(json!({"repository_ids": ids, "permissions": permissions})).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
        reply.body["token"].as_str().unwrap().to_owned()
    }

    /// The real git, with a token for `x-access-token` (none: anonymous).
    pub async fn git(&self, dir: &Path, token: Option<&str>, args: &[&str]) -> Output {
        let mut command = Command::new("git");
        self.scrub(&mut command, dir);
        if let Some(token) = token {
            let helper = "!f() { echo username=x-access-token; echo password=$TEST_TOKEN; }; f";
            command.env("TEST_TOKEN", token);
            command.args(["-c", &format!("credential.helper={helper}")]);
        }
        command.args(["-c", "user.name=Test", "-c", "user.email=test@example.com"]).args(args);
        finish(command).await
    }

    pub fn scrub(&self, command: &mut Command, dir: &Path) {
        let path = std::env::var_os("PATH").unwrap();
        command.env_clear().env("PATH", path).env("HOME", self.dir.path()).current_dir(dir);
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
        command.env("GIT_SSL_CAINFO", self.ca_path()).env("LC_ALL", "C");
        command.env("SSL_CERT_FILE", self.ca_path());
        command.stdin(Stdio::null()).kill_on_drop(true);
    }

    /// A clone of `acme/<name>` in a directory of its own.
    pub async fn clone_of(&self, name: &str, token: &str) -> PathBuf {
        let url = format!("{}/acme/{name}.git", self.url());
        let target = self.dir.path().join(format!("clone-{}", self.calls().len()));
        let text = target.display().to_string();
        let output = self.git(self.dir.path(), Some(token), &["clone", "-q", &url, &text]).await;
        assert!(output.status.success(), "{}", stderr(&output));
        target
    }

    /// Writes a file in a clone and commits it.
    pub async fn commit(&self, clone: &Path, path: &str, content: &str) {
        let file = clone.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
        for args in [&["add", "."][..], &["commit", "-qm", "Change"]] {
            let output = self.git(clone, None, args).await;
            assert!(output.status.success(), "{}", stderr(&output));
        }
    }
}

pub async fn finish(mut command: Command) -> Output {
    timeout(STEP, command.output()).await.expect("within the deadline").unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn agent() -> Vec<(&'static str, String)> {
    vec![("user-agent", "local-forge-tests".into())]
}

/// A client that trusts one forge.
pub struct Client {
    addr: SocketAddr,
    ca_pem: String,
}

impl Client {
    pub fn call(self, method: &'static str, path: &str, body: Option<Value>) -> Call {
        Call { client: self, method, path: path.into(), headers: agent(), body }
    }
}

/// A REST or GraphQL call that is being put together.
pub struct Call {
    client: Client,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
}

/// Its answer.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Reply {
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Call {
    pub fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub async fn send(self) -> Reply {
        timeout(STEP, self.exchange()).await.expect("within the deadline").expect("an answer")
    }

    pub async fn exchange(self) -> Result<Reply, Box<dyn std::error::Error>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.client.ca_pem.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = TcpStream::connect(self.client.addr).await?;
        let name = ServerName::from(self.client.addr.ip());
        let tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        let mut request = Request::builder().method(self.method).uri(&self.path);
        request = request.header("host", self.client.addr.to_string());
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let body = self.body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body)))?;
        let answer = async move {
            let reply = sender.send_request(request).await?;
            let (parts, body) = reply.into_parts();
            let text = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
            Ok::<_, hyper::Error>((parts, text))
        };
        let (parts, text) = tokio::join!(answer, connection).0?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Reply { status: parts.status, headers: parts.headers, body, text })
    }
}
