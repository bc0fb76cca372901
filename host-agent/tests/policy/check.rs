//! What `policy check` prints where, and how it ends.

use std::process::Output;

use serde_json::Value;

use super::check;

/// A checkout with these files, called `shop`.
fn checkout(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (path, text) in files {
        let path = directory.path().join("shop").join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
        std::fs::write(path, text).expect("write");
    }
    directory
}

fn configured(text: &str) -> tempfile::TempDir {
    checkout(&[(".devcontainer/devcontainer.json", text)])
}

fn check_in(directory: &tempfile::TempDir, below: &str, more: &[&str]) -> Output {
    let path = directory.path().join("shop").join(below).display().to_string();
    let mut arguments = vec!["--offline", path.as_str()];
    arguments.extend(more);
    check(&arguments)
}

fn shown(directory: &tempfile::TempDir, output: &Output) -> String {
    let text = format!(
        "exit code {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    text.replace(&directory.path().display().to_string(), "DIR")
}

const MIXED: &str = r#"{
  "image": "debian:12",
  "initializeCommand": "make host",
  "appPort": 3000,
  "mounts": [
    "source=data,target=/data,type=volume",
    "source=/var/run/docker.sock,target=/var/run/docker.sock,type=bind"
  ],
  "runArgs": ["--privileged", "--name", "shop"]
}
"#;

#[test]
fn refusals_are_listed_with_their_place_and_key() {
    let directory = configured(MIXED);
    insta::assert_snapshot!(shown(&directory, &check_in(&directory, "", &[])));
}

#[test]
fn without_refused_lists_what_is_left_out_and_ends_well() {
    let directory = configured(MIXED);
    let output = check_in(&directory, "", &["--without-refused"]);
    insta::assert_snapshot!(shown(&directory, &output));
    let directory = configured(r#"{"image": "evil.example/x", "initializeCommand": "id"}"#);
    let output = check_in(&directory, "", &["--without-refused"]);
    assert_eq!(output.status.code(), Some(6), "without an image nothing is left");
}

#[test]
fn strips_alone_are_no_failure() {
    let directory = configured(r#"{"image": "debian:12", "appPort": 3000}"#);
    insta::assert_snapshot!(shown(&directory, &check_in(&directory, "", &[])));
}

#[test]
fn json_has_every_finding() {
    let directory = configured(MIXED);
    let output = check_in(&directory, "", &["--json"]);
    assert_eq!(output.status.code(), Some(6));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    insta::assert_snapshot!(format!("{report:#}"));
}

#[test]
fn what_cannot_be_read_is_2() {
    let missing = check(&["/nonexistent/repository"]);
    assert_eq!(missing.status.code(), Some(2));
    for text in [
        "{\"image\": \"debian:12\", \"postCreateCommand\": ",
        "",
        "[]",
        "{\"name\": \"no image\"}",
        "{\"image\": 5}",
        "{\"build\": {\"dockerfile\": \"Dockerfile\"}}",
    ] {
        let directory = configured(text);
        let output = check_in(&directory, "", &[]);
        assert_eq!(output.status.code(), Some(2), "{text}: {}", shown(&directory, &output));
        assert!(output.stdout.is_empty(), "{text}");
    }
    let nothing = checkout(&[("README.md", "")]);
    assert_eq!(check_in(&nothing, "", &[]).status.code(), Some(2));
    let two = checkout(&[
        (".devcontainer/a/devcontainer.json", "{}"),
        (".devcontainer/b/devcontainer.json", "{\"image\": \"debian:12\"}"),
    ]);
    assert_eq!(check_in(&two, "", &[]).status.code(), Some(2));
    let chosen = check_in(&two, "", &["--devcontainer", "b"]);
    assert_eq!(chosen.status.code(), Some(0), "{}", shown(&two, &chosen));
}

#[test]
fn what_leaves_the_checkout_is_6_whether_it_exists_or_not() {
    for text in [
        r#"{"build": {"dockerfile": "../../outside"}}"#,
        r#"{"build": {"dockerfile": "../../nowhere"}}"#,
        r#"{"build": {"dockerfile": "/etc/hostname"}}"#,
        r#"{"dockerComposeFile": "../../compose.yml", "service": "a"}"#,
        r#"{"image": "debian:12", "features": {"../../feature": {}}}"#,
        r#"{"image": "debian:12", "runArgs": ["--env-file", "../nowhere.env"]}"#,
    ] {
        let directory = configured(text);
        std::fs::write(directory.path().join("outside"), "FROM debian\n").expect("write");
        let output = check_in(&directory, "", &[]);
        assert_eq!(output.status.code(), Some(6), "{text}: {}", shown(&directory, &output));
    }
}

#[test]
fn a_configuration_that_is_a_link_out_of_the_checkout_is_6() {
    for target in ["/etc/hostname", "/nowhere/at/all"] {
        let directory = checkout(&[("README.md", "")]);
        let folder = directory.path().join("shop/.devcontainer");
        std::fs::create_dir(&folder).expect("mkdir");
        let link = folder.join("devcontainer.json");
        std::os::unix::fs::symlink(target, &link).expect("link");
        for below in ["", ".devcontainer/devcontainer.json"] {
            let output = check_in(&directory, below, &[]);
            assert_eq!(output.status.code(), Some(6), "{}", shown(&directory, &output));
        }
    }
}

#[test]
fn a_file_is_checked_in_the_checkout_that_it_lies_in() {
    let directory = checkout(&[
        (
            ".devcontainer/api/devcontainer.json",
            r#"{"build": {"dockerfile": "Dockerfile", "context": "../.."}}"#,
        ),
        (".devcontainer/api/Dockerfile", "FROM debian:12\n"),
        ("other.jsonc", "// elsewhere\n{\"image\": \"debian:12\"}"),
    ]);
    for below in [".devcontainer/api/devcontainer.json", ".devcontainer", "other.jsonc"] {
        let output = check_in(&directory, below, &[]);
        assert_eq!(output.status.code(), Some(0), "{}", shown(&directory, &output));
    }
}

#[test]
fn the_configurations_rules_count_for_their_repositories() {
    let directory = configured(r#"{"image": "evil.example/x", "privileged": true}"#);
    let config = directory.path().join("hatchery.toml");
    let rules = "[[forge]]\napp = { client_id = \"x\", private_key_file = \"/nonexistent\" }\n\
                 [registries]\nallow = [\"evil.example\"]\n\
                 [[policy]]\nrepositories = [\"acme/*\"]\nallow = [\"privileged\"]\n";
    std::fs::write(&config, rules).expect("write");
    let config = config.display().to_string();
    let ends = |more: &[&str]| {
        let output = check_in(&directory, "", &[&["--config", &config], more].concat());
        (output.status.code(), shown(&directory, &output))
    };
    let (code, text) = ends(&["--repo", "acme/shop"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("permitted: 1"), "{text}");
    assert_eq!(ends(&["--repo", "other/shop"]).0, Some(6));
    assert_eq!(ends(&[]).0, Some(6));
    assert_eq!(ends(&["--repo", "no repository"]).0, Some(2));
    let absent = check_in(&directory, "", &["--config", "/nonexistent/hatchery.toml"]);
    assert_eq!(absent.status.code(), Some(2));
}

#[test]
fn a_repository_cannot_drive_the_terminal() {
    let directory = configured("{\"image\": \"debian:12\", \"runArgs\": [\"--\\u001b[2J\"]}");
    let output = check_in(&directory, "", &[]);
    assert_eq!(output.status.code(), Some(6));
    assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b));
}
