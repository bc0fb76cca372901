//! Tables of command line, surroundings and the repositories that follow.

use std::ffi::OsString;

use hatchery_protocol::wire::GrantedRepo;

use super::*;

fn name(text: &str) -> RepoName {
    text.parse().expect("a repository")
}

fn identity() -> Identity {
    let grant = |repo: &str, installation: &str| GrantedRepo {
        name: name(repo),
        permissions: Default::default(),
        installation: installation.to_owned(),
    };
    Identity {
        drone: "acme-web".parse().expect("a name"),
        repo: name("acme/web"),
        forge: "github.com".parse().expect("a host"),
        git_url: "https://github.com".to_owned(),
        granted: vec![
            grant("acme/web", "1"),
            grant("acme/lib", "1"),
            grant("acme/web-fork", "1"),
            grant("other/web", "2"),
        ],
        host_agent_version: "0.1.0".to_owned(),
        git_identity: None,
        ca_pem: None,
    }
}

fn remotes(pairs: &[(&str, &str)]) -> Checkout {
    let remote = |&(name, url): &(&str, &str)| Remote {
        name: name.to_owned(),
        repo: remote::parse(url).expect("a forge's address"),
        resolved: None,
    };
    Checkout { remotes: pairs.iter().map(remote).collect(), push: None }
}

fn target(line: &str, around: &Surroundings) -> String {
    let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    match Target::of(&Call::parse(&args), around, &identity()) {
        Ok(Target::Elsewhere) => "elsewhere".to_owned(),
        Ok(Target::Repos(repos)) => {
            repos.iter().map(RepoName::to_string).collect::<Vec<_>>().join(" ")
        }
        Err(_) => "refused".to_owned(),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn arguments_come_before_everything() {
    let around = Surroundings {
        repo: Some("acme/env".to_owned()),
        checkout: remotes(&[("origin", "https://github.com/acme/here")]),
        host: None,
    };
    for (line, expected) in [
        ("pr list -R acme/lib", "acme/lib"),
        ("pr list --repo github.com/acme/lib", "acme/lib"),
        ("pr list --repo=https://github.com/acme/lib", "acme/lib"),
        ("pr list --repo ssh://git@github.com/acme/lib.git", "acme/lib"),
        ("pr list -R nonsense", "refused"),
        ("pr list -R acme/../lib", "refused"),
        ("pr list -R ghe.corp/acme/lib", "elsewhere"),
        ("pr view https://github.com/acme/lib/pull/3", "acme/lib"),
        ("repo view acme/lib", "acme/lib"),
        ("repo clone git@github.com:acme/lib.git", "acme/lib"),
        ("api repos/acme/lib/issues?state=open", "acme/lib"),
        ("api /repos/acme/lib", "acme/lib"),
        ("api https://api.github.com/repos/acme/lib/pulls", "acme/lib"),
        ("api https://github.com/api/v3/repos/acme/lib", "acme/lib"),
        ("api https://api.ghe.corp/repos/acme/lib", "elsewhere"),
        ("api --hostname ghe.corp user", "elsewhere"),
        ("api http://elsewhere.test/x", "elsewhere"),
        ("api HTTP://elsewhere.test/repos/acme/lib", "elsewhere"),
        ("api http://github.com/repos/acme/lib", "elsewhere"),
        ("api https://elsewhere.test:8443/user", "elsewhere"),
        ("api https://github.com.elsewhere.test/user", "elsewhere"),
        ("api https://github.com@elsewhere.test/repos/acme/lib", "elsewhere"),
        ("api https://elsewhere.test\\@github.com/repos/acme/lib", "elsewhere"),
        ("api -iX POST http://elsewhere.test/x", "elsewhere"),
        ("repo clone https://elsewhere.test:8443/acme/lib", "elsewhere"),
        ("repo clone ssh://git@github.com/acme/lib.git", "acme/env"),
        ("search code http://elsewhere.test", "acme/web"),
        ("api repos/{owner}/{repo}/issues", "acme/env"),
        ("api graphql", "acme/env"),
        ("pr list", "acme/env"),
        ("search issues -R acme/lib x", "acme/here"),
    ] {
        let expected = if line.starts_with("search") { "acme/web" } else { expected };
        assert_eq!(target(line, &around), expected, "{line}");
    }
}

#[test]
fn the_checkout_is_read_as_gh_reads_it() {
    let list = |checkout: Checkout| {
        target("pr list", &Surroundings { checkout, ..Surroundings::default() })
    };
    let (web, lib) = ("https://github.com/acme/web", "git@github.com:acme/lib.git");
    assert_eq!(list(remotes(&[])), "acme/web");
    assert_eq!(list(remotes(&[("origin", lib)])), "acme/lib");
    assert_eq!(list(remotes(&[("a", web), ("origin", lib)])), "acme/lib");
    assert_eq!(list(remotes(&[("origin", web), ("upstream", lib)])), "acme/lib");
    assert_eq!(list(remotes(&[("origin", "https://gitlab.com/x/y")])), "acme/web");
    // Public origin of a granted fork: the fork's token can read it.
    let public = ("upstream", "https://github.com/public/lib");
    assert_eq!(list(remotes(&[("origin", lib), public])), "acme/lib");
    // Nothing granted: asked for all the same, and refused by name.
    assert_eq!(list(remotes(&[public])), "public/lib");
    let mut noted = remotes(&[("origin", lib), ("upstream", web)]);
    noted.remotes[0].resolved = Some("base".to_owned());
    assert_eq!(list(noted), "acme/lib");
    let mut noted = remotes(&[("origin", lib)]);
    noted.remotes[0].resolved = Some("acme/web-fork".to_owned());
    assert_eq!(list(noted), "acme/web-fork");
}

#[test]
fn another_host_in_the_environment_is_not_ours() {
    let around = |host: &str| Surroundings { host: Some(host.to_owned()), ..Default::default() };
    assert_eq!(target("pr list", &around("ghe.corp")), "elsewhere");
    assert_eq!(target("pr list", &around("GitHub.com")), "acme/web");
}

#[test]
fn a_pull_request_between_two_repositories_needs_both() {
    let fork = |push: &str| {
        let mut checkout = remotes(&[
            ("origin", "https://github.com/acme/web-fork"),
            ("upstream", "https://github.com/acme/web"),
        ]);
        checkout.push = remote::parse(push);
        Surroundings { checkout, ..Surroundings::default() }
    };
    let pushed = fork("https://github.com/acme/web-fork");
    assert_eq!(target("pr create --fill", &pushed), "acme/web acme/web-fork");
    assert_eq!(target("pr new --fill", &pushed), "acme/web acme/web-fork");
    assert_eq!(target("pr list", &pushed), "acme/web");
    assert_eq!(target("pr create --head acme:fix", &pushed), "acme/web acme/web-fork");
    assert_eq!(target("pr create --head fix", &pushed), "acme/web");
    assert_eq!(target("pr create", &fork("https://github.com/acme/web")), "acme/web");
    assert_eq!(target("pr create", &fork("https://gitlab.com/acme/web")), "acme/web");
    let none = Surroundings::default();
    assert_eq!(target("pr create -R acme/web --head other:fix", &none), "acme/web other/web");
    assert_eq!(target("pr create -R acme/web -H stranger:fix", &none), "acme/web stranger/web");
    assert_eq!(target("pr create -R other/web -H acme:fix", &none), "other/web acme/web");
    for (field, expected) in [
        ("-f head_repo=web-fork", "acme/web acme/web-fork"),
        ("-f head_repo=acme/web-fork", "acme/web acme/web-fork"),
        ("--raw-field=head_repo=acme/web", "acme/web"),
        ("-f head_repo=../x", "acme/web"),
    ] {
        let line = format!("api repos/acme/web/pulls -f head=fix {field}");
        assert_eq!(target(&line, &none), expected, "{line}");
    }
}
