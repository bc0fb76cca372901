//! What a person looks up, and how the binary answers to wrong usage.

use crate::host::{AGENT, Host, TOKEN, run, text};

fn agent(host: &Host, args: &[&str]) -> (String, String, Option<i32>) {
    let output = run(host.command(AGENT).args(args), "");
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn a_token_goes_to_a_pipe() {
    let host = Host::up();
    let (token, _, code) =
        agent(&host, &["token", "-R", "acme/web", "--repo", "acme/lib", "--min-valid", "60"]);
    assert_eq!((token, code), (format!("{TOKEN}\n"), Some(0)));
    assert_eq!(host.requests(), ["GET /v1/token?repo=acme/web&repo=acme/lib&min_valid=60"]);
    let (nothing, reason, code) = agent(&host, &["token", "-R", "acme/secret"]);
    assert_eq!((nothing.as_str(), code), ("", Some(6)));
    assert!(reason.starts_with("error: acme-web was not granted acme/secret"), "{reason}");
}

#[test]
fn the_identity_is_for_people_and_for_programs() {
    let host = Host::up();
    let (shown, ..) = agent(&host, &["identity"]);
    assert!(shown.contains("repository  forge.test/acme/web\n"), "{shown}");
    assert!(shown.contains("granted     acme/lib: contents=write\n"), "{shown}");
    let (json, ..) = agent(&host, &["identity", "--json"]);
    assert!(json.starts_with(r#"{"drone":"acme-web","#) && json.ends_with("}\n"), "{json}");
}

#[test]
fn outside_a_drone_a_person_is_told_so() {
    let host = Host::absent();
    for command in ["token", "identity", "doctor"] {
        let (_, reason, code) = agent(&host, &[command]);
        assert!(reason.starts_with("error: this is not a drone: "), "{reason}");
        assert_eq!(code, Some(10), "{command}");
    }
    assert_eq!(agent(&host, &["boot"]), (String::new(), String::new(), Some(0)));
}

#[test]
fn wrong_usage_names_the_help() {
    let host = Host::absent();
    for args in [&["fly"][..], &["token", "--fast"], &["identity", "x"], &["boot", "--user", "x"]] {
        let (_, reason, code) = agent(&host, args);
        assert_eq!(code, Some(2), "{args:?}");
        assert!(reason.contains("\n\nhint: `drone-agent help"), "{reason}");
    }
    for args in [&["help"][..], &[], &["help", "token"], &["boot", "--help"]] {
        let (shown, _, code) = agent(&host, args);
        assert_eq!(code, Some(0), "{args:?}");
        assert!(shown.contains("usage: drone-agent"), "{shown}");
    }
}
