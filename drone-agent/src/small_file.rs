//! Files that whoever is in the drone may have put there: read only where that can neither block nor
//! fill memory.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Bytes read of one file; configuration files are far smaller.
const FILE_MAX: u64 = 1024 * 1024;

/// The text of a regular file, as much of it as is looked at.
pub fn read(path: &Path) -> Option<String> {
    if !path.is_file() {
        return None; // neither a pipe, which would block, nor a device
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
