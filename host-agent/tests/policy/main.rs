//! `hatchery policy check`, as people run it: without a server and without a configuration.

mod check;
mod corpus;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The checked-in configurations.
fn fixtures(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/policy").join(below)
}

/// Runs `hatchery policy check` in an environment that knows no configuration and no engine.
fn check(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hatchery"))
        .args(["policy", "check"])
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HATCHERY_CONFIG", "/nonexistent/hatchery.toml")
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .stdin(Stdio::null())
        .output()
        .expect("hatchery runs")
}

/// The same with `--json` and `--offline`, its exit code and what it prints.
fn check_json(path: &Path) -> (Option<i32>, Value) {
    let output = check(&["--json", "--offline", &path.display().to_string()]);
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), report)
}
