//! Permissions by their GitHub names, and how their levels compare.

use hatchery_protocol::wire::Permissions;

/// What every one of `sets` allows, each at the lowest level among them.
pub fn intersection<'a>(sets: impl IntoIterator<Item = &'a Permissions>) -> Permissions {
    let mut sets = sets.into_iter();
    let first = sets.next().cloned().unwrap_or_default();
    sets.fold(first, |all, set| lowest(&all, set))
}

/// The part of `wanted` that `held` has: asking a forge for more fails the whole mint.
pub fn lowest(wanted: &Permissions, held: &Permissions) -> Permissions {
    wanted
        .iter()
        .filter_map(|(name, level)| {
            let level = lower(level, held.get(name)?)?;
            Some((name.clone(), level.to_owned()))
        })
        .collect()
}

/// The part of `wanted` that `held` has not, or not at that level. Everybody has `metadata`, and some
/// forges do not list it.
pub fn beyond(wanted: &Permissions, held: &Permissions) -> Permissions {
    let given = lowest(wanted, held);
    let beyond = wanted.iter().filter(|(name, level)| given.get(*name) != Some(*level));
    let beyond = beyond.filter(|(name, _)| *name != "metadata");
    beyond.map(|(name, level)| (name.clone(), level.clone())).collect()
}

/// `contents=write issues=read`.
pub fn list(set: &Permissions) -> String {
    set.iter().map(|(name, level)| format!("{name}={level}")).collect::<Vec<_>>().join(" ")
}

/// Whether `grant` has all of `wanted`, each at that level or above.
pub fn includes(grant: &Permissions, wanted: &Permissions) -> bool {
    wanted.iter().all(|(name, level)| {
        grant.get(name).is_some_and(|held| lower(level, held) == Some(level.as_str()))
    })
}

/// Those that GitHub knows at level `write` alone.
const WITHOUT_READ: [&str; 1] = ["workflows"];

/// What is left of a set where nothing may be changed.
pub fn read_only(set: &Permissions) -> Permissions {
    let readable = set.keys().filter(|name| has_read(name));
    readable.map(|name| (name.clone(), "read".to_owned())).collect()
}

/// Whether a permission has a level `read`: asking for one that it has not fails the whole mint.
pub fn has_read(name: &str) -> bool {
    !WITHOUT_READ.contains(&name)
}

/// The lower of two levels; `None` where they cannot be compared.
fn lower<'a>(one: &'a str, other: &'a str) -> Option<&'a str> {
    let rank = |level: &str| ["read", "write", "admin"].iter().position(|known| *known == level);
    if one == other {
        return Some(one);
    }
    Some(if rank(one)? < rank(other)? { one } else { other })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn permissions(pairs: &[(&str, &str)]) -> Permissions {
        pairs.iter().map(|(name, level)| ((*name).to_owned(), (*level).to_owned())).collect()
    }

    #[test]
    fn several_repositories_get_what_all_of_them_have() {
        let [write, read, admin] = [
            permissions(&[("contents", "write"), ("issues", "write")]),
            permissions(&[("contents", "read")]),
            permissions(&[("contents", "admin"), ("checks", "read")]),
        ];
        assert_eq!(intersection([&write, &read, &admin]), permissions(&[("contents", "read")]));
        assert_eq!(intersection([]), Permissions::new());
    }

    #[test]
    fn what_may_be_read_has_nothing_that_can_only_be_written() {
        let set = permissions(&[("contents", "write"), ("checks", "read"), ("workflows", "write")]);
        let read = permissions(&[("contents", "read"), ("checks", "read")]);
        assert_eq!(read_only(&set), read);
    }

    #[test]
    fn levels_that_cannot_be_compared_are_left_out() {
        let odd = permissions(&[("contents", "bespoke")]);
        assert_eq!(lowest(&odd, &permissions(&[("contents", "write")])), Permissions::new());
        assert_eq!(lowest(&odd, &odd), odd);
        assert!(!includes(&odd, &permissions(&[("contents", "read")])));
    }
}
