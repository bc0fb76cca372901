//! Settings and what is said about them.

use super::super::Gravity;
use super::*;

const OURS: &str = "file:/etc/gitconfig\0credential.https://github.com.helper\n\0\
    file:/etc/gitconfig\0credential.https://github.com.helper\n/usr/local/bin/git-credential-hatchery\0\
    file:/etc/gitconfig\0credential.https://github.com.usehttppath\ntrue\0\
    file:/etc/gitconfig\0user.email\na@b\0";

fn identity() -> Identity {
    Identity {
        drone: "acme-web".parse().expect("a name"),
        repo: "acme/web".parse().expect("a repository"),
        forge: "github.com".parse().expect("a host"),
        git_url: "https://github.com".to_owned(),
        granted: vec![],
        host_agent_version: "0.1.0".to_owned(),
        git_identity: None,
        ca_pem: None,
    }
}

/// What is not fine when `more` is set in the clone.
fn complaints(more: &[(&str, &str)]) -> Vec<(Gravity, String)> {
    let more: String =
        more.iter().map(|(key, value)| format!("file:.git/config\0{key}\n{value}\0")).collect();
    judge(&parse(&format!("{OURS}{more}")), &identity())
        .into_iter()
        .filter(|finding| finding.gravity != Gravity::Fine)
        .map(|finding| (finding.gravity, finding.what))
        .collect()
}

#[test]
fn what_boot_writes_is_fine() {
    assert_eq!(complaints(&[]), []);
    assert_eq!(complaints(&[("credential.https://gitlab.com.helper", "store")]), []);
    assert_eq!(complaints(&[("remote.origin.url", "https://github.com/acme/web")]), []);
}

#[test]
fn each_way_around_the_helper_is_found() {
    for setting in [
        ("credential.helper", ""),
        ("credential.usehttppath", "false"),
        ("url.git@github.com:.insteadof", "https://github.com/"),
        ("remote.origin.url", "https://x-access-token:ghs_secret@github.com/acme/web"),
        ("remote.origin.pushurl", "https://ghs_secret@github.com/acme/web"),
        ("http.https://github.com/.extraheader", "AUTHORIZATION: basic ghs_secret"),
    ] {
        let found = complaints(&[setting]);
        assert!(matches!(found.as_slice(), [(Gravity::Wrong, _)]), "{setting:?}: {found:?}");
        assert!(!found[0].1.contains("ghs_secret"), "{found:?}");
    }
    let other = [("credential.helper", ""), ("credential.https://github.com.helper", "store")];
    assert!(complaints(&other)[0].1.contains("asks \"store\" first"));
}

#[test]
fn what_works_but_should_not_be_is_odd() {
    for setting in [
        ("credential.helper", "store"),
        ("credential.helper", "store --file /tmp/x"),
        ("credential.helper", "!f() { echo password=ghs_secret; }; f"),
        ("credential.https://github.com.helper", "/usr/bin/keeper ghs_secret"),
        ("http.sslverify", "false"),
    ] {
        let found = complaints(&[setting]);
        assert!(matches!(found.as_slice(), [(Gravity::Odd, _)]), "{setting:?}: {found:?}");
        assert!(!found[0].1.contains("ghs_secret"), "{found:?}");
    }
}
