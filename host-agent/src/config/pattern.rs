//! Patterns of repositories in `[[policy]]` and `[[grants]]`.

use hatchery_protocol::RepoName;

/// Whether `owner/repo` with `*` for any run of characters within a part means this repository; case
/// is ignored.
pub fn matches_repository(pattern: &str, repo: &RepoName) -> bool {
    let Some((owner, name)) = pattern.split_once('/') else {
        return false;
    };
    let (owner, name) = (owner.to_ascii_lowercase(), name.to_ascii_lowercase());
    matches(&owner, &repo.owner().to_ascii_lowercase())
        && matches(&name, &repo.repo().to_ascii_lowercase())
}

fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(before) else {
        return false;
    };
    (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|tail| matches(after, tail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_its_part() {
        let repo: RepoName = "Acme/Web-api".parse().expect("a repository");
        for (pattern, wanted) in [
            ("acme/web-api", true),
            ("ACME/*", true),
            ("*/web-*", true),
            ("*/*", true),
            ("a*e/w*b*i", true),
            ("acme/web", false),
            ("*", false),
            ("acme*", false),
            ("/web-api", false),
            ("acme/*/x", false),
            ("other/*", false),
        ] {
            assert_eq!(matches_repository(pattern, &repo), wanted, "{pattern}");
        }
    }
}
