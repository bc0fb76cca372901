//! What containers use of the machine, read from their cgroups: no call to the engine, so that a
//! list of many drones stays quick.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::Machine;
use crate::lifecycle::engine::Usage;

/// Where cgroups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The previous look at each container: CPU use is a difference.
#[derive(Debug, Default)]
pub struct CpuSamples(Mutex<HashMap<String, (Instant, u64)>>);

impl CpuSamples {
    /// Percent of one CPU since the previous look; `None` at the first.
    fn percent(&self, id: &str, nanoseconds: u64) -> Option<f64> {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (then, before) = samples.insert(id.to_owned(), (now, nanoseconds))?;
        let wall = now.duration_since(then).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a percentage")]
        let used = nanoseconds.saturating_sub(before) as f64 / 1e9;
        (wall > 0.0).then_some(used / wall * 100.0)
    }

    /// Forgets containers that are not asked about any more.
    fn keep(&self, ids: &[String]) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() > ids.len() {
            samples.retain(|id, _| ids.contains(id));
        }
    }
}

impl Machine {
    pub(super) async fn engine_usage(&self, ids: &[String]) -> Vec<Usage> {
        let asked = ids.to_vec();
        let raw = tokio::task::spawn_blocking(move || {
            asked.iter().map(|id| raw_usage(Path::new(CGROUPS), id)).collect::<Vec<_>>()
        });
        // The task does not panic; were it cancelled, nothing is known.
        let raw = raw.await.unwrap_or_else(|_| vec![RawUsage::default(); ids.len()]);
        self.cpu.keep(ids);
        let usage = |(id, raw): (&String, RawUsage)| Usage {
            cpu_percent: raw.cpu_nanoseconds.and_then(|used| self.cpu.percent(id, used)),
            memory_bytes: raw.memory_bytes,
        };
        ids.iter().zip(raw).map(usage).collect()
    }

    pub(super) async fn engine_listening_ports(&self, pid: u32) -> Vec<u16> {
        let tables = ["tcp", "tcp6"].map(|table| format!("/proc/{pid}/net/{table}"));
        let mut ports = Vec::new();
        for table in tables {
            if let Ok(text) = tokio::fs::read_to_string(table).await {
                ports.extend(listening(&text));
            }
        }
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

/// What the files say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct RawUsage {
    cpu_nanoseconds: Option<u64>,
    memory_bytes: Option<u64>,
}

/// Version 2 has one directory a container, version 1 one a controller; Docker's cgroup driver
/// decides the name.
fn raw_usage(root: &Path, id: &str) -> RawUsage {
    let names = [format!("docker/{id}"), format!("system.slice/docker-{id}.scope")];
    let find = |controller: &str| -> Option<PathBuf> {
        names.iter().map(|name| root.join(controller).join(name)).find(|path| path.is_dir())
    };
    if let Some(group) = find("") {
        let current = number(&group.join("memory.current"));
        let cache = field(&group.join("memory.stat"), "inactive_file");
        return RawUsage {
            cpu_nanoseconds: field(&group.join("cpu.stat"), "usage_usec").map(|used| used * 1000),
            memory_bytes: current.map(|bytes| bytes.saturating_sub(cache.unwrap_or(0))),
        };
    }
    let memory = find("memory");
    let used = memory.as_ref().and_then(|group| number(&group.join("memory.usage_in_bytes")));
    let cache =
        memory.as_ref().and_then(|group| field(&group.join("memory.stat"), "total_inactive_file"));
    RawUsage {
        cpu_nanoseconds: find("cpuacct").and_then(|group| number(&group.join("cpuacct.usage"))),
        memory_bytes: used.map(|bytes| bytes.saturating_sub(cache.unwrap_or(0))),
    }
}

fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn field(path: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

/// 127.0.0.11 as `/proc/net/tcp` writes it: Docker's resolver listens there in every container.
const DOCKER_RESOLVER: &str = "0B00007F";

/// Ports of `/proc/net/tcp` in state LISTEN (`0A`) that are the drone's own.
fn listening(table: &str) -> Vec<u16> {
    let port = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next()?;
        let state = fields.nth(1)?;
        let (address, port) = local.rsplit_once(':')?;
        (state == "0A" && address != DOCKER_RESOLVER).then(|| u16::from_str_radix(port, 16).ok())?
    };
    table.lines().skip(1).filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st\n\
             0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000\n\
             1: 0100007F:1F90 0100007F:C350 01 00000000:00000000\n\
             2: 0B00007F:9C41 00000000:0000 0A 00000000:00000000\nbroken\n";
        assert_eq!(listening(table), [3000]);
    }

    #[test]
    fn both_cgroup_versions_are_read() {
        let root = tempfile::tempdir().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        write("memory/docker/one/memory.usage_in_bytes", "1000\n");
        write("memory/docker/one/memory.stat", "cache 9\ntotal_inactive_file 300\n");
        write("cpuacct/docker/one/cpuacct.usage", "5000\n");
        write("system.slice/docker-two.scope/memory.current", "2000\n");
        write("system.slice/docker-two.scope/memory.stat", "inactive_file 500\n");
        write("system.slice/docker-two.scope/cpu.stat", "usage_usec 7\nuser_usec 3\n");
        let usage = |cpu, memory| RawUsage { cpu_nanoseconds: cpu, memory_bytes: memory };
        assert_eq!(raw_usage(root.path(), "one"), usage(Some(5000), Some(700)));
        assert_eq!(raw_usage(root.path(), "two"), usage(Some(7000), Some(1500)));
        assert_eq!(raw_usage(root.path(), "none"), RawUsage::default());
    }
}
