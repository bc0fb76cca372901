//! A container's account file, read from outside.

/// Uid and primary gid of an account; root's by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// User id.
    pub uid: u64,
    /// Group id.
    pub gid: u64,
}

/// The account that `user` means: a name or a number, with `:group` behind it ignored unless it is
/// a number. `None` when the file does not know the name.
pub fn find(passwd: &str, user: &str) -> Option<Account> {
    let (name, group) =
        user.split_once(':').map_or((user, None), |(name, group)| (name, Some(group)));
    let number: Option<u64> = name.parse().ok();
    let entry = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let login = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (login == name || number == Some(uid)).then_some(Account { uid, gid })
    });
    let account = entry.or_else(|| number.map(|uid| Account { uid, gid: uid }))?;
    let gid = group.and_then(|group| group.parse().ok()).unwrap_or(account.gid);
    Some(Account { gid, ..account })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "root:x:0:0:root:/root:/bin/bash\nbroken\ndev:x:1000:1001::/home/dev:/bin/sh\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let account = |uid, gid| Some(Account { uid, gid });
        assert_eq!(find(FILE, "dev"), account(1000, 1001));
        assert_eq!(find(FILE, "1000"), account(1000, 1001));
        assert_eq!(find(FILE, "1000:7"), account(1000, 7));
        assert_eq!(find(FILE, "dev:users"), account(1000, 1001));
        assert_eq!(find(FILE, "4242"), account(4242, 4242));
        assert_eq!(find(FILE, "nobody"), None);
        assert_eq!(find("", "root"), None);
    }
}
