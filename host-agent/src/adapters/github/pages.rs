//! Pages of the forge that people are sent to.

/// The page where an App is installed: `page`, its own one by the forge's word, or else the one that
/// `slug` has on GitHub.com or on Enterprise Server. With the account's id its owner need not pick
/// the account (GitHub docs, "Migrating OAuth apps to GitHub Apps").
pub fn install(git_url: &str, page: Option<&str>, slug: &str, account: Option<u64>) -> String {
    let own = page.filter(|page| is_on(git_url, page)).map(|page| page.trim_end_matches('/'));
    let own = own.map_or_else(|| own_page(git_url, slug), str::to_owned);
    match account {
        Some(id) => format!("{own}/installations/new/permissions?suggested_target_id={id}"),
        None => format!("{own}/installations/new"),
    }
}

fn own_page(git_url: &str, slug: &str) -> String {
    let base = git_url.trim_end_matches('/');
    let host = base.strip_prefix("https://").unwrap_or(base);
    let apps =
        if host == "github.com" || host.ends_with(".ghe.com") { "apps" } else { "github-apps" };
    format!("{base}/{apps}/{slug}")
}

/// Whether an address is one of the forge's own pages, and plain enough to be shown.
pub fn is_on(git_url: &str, url: &str) -> bool {
    let path =
        url.strip_prefix(git_url.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/'));
    path.is_some() && url.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_the_one_that_the_forge_names_or_has_by_custom() {
        let github = "https://github.com";
        for (git_url, page, account, wanted) in [
            (github, None, None, "https://github.com/apps/hatchery/installations/new"),
            (
                github,
                Some("https://github.com/apps/other"),
                Some(7),
                "https://github.com/apps/other/installations/new/permissions?suggested_target_id=7",
            ),
            (
                "https://git.acme.test/",
                None,
                None,
                "https://git.acme.test/github-apps/hatchery/installations/new",
            ),
            (
                github,
                Some("https://github.com.evil.test/apps/x"),
                None,
                "https://github.com/apps/hatchery/installations/new",
            ),
            (
                github,
                Some("https://github.com/apps/x\x1b[2J"),
                None,
                "https://github.com/apps/hatchery/installations/new",
            ),
        ] {
            assert_eq!(install(git_url, page, "hatchery", account), wanted);
        }
    }
}
