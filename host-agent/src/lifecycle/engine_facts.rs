//! What an engine says of itself.

use std::path::PathBuf;

/// The engine itself.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineFacts {
    /// Major version: 26.
    pub major: u32,
    /// API version, as `(1, 45)`.
    pub api: (u32, u32),
    /// CPUs of the machine.
    pub cpus: f64,
    /// Where it keeps images and volumes.
    pub root_dir: PathBuf,
    /// It is Podman, which speaks Docker's API.
    pub podman: bool,
    /// It runs without root, in namespaces of its user's.
    pub rootless: bool,
    /// What it can hold containers to.
    pub holds: Holds,
}

/// What an engine can hold containers to; the kernel's controllers may not be its own to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holds {
    /// Each container has a cgroup of its own.
    pub cgroups: bool,
    /// Memory.
    pub memory: bool,
    /// CPUs.
    pub cpus: bool,
    /// Processes and threads.
    pub pids: bool,
}

impl EngineFacts {
    /// Whether a part of a volume can be mounted (API 1.45, Engine 26).
    pub fn volume_subpaths(&self) -> bool {
        self.api >= (1, 45)
    }
}
