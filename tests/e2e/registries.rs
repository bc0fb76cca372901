//! What comes from registries is looked at and pinned before anything is built from it.

use std::os::unix::fs::PermissionsExt as _;

use hatchery_tests::registry::{Silent, devcontainer_that};
use hatchery_tests::{HostAgent, Registry, Repo, Run, World, bed, inventory};
use serde_json::{Value, json};

/// The audit log's lines on what the policy decided about a repository's drone.
fn decisions(agent: &HostAgent, repo: &Repo) -> Vec<String> {
    let lines = agent.audit().into_iter();
    let own = lines.filter(|line| line["event"] == "policy" && line["drone"] == repo.drone());
    own.map(|line| line["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_published_feature_is_installed_pinned_and_recorded() {
    let world = World::shared();
    let agent = world.agent();
    let registry = Registry::start(world.bed);
    let digest = registry.publish("acme/plain", "1.2.3", &json!({}), "echo fine >/plain");
    let name = registry.reference("acme/plain:1");
    let keys = json!({"features": {&name: {}}});
    let repo = Repo::describe("reg-plain").on_dev_image_with(keys).create(&world);
    let drone = agent.spawn(&repo);
    assert_eq!(drone.sh("cat /plain").ok(), "fine");
    let pinned = format!("{}@{digest}", registry.reference("acme/plain"));
    let status = agent.json(&["status", drone.name()]);
    assert_eq!(status["references"][&name], json!(pinned), "{status:#}");
    let shown = agent.hatchery(&["status", drone.name()]);
    assert!(shown.ok().contains(&format!("{name} ({digest})")), "{}", shown.report());
    let said = format!("made from {name}: {pinned}");
    assert!(decisions(agent, &repo).contains(&said), "{:#?}", decisions(agent, &repo));
    let record = agent.state_dir().join("drones").join(format!("{}.json", drone.name()));
    let record: Value =
        serde_json::from_str(&std::fs::read_to_string(record).expect("a record")).expect("JSON");
    assert_eq!(record["references"], status["references"]);
}

/// A configuration of a host agent's with these registries alone, and `more`.
fn allowing(hosts: &[&str], more: &str) -> String {
    format!("[registries]\nallow = {hosts:?}\n{more}")
}

/// `[programs]` with another devcontainer CLI.
fn with_devcontainer(path: &str) -> String {
    format!("[programs]\ndevcontainer = {path:?}\n")
}

#[test]
fn what_a_feature_depends_on_is_judged_before_it_is_contacted() {
    let world = World::shared();
    let (registry, stranger) = (Registry::start(world.bed), Silent::listen());
    let inner = format!("{}/evil/inner:1", stranger.host());
    let middle = registry.reference("acme/middle:1");
    registry.publish("acme/middle", "1.0.0", &json!({"dependsOn": {&inner: {}}}), "true");
    registry.publish("acme/outer", "1.0.0", &json!({"dependsOn": {&middle: {}}}), "true");
    registry.publish("acme/after", "1.0.0", &json!({"installsAfter": [&inner]}), "true");
    let agent = world.own_agent(&allowing(&[&registry.host()], ""));
    for (label, feature, says) in [
        ("reg-depends", "acme/outer", format!("dependsOn {middle} dependsOn {inner}")),
        ("reg-after", "acme/after", format!("installsAfter {inner}")),
    ] {
        let name = registry.reference(&format!("{feature}:1"));
        let keys = json!({"features": {&name: {}}});
        let repo = Repo::describe(label).on_dev_image_with(keys).create(&world);
        let run = agent.hatchery(&["spawn", &repo.name()]);
        run.code(6).complains(&format!("features.{name} {says}"));
        run.complains(".devcontainer/devcontainer.json:").complains("allow = [\"registries\"]");
        assert_eq!(stranger.connections(), 0, "{}", run.report());
        inventory::assert_nothing_left(&agent, &repo);
        let refused = decisions(&agent, &repo);
        assert!(refused.iter().any(|line| line.contains(&says)), "{refused:#?}");
    }
    // Whoever permits it has it contacted: the counter counts.
    let rule = "[[policy]]\nrepositories = [\"*/*\"]\nallow = [\"registries\"]\n";
    let agent = world.own_agent(&allowing(&[&registry.host()], rule));
    let keys = json!({"features": {registry.reference("acme/outer:1"): {}}});
    let repo = Repo::describe("reg-permitted").on_dev_image_with(keys).create(&world);
    agent.hatchery(&["spawn", &repo.name()]).code(8).complains(&inner);
    assert!(stranger.connections() > 0, "it was to be contacted");
    inventory::assert_nothing_left(&agent, &repo);
}

#[test]
fn what_a_feature_asks_of_the_host_is_refused_before_the_build() {
    let world = World::shared();
    let registry = Registry::start(world.bed);
    let folder = tempfile::tempdir().expect("a directory");
    // Whatever is built leaves a trace.
    let agent = world.own_agent(&with_devcontainer(&devcontainer_that("true", folder.path())));
    let socket = json!([{"type": "bind", "source": "/var/run/docker.sock", "target": "/d.sock"}]);
    for (id, manifest, says, key) in [
        ("privileged", json!({"privileged": true}), "privileged", "privileged"),
        ("socket", json!({"mounts": socket}), "mounts", "docker-socket"),
        ("capable", json!({"capAdd": ["SYS_ADMIN"]}), "capAdd", "capabilities"),
        ("loose", json!({"securityOpt": ["apparmor=unconfined"]}), "securityOpt", "security-opt"),
    ] {
        let name = registry.reference(&format!("acme/{id}:1"));
        registry.publish(&format!("acme/{id}"), "1.0.0", &manifest, "true");
        let keys = json!({"features": {&name: {}}});
        let label = format!("reg-{id}");
        let repo = Repo::describe(&label).on_dev_image_with(keys).create(&world);
        let run = agent.hatchery(&["spawn", &repo.name()]);
        run.code(6).complains(&format!("features.{name} {says}"));
        run.complains(".devcontainer/devcontainer.json:");
        run.complains(&format!("allow = [\"{key}\"]"));
        inventory::assert_nothing_left(&agent, &repo);
    }
    assert!(!folder.path().join("done").exists(), "something was built");
    // Where it makes sense, a spawn goes on without.
    let keys = json!({"features": {registry.reference("acme/privileged:1"): {}}});
    let repo = Repo::describe("reg-without").on_dev_image_with(keys).create(&world);
    let drone = agent.spawn_with(&repo, &["--without-refused"]);
    assert_eq!(drone.inspect("{{.HostConfig.Privileged}}"), "false");
    assert!(folder.path().join("done").exists(), "the trace of a build");
}

#[test]
fn a_tag_that_moves_between_check_and_build_changes_nothing() {
    let world = World::shared();
    let registry = Registry::start(world.bed);
    let needs = json!({"dependsOn": {registry.reference("acme/dep:1"): {}}});
    for (id, manifest) in [("dep", json!({})), ("tool", needs)] {
        // Of another length: BuildKit takes a file of the same size and second for the same file.
        for version in ["1.0.0", "1.0.10"] {
            let install = format!("echo {version} >/{id}");
            registry.publish(&format!("acme/{id}"), version, &manifest, &install);
        }
        Run::of(
            world
                .bed
                .command("sh")
                .args(["-euc", &registry.retag(&format!("acme/{id}"), "1.0.0", "1")]),
        )
        .ok();
    }
    let before = ["dep", "tool"].map(|id| registry.digest(&format!("acme/{id}"), "1"));
    let moving = ["acme/dep", "acme/tool"].map(|path| registry.retag(path, "1.0.10", "1"));
    let folder = tempfile::tempdir().expect("a directory");
    let program = devcontainer_that(&moving.join(" && "), folder.path());
    let agent = world.own_agent(&with_devcontainer(&program));
    let keys = json!({"features": {registry.reference("acme/tool:1"): {}}});
    let repo = Repo::describe("reg-moved").on_dev_image_with(keys).create(&world);
    let drone = agent.spawn(&repo);
    let after = ["dep", "tool"].map(|id| registry.digest(&format!("acme/{id}"), "1"));
    assert!(before != after && folder.path().join("done").exists(), "the tags were to move");
    assert_eq!(drone.sh("cat /dep /tool").ok(), "1.0.0\n1.0.0");
    let status = agent.json(&["status", drone.name()]);
    for (id, digest) in ["dep", "tool"].into_iter().zip(&before) {
        let pinned = format!("{}@{digest}", registry.reference(&format!("acme/{id}")));
        let name = registry.reference(&format!("acme/{id}:1"));
        assert_eq!(status["references"][&name], json!(pinned), "{status:#}");
    }
    // A rebuild looks again.
    agent.hatchery(&["rebuild", drone.name()]).ok();
    assert_eq!(drone.sh("cat /dep /tool").ok(), "1.0.10\n1.0.10");
}

#[test]
fn a_base_image_is_recorded_and_its_tag_may_move() {
    let world = World::shared();
    let registry = Registry::start(world.bed);
    let base = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let old = registry.push(&base, "acme/base:1", "old");
    registry.push(&base, "acme/base:2", "new");
    let name = registry.reference("acme/base:1");
    let pinned = json!(format!("{}@{old}", registry.reference("acme/base")));
    let image = json!({"image": &name});
    let dockerfile = json!({"build": {"dockerfile": "Dockerfile"}});
    for (label, config) in [("reg-image", image), ("reg-file", dockerfile)] {
        let folder = tempfile::tempdir().expect("a directory");
        let moving = registry.retag("acme/base", "2", "1");
        let program = devcontainer_that(&moving, folder.path());
        let agent = world.own_agent(&with_devcontainer(&program));
        let repo = Repo::describe(label)
            .file(".devcontainer/Dockerfile", &format!("FROM scratch AS other\nFROM {name}\n"))
            .devcontainer(&config)
            .create(&world);
        let drone = agent.spawn(&repo);
        assert_ne!(registry.digest("acme/base", "1"), old, "the tag was to move");
        assert_eq!(drone.sh("cat /mark").ok(), "old");
        let status = agent.json(&["status", drone.name()]);
        assert_eq!(status["references"][&name], pinned, "{status:#}");
        drone.slay(&[]).ok();
        let back = format!("{}@{old}", registry.reference("acme/base"));
        Run::of(world.bed.command("sh").args(["-euc", &registry.retag("acme/base", &old, "1")]))
            .ok();
        world.bed.docker(&["rmi", "-f", &back, &name]).ok();
    }
}

#[test]
fn without_the_registry_nothing_is_made() {
    let world = World::shared();
    let mut registry = Registry::start(world.bed);
    registry.publish("acme/plain", "1.0.0", &json!({}), "true");
    let agent = world.agent();
    registry.stop();
    let feature = registry.reference("acme/plain:1");
    let image = registry.reference("acme/base:1");
    for (label, config, says) in [
        (
            "reg-down-feature",
            json!({"image": bed::setting("HATCHERY_TEST_IMAGE_DEV"), "features": {&feature: {}}}),
            &feature,
        ),
        ("reg-down-image", json!({"image": &image}), &image),
    ] {
        let repo = Repo::describe(label).devcontainer(&config).create(&world);
        let run = agent.hatchery(&["spawn", &repo.name()]);
        run.code(8).complains(says).complains("cannot be had from its registry");
        run.complains("hint:").complains("docker login");
        inventory::assert_nothing_left(agent, &repo);
        agent.hatchery(&["spawn", "--dry-run", &repo.name()]).code(if says == &feature {
            8
        } else {
            0
        });
        inventory::assert_nothing_left(agent, &repo);
    }
    registry.start_again();
    let keys = json!({"features": {registry.reference("acme/none:1"): {}}});
    let repo = Repo::describe("reg-none").on_dev_image_with(keys).create(&world);
    let run = agent.hatchery(&["spawn", &repo.name()]);
    run.code(8).complains("the registry has no feature").complains("acme/none:1");
    inventory::assert_nothing_left(agent, &repo);
}

#[test]
fn what_is_all_here_needs_no_registry_and_no_further_program() {
    let world = World::shared();
    let folder = tempfile::tempdir().expect("a directory");
    let (calls, real) = (folder.path().join("calls"), bed::setting("HATCHERY_TEST_DEVCONTAINER"));
    let path = folder.path().join("devcontainer");
    let text = format!("#!/bin/sh\necho \"$1\" >>{}\nexec {real} \"$@\"\n", calls.display());
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let agent = world.own_agent(&with_devcontainer(&path.display().to_string()));
    let manifest = json!({"id": "local", "version": "1.0.0", "name": "local"});
    let repo = Repo::describe("reg-local")
        .file(".devcontainer/local/devcontainer-feature.json", &manifest.to_string())
        .file(".devcontainer/local/install.sh", "#!/bin/sh\necho here >/local\n")
        .on_dev_image_with(json!({"features": {"./local": {}}}))
        .create(&world);
    let drone = agent.spawn(&repo);
    assert_eq!(drone.sh("cat /local").ok(), "here");
    let called = std::fs::read_to_string(&calls).expect("the calls");
    assert!(!called.contains("features"), "{called}");
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let status = agent.json(&["status", drone.name()]);
    let id = world.bed.docker(&["inspect", "-f", "{{.Id}}", &image]);
    assert_eq!(status["references"], json!({image: id.ok()}));
}

#[test]
fn a_check_and_a_dry_run_ask_the_registry_too() {
    let world = World::shared();
    let agent = world.agent();
    let registry = Registry::start(world.bed);
    let digest = registry.publish("acme/plain", "1.0.0", &json!({}), "true");
    registry.publish("acme/privileged", "1.0.0", &json!({"privileged": true}), "true");
    let checkout = tempfile::tempdir().expect("a directory");
    let file = checkout.path().join("devcontainer.json");
    for (label, id, code, refused) in [("plain", "plain", 0, 0), ("priv", "privileged", 6, 1)] {
        let name = registry.reference(&format!("acme/{id}:1"));
        let keys = json!({"features": {&name: {}}});
        let repo = Repo::describe(&format!("reg-dry-{label}"));
        let repo = repo.on_dev_image_with(keys.clone()).create(&world);
        let run = agent.hatchery(&["spawn", "--dry-run", &repo.name()]);
        let counts = format!("refused: {refused}, stripped: 0");
        assert!(run.code(code).stdout.contains(&counts), "{}", run.report());
        inventory::assert_nothing_left(agent, &repo);
        let config =
            json!({"image": bed::setting("HATCHERY_TEST_IMAGE_DEV"), "features": keys["features"]});
        std::fs::write(&file, config.to_string()).expect("written");
        let path = file.display().to_string();
        let asked = registry.requests().len();
        let offline = agent.hatchery(&["policy", "check", "--offline", &path]);
        // The text alone: that image belongs to no registry on the list.
        assert!(offline.code(6).stdout.contains("refused: 1,"), "{}", offline.report());
        assert_eq!(registry.requests().len(), asked, "offline");
        let check = agent.hatchery(&["policy", "check", &path]);
        assert!(check.code(code).stdout.contains(&counts), "{}", check.report());
        assert!(registry.requests().len() > asked, "it was to be asked");
        if code == 0 {
            let line = format!("made from  {name} ({digest})");
            assert!(run.stdout.contains(&line) && check.stdout.contains(&line), "{}", run.report());
        }
    }
    let mut registry = registry;
    registry.stop();
    let check = agent.hatchery(&["policy", "check", &file.display().to_string()]);
    check.code(0).complains("not known: what features ask for");
}

#[test]
fn what_a_manifest_hides_the_built_image_tells() {
    let world = World::shared();
    let registry = Registry::start(world.bed);
    registry.publish("acme/liar", "1.0.0", &json!({"privileged": true}), "true");
    let url = format!("http://{}/v2/acme/liar/manifests", registry.host());
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let script = format!(
        "curl -fsS -H 'Accept: {kind}' {url}/1 | sed 's/,.\"privileged.\":true//' | \
         curl -fsS -X PUT -H 'Content-Type: {kind}' --data-binary @- {url}/2"
    );
    Run::of(world.bed.command("sh").args(["-euc", &script])).ok();
    assert_ne!(registry.digest("acme/liar", "1"), registry.digest("acme/liar", "2"));
    let keys = json!({"features": {registry.reference("acme/liar:2"): {}}});
    let repo = Repo::describe("reg-liar").on_dev_image_with(keys).create(&world);
    let agent = world.agent();
    agent.hatchery(&["spawn", &repo.name()]).code(6).complains("image:").complains("privileged");
    inventory::assert_nothing_left(agent, &repo);
}

#[test]
fn a_lock_file_of_the_repositorys_is_obeyed() {
    let world = World::shared();
    let registry = Registry::start(world.bed);
    let old = registry.publish("acme/tool", "1.0.0", &json!({}), "echo 1.0.0 >/tool");
    registry.publish("acme/tool", "1.0.1", &json!({}), "echo 1.0.1 >/tool");
    assert_ne!(registry.digest("acme/tool", "1"), old);
    let name = registry.reference("acme/tool:1");
    let pinned = format!("{}@{old}", registry.reference("acme/tool"));
    let lock = format!(
        r#"{{"features": {{"{name}": {{"version": "1.0.0", "resolved": "{pinned}", "integrity": "{old}"}}}}}}"#
    );
    let repo = Repo::describe("reg-locked")
        .file(".devcontainer/devcontainer-lock.json", &lock)
        .on_dev_image_with(json!({"features": {&name: {}}}))
        .create(&world);
    let drone = world.agent().spawn(&repo);
    assert_eq!(drone.sh("cat /tool; git status --porcelain").ok(), "1.0.0");
    let status = world.agent().json(&["status", drone.name()]);
    assert_eq!(status["references"][&name], json!(pinned), "{status:#}");
}

#[test]
fn services_of_a_project_run_what_was_looked_at() {
    let world = World::shared();
    let registry = Registry::start(world.bed);
    let base = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let old = registry.push(&base, "acme/base:1", "old");
    registry.push(&base, "acme/base:2", "new");
    let name = registry.reference("acme/base:1");
    let folder = tempfile::tempdir().expect("a directory");
    let program = devcontainer_that(&registry.retag("acme/base", "2", "1"), folder.path());
    let agent = world.own_agent(&with_devcontainer(&program));
    let compose = json!({"services": {
        "app": {"image": &name, "command": "sleep infinity", "volumes": ["..:/workspaces/web"]},
        "db": {"image": &name, "command": "sleep infinity"},
    }});
    let repo = Repo::describe("reg-compose")
        .file(".devcontainer/compose.json", &compose.to_string())
        .devcontainer(&json!({"dockerComposeFile": "compose.json", "service": "app",
                              "workspaceFolder": "/workspaces/web"}))
        .create(&world);
    let drone = agent.spawn(&repo);
    assert_eq!(drone.sh("cat /mark").ok(), "old");
    let pinned = format!("{}@{old}", registry.reference("acme/base"));
    let status = agent.json(&["status", drone.name()]);
    assert_eq!(status["references"][&name], json!(pinned), "{status:#}");
    let format = "{{index .Config.Labels \"com.docker.compose.service\"}} {{.Config.Image}}";
    let listed = world.bed.docker(&["ps", "-q", "--filter", "label=com.docker.compose.service=db"]);
    let shown = listed.ok().lines().map(|id| world.bed.docker(&["inspect", "-f", format, id]));
    let shown: Vec<String> = shown.map(|run| run.ok().to_owned()).collect();
    assert!(shown.contains(&format!("db {pinned}")), "{shown:?}");
    drone.slay(&[]).ok();
    world.bed.docker(&["rmi", "-f", &pinned, &name]).ok();
}
