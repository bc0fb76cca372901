//! Who asks: the processes above this one.

use std::fs;

/// Processes looked at: a shell, `git-remote-https`, two of git.
const GENERATIONS: usize = 5;

/// A process above this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ancestor {
    pub(super) pid: u32,
    /// As the kernel keeps it: 15 bytes at most.
    pub(super) name: String,
}

/// The nearest first, as far as they can be seen.
pub(super) fn all() -> Vec<Ancestor> {
    let mut found = Vec::new();
    let mut pid = std::os::unix::process::parent_id();
    while found.len() < GENERATIONS && pid > 1 {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { break };
        let Some((name, parent)) = parse_stat(&stat) else { break };
        found.push(Ancestor { pid, name: name.to_owned() });
        pid = parent;
    }
    found
}

/// The arguments of a process, the program's name first.
pub(super) fn arguments(pid: u32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
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
        assert_eq!(all().first().map(|one| one.pid), Some(std::os::unix::process::parent_id()));
        assert!(!arguments(std::process::id()).is_empty());
    }
}
