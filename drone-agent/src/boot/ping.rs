//! `ping` where the capability for raw sockets is missing.
//!
//! Distributions give the program that capability as a file attribute, and the kernel then refuses
//! to run it in a container without it (capabilities(7), "capability-dumb binaries"). Without the
//! attribute it uses the datagram sockets that every user may have (`net.ipv4.ping_group_range`).

use std::fs;
use std::path::Path;

use rustix::fs::removexattr;
use rustix::io::Errno;

use super::file::FileError;

/// Where distributions put it.
const PROGRAM: &str = "/usr/bin/ping";
/// The attribute that holds a file's capabilities.
const CAPABILITIES: &str = "security.capability";
/// Number of the capability for raw sockets. Source: linux/capability.h.
const NET_RAW: u32 = 13;

/// Takes the attribute away where it stands in the way.
pub(super) fn unblock() -> Result<(), FileError> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if may_hold(&status, NET_RAW) { Ok(()) } else { strip(Path::new(PROGRAM)) }
}

fn strip(program: &Path) -> Result<(), FileError> {
    match removexattr(program, CAPABILITIES) {
        Ok(()) | Err(Errno::NODATA | Errno::NOENT | Errno::NOTSUP) => Ok(()),
        Err(errno) => Err(FileError::of("freed of its capability", program)(errno.into())),
    }
}

/// Whether processes here can ever have `capability`, by a `/proc/self/status`; where it does not
/// say, nothing is changed.
fn may_hold(status: &str, capability: u32) -> bool {
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let bounding = bounding.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    bounding.is_none_or(|set| set >> capability & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounding_set_tells() {
        assert!(may_hold("Name:\tx\nCapBnd:\t00000000a80425fb\n", NET_RAW));
        assert!(!may_hold("CapBnd:\t00000000a80405fb\n", NET_RAW));
        assert!(may_hold("", NET_RAW) && may_hold("CapBnd:\tx\n", NET_RAW));
    }

    #[test]
    fn a_program_without_the_attribute_or_none_at_all_is_fine() {
        let dir = tempfile::tempdir().expect("a directory");
        let program = dir.path().join("ping");
        strip(&program).expect("none");
        fs::write(&program, "").expect("written");
        strip(&program).expect("nothing to take away");
    }
}
