//! The way out of an entrypoint: the work goes on while the container starts.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use hatchery_protocol::paths;

use crate::report::Failure;

/// Seconds that the background waits for the host agent: after a reboot the server may take its
/// time. Past them nothing is lost but news: what an earlier boot wrote is still there.
const WAIT_SECONDS: &str = "900";

/// Runs `boot --foreground` with `args` in a process group of its own, its words going to a log.
/// It ends by itself: when the drone is set up, or after [`WAIT_SECONDS`].
///
/// # Errors
/// When no process can be started.
pub(super) fn start(args: Vec<OsString>) -> Result<(), Failure> {
    let wrong = |what: &str, error: std::io::Error| Failure::new(format!("{what}: {error}"));
    let log = Path::new(paths::BOOT_LOG);
    let made = log.parent().map_or(Ok(()), fs::create_dir_all);
    let opened = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o644)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(log);
    // Without a log the drone boots as well.
    let words = made.and(opened).map_or_else(|_| Stdio::null(), Stdio::from);
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
