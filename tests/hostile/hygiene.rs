//! Secrets stay where they belong: the App's key with its owner, tokens in a memory that nobody else
//! reads, and nothing lies about in a drone unnoticed.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use hatchery_tests::{Repo, Run, World, nursery, wait_until, world};

/// A user without rights, in every Debian.
const NOBODY: u32 = 65534;

#[test]
fn an_app_key_that_others_can_read_is_refused_at_the_start() {
    let world = World::shared();
    let home = tempfile::tempdir().expect("a directory");
    let key = home.path().join("app.pem");
    std::fs::copy(world.forge.app_key_file(), &key).expect("copied");
    let config = home.path().join("config.toml");
    let text = "[[forge]]\napp = { client_id = \"x\", private_key_file = \"app.pem\" }\n";
    std::fs::write(&config, text).expect("written");
    for (mode, mend) in [(0o644, "chmod 0600"), (0o606, "chmod 0600"), (0o660, "chmod 0640")] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).expect("set");
        let mut serve = Command::new(world::hatchery());
        serve.arg("serve").env_clear().env("HATCHERY_STATE_DIR", home.path().join("s"));
        let run = Run::of(serve.env("HATCHERY_CONFIG", &config));
        let mode = format!("has mode {mode:04o}");
        let mend = format!("`{mend} {}`", key.display());
        run.code(2).complains("config.toml:2").complains(&mode).complains(&mend);
    }
}

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Starts a program as nobody.
    fn as_nobody(command: &[&str], home: &Path) -> Self {
        let mut start = Command::new("setpriv");
        start.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig=KILL", "--"]);
        start.args(command).env_clear().env("HATCHERY_CONFIG", home.join("config.toml"));
        start.env("HATCHERY_STATE_DIR", home.join("s")).env("PATH", "/usr/bin:/bin");
        start.env("HATCHERY_RUNTIME_DIR", home.join("r")).env("HOME", home);
        let log = std::fs::File::create(home.join("log")).expect("a log");
        start.stdout(log.try_clone().expect("a second handle")).stderr(log);
        Self(nursery::start(start))
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.0.id())
    }

    /// Who may read its memory: the kernel gives these files to root once a process is undumpable
    /// (proc(5)).
    fn memory_belongs_to(&self) -> u32 {
        std::fs::metadata(self.file("mem")).map_or(0, |metadata| metadata.uid())
    }
}

#[test]
fn the_host_agents_memory_is_nobodys_to_read_or_to_dump() {
    let world = World::shared();
    let home = tempfile::tempdir().expect("a directory");
    let key = home.path().join("app.pem");
    std::fs::copy(world.forge.app_key_file(), &key).expect("copied");
    let text = "[[forge]]\napp = { client_id = \"x\", private_key_file = \"app.pem\" }\n\
         [tailnet]\ncontrol = \"none\"\n";
    std::fs::write(home.path().join("config.toml"), text).expect("written");
    for path in [home.path(), &key, &home.path().join("config.toml")] {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("given away");
    }
    let limit = Duration::from_secs(20);
    let ordinary = Running::as_nobody(&["sleep", "600"], home.path());
    wait_until("an ordinary process to be one", limit, || {
        (ordinary.memory_belongs_to() == NOBODY).then_some(())
    });
    let program = world::hatchery().display().to_string();
    let agent = Running::as_nobody(&[&program, "serve"], home.path());
    wait_until("the host agent to hide its memory", limit, || {
        let runs = home.path().join("r/control.sock").exists();
        (runs && agent.memory_belongs_to() == 0).then_some(())
    });
    let status = std::fs::read_to_string(agent.file("status")).expect("its status");
    assert!(status.contains(&format!("Uid:\t{NOBODY}\t{NOBODY}")), "it is nobody's: {status}");
    let limits = std::fs::read_to_string(agent.file("limits")).expect("its limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
    let words: Vec<&str> = core.split_whitespace().skip(4).collect();
    assert_eq!(words, ["0", "0", "bytes"], "{core}");
}

#[test]
fn doctor_warns_of_what_keeps_or_shows_a_credential() {
    const SECRET: &str = "ghp_0123456789abcdef0123456789abcdef0123";
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("leaks").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let clean = drone.sh("drone-agent doctor");
    assert!(clean.ok().contains("no credentials lie about"), "{}", clean.report());
    drone
        .sh(&format!(
            "git config --global credential.helper store; \
             echo 'https://x:{SECRET}@github.com' >~/.git-credentials; \
             mkdir -p ~/.config/gh; printf 'github.com:\\n  oauth_token: {SECRET}\\n' >~/.config/gh/hosts.yml; \
             echo 'export GITHUB_TOKEN={SECRET}' >>~/.profile; \
             git init -q /workspaces/other; \
             git -C /workspaces/other remote add origin https://x:{SECRET}@github.com/a/b"
        ))
        .ok();
    let told = drone.sh(&format!("GH_TOKEN={SECRET} drone-agent doctor"));
    told.code(1);
    for words in [
        "\"store\" is told every token too",
        ".git-credentials holds passwords as plain text",
        "hosts.yml holds a login of gh's",
        ".profile sets GITHUB_TOKEN",
        "/workspaces/other/.git/config",
        "GH_TOKEN is set",
    ] {
        assert!(told.stdout.contains(words), "{words:?} is missing: {}", told.report());
    }
    assert!(!told.stdout.contains(SECRET) && !told.stderr.contains(SECRET), "{}", told.stdout);
}
