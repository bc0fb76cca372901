//! The group whose members may use the control socket.

use rustix::fs::Gid;

/// Its name.
pub const CONTROL_GROUP: &str = "hatchery";

/// Its number by the local database, which is where a package or administrator puts it; `None`
/// where there is no such group.
pub fn control_group() -> Option<Gid> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    number(&groups, CONTROL_GROUP)
}

fn number(groups: &str, name: &str) -> Option<Gid> {
    let entry = groups.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    entry.split(':').nth(1)?.parse().ok().map(Gid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\nhatchery-old:x:7:\nhatchery:x:8:ann\nbroken\n";
        assert_eq!(number(groups, CONTROL_GROUP), Some(Gid::from_raw(8)));
        assert_eq!(number(groups, "nobody"), None);
        assert_eq!(number("hatchery:x", CONTROL_GROUP), None);
    }
}
