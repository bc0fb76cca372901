//! The way out of an entrypoint: the work goes on while the container starts.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use hatchery_protocol::paths;

use crate::report::Failure;

/// Seconds that the background waits for the host agent: after a reboot the server may take its
/// time. Past them the host agent boots the drone itself when it comes.
const WAIT_SECONDS: &str = "900";

/// Runs `boot --foreground` with `args` in a process group of its own, its words going to a log.
/// It ends by itself: when the drone is set up, or after [`WAIT_SECONDS`].
///
/// # Errors
/// When no process can be started.
pub(super) fn start(args: Vec<OsString>) -> Result<(), Failure> {
    let wrong = |what: &str, error: std::io::Error| Failure::new(format!("{what}: {error}"));
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o644)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(paths::BOOT_LOG);
    // Without a log the drone boots as well.
    let words = log.map_or_else(|_| Stdio::null(), Stdio::from);
    let program = std::env::current_exe().map_err(|error| wrong("no own path", error))?;
    Command::new(program)
        .args(["boot", "--foreground", "--wait", WAIT_SECONDS])
        .args(args)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(words)
        .process_group(0)
        .spawn()
        .map(drop)
        .map_err(|error| wrong("cannot boot in the background", error))
}
