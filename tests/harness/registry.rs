//! A real registry in the main engine's network, each test's own: images by Docker's client, features
//! by the devcontainer CLI's publisher.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Bed, Run, bed, nursery, wait_until};

/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(20);

/// What manifests are asked for as.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json,\
                         application/vnd.docker.distribution.manifest.v2+json";

/// A registry that asks nobody who they are; ends when dropped.
#[derive(Debug)]
pub struct Registry {
    bed: Bed,
    port: u16,
    home: TempDir,
    process: Option<Child>,
}

impl Registry {
    /// Starts one on a port that no other test has. Plain HTTP is spoken with `localhost` alone.
    pub fn start(bed: Bed) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        // Free at the moment: others here take theirs in the same way.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let config = json!({
            "version": 0.1,
            "log": {"accesslog": {"disabled": true}, "level": "info", "formatter": "json"},
            "storage": {"filesystem": {"rootdirectory": home.path().join("data")}},
            "http": {"addr": format!("127.0.0.1:{port}")},
        });
        std::fs::write(home.path().join("config.yml"), config.to_string()).expect("written");
        let mut registry = Self { bed, port, home, process: None };
        registry.start_again();
        registry
    }

    /// Starts it with what it had.
    pub fn start_again(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.log_file());
        let mut command = self.bed.command("setpriv");
        command.args(["--pdeathsig", "KILL", &bed::setting("HATCHERY_TEST_REGISTRY"), "serve"]);
        command.arg(self.home.path().join("config.yml"));
        command.stdout(std::process::Stdio::null()).stderr(log.expect("a log"));
        self.process = Some(nursery::start(command));
        wait_until("the registry", LIMIT, || {
            (self.curl(&["-o", "/dev/null", &self.url("")]).code == 0).then_some(())
        });
    }

    /// Ends it; what it has stays.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// `localhost:<port>`.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// A reference to something in it.
    pub fn reference(&self, path: &str) -> String {
        format!("{}/{path}", self.host())
    }

    /// Paths that it was asked for so far.
    pub fn requests(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| Some(line["http.request.uri"].as_str()?.to_owned())).collect()
    }

    /// Publishes a feature with the devcontainer CLI: `manifest` without id, version and name;
    /// returns the feature's digest. Its tags are the version, and what of it is less exact.
    pub fn publish(&self, path: &str, version: &str, manifest: &Value, install: &str) -> String {
        let (namespace, id) = path.rsplit_once('/').expect("a namespace");
        let sources = tempfile::tempdir().expect("a directory");
        let folder = sources.path().join(id);
        std::fs::create_dir(&folder).expect("a folder");
        let mut whole = json!({"id": id, "version": version, "name": id});
        if let (Some(whole), Value::Object(more)) = (whole.as_object_mut(), manifest.clone()) {
            whole.extend(more);
        }
        let write =
            |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("write");
        write("devcontainer-feature.json", &whole.to_string());
        write("install.sh", &format!("#!/bin/sh\nset -e\n{install}\n"));
        let program = bed::setting("HATCHERY_TEST_DEVCONTAINER");
        let mut command = self.bed.command(&program);
        command.args(["features", "publish", "-r", &self.host(), "-n", namespace]);
        let run = Run::of(command.arg(sources.path()));
        let said: Value = serde_json::from_str(run.ok()).expect("JSON");
        said[id]["digest"].as_str().unwrap_or_else(|| panic!("{}", run.report())).to_owned()
    }

    /// Pushes a copy of an image of the engine's that says `mark` in `/mark`; returns its digest.
    pub fn push(&self, image: &str, path: &str, mark: &str) -> String {
        let context = tempfile::tempdir().expect("a directory");
        let text = format!("FROM {image}\nRUN echo {mark} >/mark\n");
        std::fs::write(context.path().join("Dockerfile"), text).expect("write");
        let reference = self.reference(path);
        let folder = context.path().display().to_string();
        self.bed.docker(&["build", "-q", "-t", &reference, &folder]).ok();
        self.bed.docker(&["push", "-q", &reference]).ok();
        let digests =
            self.bed.docker(&["inspect", "-f", "{{join .RepoDigests \" \"}}", &reference]);
        let digest = digests.ok().split('@').nth(1).expect("a digest").to_owned();
        self.bed.docker(&["rmi", "-f", &reference]).ok();
        digest
    }

    /// The shell command that moves the tag `to` of something to where `from` is.
    pub fn retag(&self, path: &str, from: &str, to: &str) -> String {
        let url = |tag: &str| self.url(&format!("{path}/manifests/{tag}"));
        let file = self.home.path().join("moved");
        let file = file.display();
        format!(
            "type=$(curl -fsS -H 'Accept: {MANIFESTS}' -o {file} -w '%{{content_type}}' {}) && \
             curl -fsS -X PUT -H \"Content-Type: $type\" --data-binary @{file} {}",
            url(from),
            url(to)
        )
    }

    /// The digest that a tag means now.
    pub fn digest(&self, path: &str, tag: &str) -> String {
        let url = self.url(&format!("{path}/manifests/{tag}"));
        let head = self.curl(&["-I", "-H", &format!("Accept: {MANIFESTS}"), &url]);
        let lines = head.ok().lines();
        let digest = lines.filter_map(|line| line.strip_prefix("Docker-Content-Digest: ")).next();
        digest.expect("a digest").trim().to_owned()
    }

    fn url(&self, below: &str) -> String {
        format!("http://{}/v2/{below}", self.host())
    }

    fn curl(&self, args: &[&str]) -> Run {
        Run::of(self.bed.command("curl").args(["-fsS", "-m", "10"]).args(args))
    }

    fn log_file(&self) -> std::path::PathBuf {
        self.home.path().join("log")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Something that listens where a registry could be, takes every connection and says nothing.
#[derive(Debug)]
pub struct Silent {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Silent {
    /// Listens on a port of its own; the tests run in the main engine's network.
    pub fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        // Ends with the tests' process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut stream = stream;
                let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
                let _ = stream.read(&mut [0; 1024]);
            }
        });
        Self { port, connections }
    }

    /// `localhost:<port>`.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// How often somebody connected so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A devcontainer CLI that does `script` once before its first build; returns its path in `folder`.
pub fn devcontainer_that(script: &str, folder: &Path) -> String {
    let path = folder.join("devcontainer");
    let once = folder.join("done");
    let (once, real) = (once.display(), bed::setting("HATCHERY_TEST_DEVCONTAINER"));
    let text = format!(
        "#!/bin/sh\nset -e\nif [ \"$1\" = build ] && [ ! -e {once} ]; then\n\
         {{ {script}; }} >{once} 2>&1\nfi\nexec {real} \"$@\"\n"
    );
    std::fs::write(&path, text).expect("written");
    Run::of(Command::new("chmod").arg("+x").arg(&path)).ok();
    path.display().to_string()
}
