//! What a repository asks of the host is refused, with file, line, reason and the way to permit it.

use hatchery_tests::{Repo, World, bed, inventory};
use serde_json::{Value, json};

#[test]
fn what_reaches_for_the_host_is_refused() {
    let world = World::shared();
    let agent = world.agent();
    let cases: [(&str, Value, &str); 10] = [
        (
            "p-init",
            json!({"initializeCommand": "touch /tmp/hatchery-was-here"}),
            "initializeCommand",
        ),
        ("p-priv", json!({"privileged": true}), "privileged"),
        ("p-bind", json!({"mounts": ["type=bind,source=/etc,target=/host"]}), "/etc"),
        (
            "p-docker",
            json!({"mounts": ["source=/var/run/docker.sock,target=/d.sock,type=bind"]}),
            "Docker's socket",
        ),
        ("p-args", json!({"runArgs": ["-v", "/:/host"]}), "/"),
        ("p-pid", json!({"runArgs": ["--pid=host"]}), "pid"),
        ("p-label", json!({"runArgs": ["--label", "hatchery.repo=acme/other"]}), "hatchery."),
        (
            "p-volume",
            json!({"mounts": ["type=volume,source=hatchery-other,target=/o"]}),
            "volumes named hatchery-",
        ),
        ("p-cap", json!({"capAdd": ["SYS_ADMIN"]}), "SYS_ADMIN"),
        ("p-odd", json!({"runArgs": ["--some-new-option=1"]}), "--some-new-option"),
    ];
    for (label, keys, says) in cases {
        let repo = Repo::describe(label).on_dev_image_with(keys).create(&world);
        let run = agent.hatchery(&["spawn", &repo.name()]);
        run.code(6).complains("error:").complains(says).complains("hint:");
        run.complains(".devcontainer/devcontainer.json:");
        inventory::assert_nothing_left(agent, &repo);
    }
    assert!(!std::path::Path::new("/tmp/hatchery-was-here").exists());
}

#[test]
fn an_image_cannot_bring_what_the_repository_may_not_ask_for() {
    let world = World::shared();
    let agent = world.agent();
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let metadata = "[{\\\"privileged\\\": true, \\\"mounts\\\": [\\\"type=bind,source=/etc,target=/host\\\"]}]";
    let dockerfile = format!("FROM {image}\nLABEL devcontainer.metadata=\"{metadata}\"\n");
    let repo = Repo::describe("p-image")
        .file(".devcontainer/Dockerfile", &dockerfile)
        .devcontainer(&json!({"build": {"dockerfile": "Dockerfile"}}))
        .create(&world);
    let run = agent.hatchery(&["spawn", &repo.name()]);
    if run.code == 0 {
        // The devcontainer CLI writes that label itself: what came of it must be harmless.
        let drone = agent.drone(&repo.drone());
        assert_eq!(drone.inspect("{{.HostConfig.Privileged}}"), "false");
        assert!(!drone.inspect("{{json .Mounts}}").contains("\"/etc\""));
    } else {
        run.code(6).complains("error:");
    }
}

#[test]
fn a_base_image_with_such_a_label_is_refused() {
    let world = World::shared();
    let agent = world.agent();
    let base = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let image = format!("hatchery.local/evil:{}", std::process::id());
    let label = "devcontainer.metadata=[{\"privileged\": true}]";
    let context = tempfile::tempdir().expect("a directory");
    std::fs::write(context.path().join("Dockerfile"), format!("FROM {base}\n")).expect("write");
    let folder = context.path().display().to_string();
    world.bed.docker(&["build", "-q", "--label", label, "-t", &image, &folder]).ok();
    let repo = Repo::describe("p-base").devcontainer(&json!({"image": image})).create(&world);
    let run = agent.hatchery(&["spawn", &repo.name()]);
    run.code(6).complains("privileged");
    inventory::assert_nothing_left(agent, &repo);
    world.bed.docker(&["rmi", &image]).ok();
}

#[test]
fn without_what_is_refused_a_spawn_goes_on_and_lists_it() {
    let world = World::shared();
    let agent = world.agent();
    let keys = json!({
        "initializeCommand": "touch /tmp/hatchery-was-here",
        "mounts": ["type=bind,source=/etc,target=/host"],
    });
    let repo = Repo::describe("p-without").on_dev_image_with(keys).create(&world);
    let run = agent.hatchery(&["spawn", &repo.name(), "--without-refused"]);
    let drone = agent.drone(run.ok());
    run.complains("initializeCommand").complains("/etc");
    assert!(!drone.inspect("{{json .Mounts}}").contains("\"/etc\""));
    assert!(!std::path::Path::new("/tmp/hatchery-was-here").exists());
}

#[test]
fn a_permission_of_the_administrator_counts_for_its_repositories_alone() {
    let world = World::shared();
    let rule = format!(
        "[[policy]]\nrepositories = [\"p-allowed-{}/*\"]\nallow = [\"privileged\"]",
        std::process::id()
    );
    let agent = world.own_agent(&rule);
    for (label, code) in [("p-allowed", 0), ("p-denied", 6)] {
        let repo =
            Repo::describe(label).on_dev_image_with(json!({"privileged": true})).create(&world);
        agent.hatchery(&["spawn", &repo.name()]).code(code);
        if code == 0 {
            let drone = agent.drone(&repo.drone());
            assert_eq!(drone.inspect("{{.HostConfig.Privileged}}"), "true");
        }
    }
}

#[test]
fn a_link_that_leaves_the_checkout_is_not_followed() {
    let world = World::shared();
    let agent = world.agent();
    let scratch = tempfile::tempdir().expect("a directory");
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let script = format!(
        "git init -q -b main . && mkdir .devcontainer && ln -s /etc/shadow .devcontainer/Dockerfile \
         && printf '{{\"build\": {{\"dockerfile\": \"Dockerfile\"}}, \"name\": \"{image}\"}}' \
         >.devcontainer/devcontainer.json && git add . && \
         git -c user.name=a -c user.email=a@b commit -qm First"
    );
    let mut shell = std::process::Command::new("sh");
    hatchery_tests::Run::of(shell.args(["-euc", &script]).current_dir(scratch.path())).ok();
    let repo = Repo::describe("p-link").from_directory(scratch.path()).create(&world);
    let run = agent.hatchery(&["spawn", &repo.name()]);
    run.code(6).complains("Dockerfile");
    assert!(!run.stderr.contains("root:"), "{}", run.report());
    inventory::assert_nothing_left(agent, &repo);
}
