//! Whether the machine has room for another drone.

use std::path::Path;

use super::failure::{Failure, FailureKind};
use crate::config::Limits;

/// What is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// Memory that processes can get without swapping, in bytes.
    pub memory_bytes: u64,
    /// Disk below the engine's root, in bytes.
    pub disk_bytes: u64,
}

/// Asks the kernel. What it does not tell counts as plenty: the floors are a courtesy, the
/// engine's own errors come after them.
pub fn measure(engine_root: &Path) -> Free {
    let memory = std::fs::read_to_string("/proc/meminfo").ok();
    let disk = rustix::fs::statvfs(engine_root).ok();
    Free {
        memory_bytes: memory.and_then(|text| available(&text)).unwrap_or(u64::MAX),
        disk_bytes: disk.map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
    }
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Refuses another running drone beside `running` when there is no room for it.
///
/// # Errors
/// [`FailureKind::NoCapacity`], naming the limit, what is there, and what to do.
pub fn check(limits: &Limits, running: usize, free: Free) -> Result<(), Failure> {
    let refuse = |message: String, hint: &str| {
        Err(Failure::new(FailureKind::NoCapacity, message).hint(hint))
    };
    if limits.max_drones > 0 && running >= limits.max_drones as usize {
        return refuse(
            format!(
                "{running} drones run already and [limits] max_drones is {}",
                limits.max_drones
            ),
            "burrow or slay one (`hatchery list`), or raise [limits] max_drones",
        );
    }
    if free.memory_bytes < limits.free_memory_floor {
        return refuse(
            format!(
                "{} of memory are free and [limits] free_memory_floor is {}",
                mebibytes(free.memory_bytes),
                mebibytes(limits.free_memory_floor)
            ),
            "burrow a drone, or lower [limits] free_memory_floor",
        );
    }
    check_disk(limits, free)
}

/// Refuses a build or a spawn when the disk is nearly full.
///
/// # Errors
/// [`FailureKind::NoCapacity`].
pub fn check_disk(limits: &Limits, free: Free) -> Result<(), Failure> {
    if free.disk_bytes >= limits.free_disk_floor {
        return Ok(());
    }
    let message = format!(
        "{} of disk are free for Docker and [limits] free_disk_floor is {}",
        mebibytes(free.disk_bytes),
        mebibytes(limits.free_disk_floor)
    );
    Err(Failure::new(FailureKind::NoCapacity, message)
        .hint("slay drones, run `docker image prune`, or lower [limits] free_disk_floor"))
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes / (1024 * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn each_limit_refuses_by_its_name() {
        let limits = Limits {
            max_drones: 2,
            free_memory_floor: 100 * MIB,
            free_disk_floor: 100 * MIB,
            build_concurrency: 1,
            hook_timeout: std::time::Duration::from_secs(60),
        };
        let plenty = Free { memory_bytes: u64::MAX, disk_bytes: u64::MAX };
        assert!(check(&limits, 1, plenty).is_ok());
        for (running, free, key) in [
            (2, plenty, "max_drones"),
            (0, Free { memory_bytes: MIB, ..plenty }, "free_memory_floor"),
            (0, Free { disk_bytes: MIB, ..plenty }, "free_disk_floor"),
        ] {
            let failure = check(&limits, running, free).expect_err("refused");
            assert_eq!(failure.kind, FailureKind::NoCapacity);
            assert!(failure.message.contains(key), "{}", failure.message);
        }
        assert!(check(&Limits { max_drones: 0, ..limits }, 1000, plenty).is_ok());
    }

    #[test]
    fn the_kernel_tells_what_is_available() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:    2 kB\n"), Some(2048));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
    }
}
