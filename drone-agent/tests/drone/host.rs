//! A host agent for one drone, as small as it can be: answers by path, and remembers what it was
//! asked.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The token that it gives out.
pub const TOKEN: &str = "ghs_12345_eyJhbGciOiJSUzI1NiJ9.a-b_c";
/// SHA-256 of [`TOKEN`], by `sha256sum`.
pub const TOKEN_SHA256: &str = "047230d00cf14f6ccb7b29c9ba66fab310e7c207a416cdd3c48a00e43d77446a";
/// The binary under test.
pub const AGENT: &str = env!("CARGO_BIN_EXE_drone-agent");

/// A running host agent and a directory to work in.
pub struct Host {
    dir: tempfile::TempDir,
    requests: Arc<Mutex<Vec<String>>>,
    server: Option<JoinHandle<()>>,
}

impl Host {
    /// One that listens, for `acme/web` on `forge.test`, with `acme/lib` granted too.
    pub fn up() -> Self {
        let mut host = Self::absent();
        fs::create_dir(host.socket_dir()).expect("made");
        let listener = UnixListener::bind(host.socket()).expect("a listener");
        let requests = Arc::clone(&host.requests);
        host.server = Some(std::thread::spawn(move || serve(&listener, &requests)));
        host
    }

    /// No socket, nor a place for one: not a drone.
    pub fn absent() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["wrappers", "real"] {
            fs::create_dir(dir.path().join(name)).expect("made");
        }
        symlink(AGENT, dir.path().join("git-credential-hatchery")).expect("linked");
        symlink(AGENT, dir.path().join("wrappers/gh")).expect("linked");
        Self { dir, requests: Arc::default(), server: None }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn socket_dir(&self) -> PathBuf {
        self.path("run")
    }

    fn socket(&self) -> PathBuf {
        self.socket_dir().join("agent.sock")
    }

    /// What was asked, as `METHOD PATH BODY`.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no test panicked with it").clone()
    }

    /// An executable script in the directory.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
        path
    }

    /// `program` in this drone, with nothing else in its environment.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let wrappers = self.path("wrappers");
        let real = self.path("real");
        let mut command = Command::new(program.as_ref());
        command
            .env_clear()
            .env("PATH", format!("{}:{}:/usr/bin:/bin", wrappers.display(), real.display()))
            .env("HOME", self.dir.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("DRONE_AGENT_DIR", self.socket_dir())
            .current_dir(self.dir.path());
        command
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            let stopped = UnixStream::connect(self.socket())
                .and_then(|mut stream| stream.write_all(b"STOP / HTTP/1.1\r\n\r\n"));
            if stopped.is_ok() {
                let _ = server.join();
            }
        }
    }
}

/// Runs `command` with `input` on stdin.
pub fn run(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    // Who refuses its input early does not read all of it.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("ended")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn serve(listener: &UnixListener, requests: &Mutex<Vec<String>>) {
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let Some((method, path, body)) = read_request(&stream) else { continue };
        if method == "STOP" {
            return;
        }
        requests
            .lock()
            .expect("no test panicked with it")
            .push(format!("{method} {path} {body}").trim_end().to_owned());
        let (status, body) = answer(&path);
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    }
}

fn read_request(stream: &UnixStream) -> Option<(String, String, String)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? <= 2 {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, path, text(&body)))
}

fn answer(path: &str) -> (u16, String) {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let repos = query.split('&').filter_map(|pair| pair.strip_prefix("repo="));
    let unknown = repos.clone().find(|repo| !["acme/web", "acme/lib"].contains(repo));
    match (path.split('?').next(), unknown) {
        (Some("/v1/token"), Some("other/web")) => problem("many-installations", "acme and other"),
        (Some("/v1/token"), Some(repo)) => {
            problem("not-granted", &format!("acme-web was not granted {repo}"))
        }
        (Some("/v1/token"), None) => (
            200,
            format!(
                r#"{{"token":"{TOKEN}","expires_at":"2099-01-01T00:00:00Z","expires_at_unix":4070908800,
                "repositories":["acme/web"],"permissions":{{"contents":"write"}},"host":"forge.test","new":1}}"#
            ),
        ),
        (Some("/v1/token/rejected"), _) => (204, String::new()),
        (Some("/v1/identity"), _) => (200, identity()),
        _ => problem("not-found", path),
    }
}

fn identity() -> String {
    let granted = |name: &str| {
        format!(r#"{{"name":"{name}","permissions":{{"contents":"write"}},"installation":"1"}}"#)
    };
    format!(
        r#"{{"drone":"acme-web","repo":"acme/web","forge":"forge.test","git_url":"https://forge.test",
        "granted":[{},{}],"host_agent_version":"9.9.9","ca_pem":"CERTIFICATE\n"}}"#,
        granted("acme/web"),
        granted("acme/lib")
    )
}

fn problem(kind: &str, detail: &str) -> (u16, String) {
    let kind = format!("urn:hatchery:{kind}");
    (403, format!(r#"{{"type":"{kind}","title":"t","status":403,"detail":"{detail}"}}"#))
}
