//! Git LFS asks through `git credential fill` and keeps the answer for a whole transfer.

use std::fs;

/// Seconds a token for a transfer must live: half its hour, so that one is minted at most twice
/// as often as needed.
pub(super) const MIN_VALID: u64 = 1800;
/// Processes between us and git-lfs: a shell, `git credential`.
const GENERATIONS: usize = 3;

/// Whether git-lfs is the one that asks.
pub(super) fn is_asking() -> bool {
    let mut pid = std::os::unix::process::parent_id();
    for _ in 0..GENERATIONS {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
        match parse_stat(&stat) {
            Some(("git-lfs", _)) => return true,
            Some((_, parent)) if parent > 1 => pid = parent,
            _ => return false,
        }
    }
    false
}

/// Name and parent of a process. The name stands in parentheses and may hold any character.
/// Source: proc_pid_stat(5).
fn parse_stat(stat: &str) -> Option<(&str, u32)> {
    let (head, rest) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let parent = rest.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((name, parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_name_and_parent() {
        assert_eq!(parse_stat("42 (git-lfs) S 41 42 1 0"), Some(("git-lfs", 41)));
        assert_eq!(parse_stat("42 (a) b) S 7 1"), Some(("a) b", 7)));
        assert_eq!(parse_stat("42 git"), None);
        assert!(!is_asking());
    }
}
