//! A devcontainer.json that is missing, broken, or cannot be built.

use std::process::Command;

use hatchery_tests::{Repo, Run, World, bed, inventory, repo};
use serde_json::json;

#[test]
fn a_configuration_that_cannot_be_read_is_wrong_usage() {
    let world = World::shared();
    let agent = world.agent();
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let cases = [
        ("c-none", None, "devcontainer.json"),
        ("c-cut", Some(format!("{{\n  \"image\": \"{image}\",\n  \"postCreateCommand\": ")), ":3"),
        ("c-list", Some("[]\n".to_owned()), "devcontainer.json"),
        ("c-empty", Some("{}\n".to_owned()), "image"),
        ("c-twice", Some(format!("{{\"image\": \"a\",\n\"image\": \"{image}\"}}\n")), "image"),
    ];
    for (label, text, says) in cases {
        let mut described = Repo::describe(label);
        if let Some(text) = &text {
            described = described.file(repo::DEVCONTAINER, text);
        }
        let repo = described.create(&world);
        let run = agent.hatchery(&["spawn", &repo.name()]);
        let code = if label == "c-twice" { 6 } else { 2 };
        run.code(code).complains("error:").complains(says).complains("hint:");
        inventory::assert_nothing_left(agent, &repo);
    }
}

#[test]
fn a_build_that_fails_shows_why() {
    let world = World::shared();
    let agent = world.agent();
    let base = bed::setting("HATCHERY_TEST_IMAGE_BASE");
    let cases = [
        (
            "b-run",
            format!("FROM {base}\nRUN echo reason-in-the-log; exit 7\n"),
            9,
            "reason-in-the-log",
        ),
        ("b-copy", format!("FROM {base}\nCOPY no-such-file /\n"), 9, "no-such-file"),
        ("b-syntax", format!("FROM {base}\nRUM true\n"), 9, "RUM"),
        ("b-away", "FROM registry.elsewhere.test/x:1\n".to_owned(), 6, "registry.elsewhere.test"),
    ];
    for (label, dockerfile, code, says) in cases {
        let repo = Repo::describe(label)
            .file(".devcontainer/Dockerfile", &dockerfile)
            .devcontainer(&json!({"build": {"dockerfile": "Dockerfile"}}))
            .create(&world);
        let run = agent.hatchery(&["spawn", &repo.name()]);
        run.code(code).complains("error:").complains(says).complains("\nhint: ");
        inventory::assert_nothing_left(agent, &repo);
    }
}

#[test]
fn without_compose_a_compose_file_says_how_to_get_it() {
    let world = World::shared();
    let scratch = tempfile::tempdir().expect("a directory");
    let docker = scratch.path().join("docker");
    let text = "#!/bin/sh\ncase $1 in compose) echo \"docker: 'compose' is not a docker command.\" \
                >&2; exit 1;; esac\nexec docker \"$@\"\n";
    std::fs::write(&docker, text).expect("a program");
    Run::of(Command::new("chmod").arg("+x").arg(&docker)).ok();
    let devcontainer = bed::setting("HATCHERY_TEST_DEVCONTAINER");
    let programs = format!("[programs]\ndocker = {docker:?}\ndevcontainer = {devcontainer:?}");
    let agent = world.own_agent(&programs);
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let services = json!({"app": {"image": image, "volumes": ["..:/workspaces/web"]}});
    let repo = Repo::describe("no-compose")
        .file(".devcontainer/compose.yaml", &json!({"services": services}).to_string())
        .devcontainer(&json!({
            "dockerComposeFile": "compose.yaml",
            "service": "app",
            "workspaceFolder": "/workspaces/web",
        }))
        .create(&world);
    let run = agent.hatchery(&["spawn", &repo.name()]);
    run.code(9).complains("error: a Compose file needs Docker Compose 2 or newer");
    run.complains("'compose' is not a docker command").complains("\nhint: install it: ");
    inventory::assert_nothing_left(&agent, &repo);
}

#[test]
fn a_failed_spawn_leaves_a_log_to_read() {
    let world = World::shared();
    let agent = world.agent();
    let base = bed::setting("HATCHERY_TEST_IMAGE_BASE");
    let repo = Repo::describe("b-log")
        .file(
            ".devcontainer/Dockerfile",
            &format!("FROM {base}\nRUN echo the-whole-story; exit 7\n"),
        )
        .devcontainer(&json!({"build": {"dockerfile": "Dockerfile"}}))
        .create(&world);
    let run = agent.hatchery(&["spawn", &repo.name()]);
    run.code(9).complains("log: ");
    let path = run.stderr.lines().find_map(|line| line.trim().strip_prefix("log: "));
    let log = std::fs::read_to_string(path.expect("a path")).expect("the log");
    assert!(log.contains("the-whole-story"), "{log}");
    // As the hint has it, though there is no drone any more.
    run.complains(&format!("\nhint: see all of it: `hatchery logs {}`", repo.drone()));
    assert_eq!(agent.hatchery(&["logs", &repo.drone()]).ok(), log.trim());
    inventory::assert_nothing_left(agent, &repo);
}
