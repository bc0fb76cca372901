//! Which repository a remote's address means.

use hatchery_protocol::{ForgeHost, RepoId, RepoName};

/// Reads an https, ssh or scp-like address with or without user, standard port, `.git` and `/` at
/// the end. `None`: not a repository on a forge (a path, another port, more segments).
pub(super) fn parse(url: &str) -> Option<RepoId> {
    let (host, path) = match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/')?;
            let port = match scheme {
                "https" => ":443",
                "ssh" | "git+ssh" => ":22",
                _ => return None,
            };
            (without_user(authority).trim_end_matches(port), path)
        }
        None => {
            let (authority, path) = url.split_once(':')?;
            (without_user(authority), path.trim_start_matches('/'))
        }
    };
    let host: ForgeHost = host.parse().ok()?;
    let name: RepoName = path.trim_end_matches('/').parse().ok()?;
    Some(RepoId { host, name })
}

/// The repository at the beginning of a page's address, as in
/// `https://github.com/acme/web/pull/3`.
pub(super) fn of_page(url: &str) -> Option<RepoId> {
    let mut parts = url.strip_prefix("https://")?.split(['/', '?', '#']);
    let host = parts.next()?.parse().ok()?;
    let name = format!("{}/{}", parts.next()?, parts.next()?).parse().ok()?;
    Some(RepoId { host, name })
}

fn without_user(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_of_address_means_the_same_repository() {
        for url in [
            "https://github.com/acme/web",
            "https://x-access-token:t@GitHub.com:443/acme/web.git/",
            "git@github.com:acme/web.git",
            "github.com:/acme/web",
            "ssh://git@github.com/acme/web.git",
            "ssh://git@github.com:22/acme/web",
        ] {
            assert_eq!(
                parse(url).map(|repo| repo.folded()).as_deref(),
                Some("github.com/acme/web"),
                "{url}"
            );
        }
    }

    #[test]
    fn what_is_no_repository_on_a_forge_is_none() {
        for url in [
            "",
            "/srv/web.git",
            "../web",
            "file:///srv/web",
            "http://github.com/acme/web",
            "https://github.com:8443/acme/web",
            "https://github.com/acme",
            "git@github.com:web",
            "ext::sh -c x",
            "https://github.com/acme/web/info/refs",
        ] {
            assert_eq!(parse(url), None, "{url}");
        }
        assert!(of_page("https://github.com/acme/web/pull/3#top").is_some());
        assert!(of_page("https://github.com/acme").is_none());
    }

    proptest! {
        #[test]
        fn no_address_makes_it_panic(url in "[a-z:/@.0-9é]{0,30}") {
            let _ = (parse(&url), of_page(&url));
        }
    }
}
