//! What a drone writes in its workspace, and what then happens on the host: its own checks, a
//! rebuild, a slay.

use serde_json::{Value, json};

use super::report::Report;
use super::scene::Scene;
use hatchery_tests::{Run, bed};

const TRAPS: &str = include_str!("tree.sh");

/// git as a careless caller runs it.
const CARELESS: &str = "mkdir -p /tmp/marks; cd \"$CLONE\"; git status; git diff; git log -p --show-signature -1; git fetch evil; \
     git -c safe.directory='*' -C .devcontainer show HEAD; git commit -qam x; git push evil; true";

const CONFIG: &str = ".devcontainer/devcontainer.json";

/// Sets the traps, and lets the host do with that workspace all that it does.
pub fn attempt(scene: &Scene<'_>, report: &mut Report) {
    let marks = scene.agent.home().join("marks");
    std::fs::create_dir(&marks).expect("a directory of the host");
    let traps = inside(scene, TRAPS);
    let traps: Vec<&str> = traps.ok().lines().collect();
    let name = scene.attacker.name();
    let run = |line: &[&str]| scene.agent.hatchery(line);
    let slain = run(&["slay", name]);
    let quiet = slain.code == 7 && slain.stderr.chars().all(|c| c == '\n' || !c.is_control());
    report.add("words for the terminal", "names of files", (!quiet).then(|| slain.report()));
    with_a_git_of_its_own(scene, report);
    run(&["burrow", name]).ok();
    run(&["slay", name]).code(7);
    run(&["unburrow", name]).ok();
    builds_over_all_of_it(scene, report);
    see_that_traps_work(scene, &traps);
    rebuilds(scene, report);
    run(&["status", name]).ok();
    for trap in &traps {
        let ran = marks.join(trap).exists().then(|| "its mark is on the host".to_owned());
        report.add("programs of the workspace on the host", trap, ran);
    }
}

/// Some of the traps run where nobody takes care: they are what they are meant to be.
fn see_that_traps_work(scene: &Scene<'_>, traps: &[&str]) {
    inside(scene, CARELESS).ok();
    let marked = inside(scene, "ls /tmp/marks");
    let marked: Vec<&str> = marked.ok().lines().collect();
    for trap in ["fsmonitor", "filter-clean", "remote-ext", "nested-repository"] {
        assert!(marked.contains(&trap), "{trap} does not work, only {marked:?}");
    }
    assert!(traps.len() >= 40, "{traps:?}");
}

/// The check in the drone runs the drone's git: it can lie about its own work, and nothing else.
fn with_a_git_of_its_own(scene: &Scene<'_>, report: &mut Report) {
    let script = "printf '#!/bin/sh\\nyes \"$(printf \"\\\\033[2J\\\\033]0;x\\\\007\")\" | head -c 3000000\\n' \
         >/usr/local/bin/git; chmod 755 /usr/local/bin/git";
    inside(scene, script).ok();
    let slain = scene.agent.hatchery(&["slay", scene.attacker.name()]);
    let tame =
        slain.stderr.len() < 65536 && slain.stderr.chars().all(|c| c == '\n' || !c.is_control());
    let got = (slain.code != 7 || !tame).then(|| slain.report());
    report.add("words for the terminal", "megabytes of a git of its own", got);
    inside(scene, "rm /usr/local/bin/git").ok();
}

/// Each edit of the workspace, and a rebuild: refused, or of no effect.
#[expect(clippy::too_many_lines, reason = "a table")]
fn rebuilds(scene: &Scene<'_>, report: &mut Report) {
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let victims = format!("hatchery/{}", scene.victim.name());
    let listed = scene.world.bed.docker(&[
        "images",
        "--format",
        "{{.Repository}}:{{.Tag}} {{.ID}}",
        &victims,
    ]);
    let (name, id) =
        listed.ok().lines().next().and_then(|line| line.split_once(' ')).expect("an image");
    let file = scene.secret_file();
    let to_file = format!("ln -sfn {file} {CONFIG}");
    let to_folder =
        format!("rm -rf .devcontainer; ln -sfn {} .devcontainer", scene.agent.home().display());
    let dockerfile =
        format!("rm -rf .devcontainer/Dockerfile; ln -sfn {file} .devcontainer/Dockerfile");
    let built = json!({"build": {"dockerfile": "Dockerfile"}});
    let with = |key: &str, value: Value| json!({"image": image, key: value});
    let edits = [
        ("a configuration that is a link to a file of the host", to_file.as_str(), Value::Null),
        ("a folder that is a link to a directory of the host", &to_folder, Value::Null),
        ("a Dockerfile that is a link to a file of the host", &dockerfile, built.clone()),
        ("the victim's image by its name", "", with("image", json!(name))),
        ("the victim's image by its id", "", with("image", json!(id))),
        (
            "the victim's volume",
            "",
            with(
                "mounts",
                json!([format!("source=hatchery-{},target=/v,type=volume", scene.victim.name())]),
            ),
        ),
        (
            "the victim's network namespace",
            "",
            with("runArgs", json!([format!("--network=container:{}", scene.victim.name())])),
        ),
        (
            "the victim's label",
            "",
            with("runArgs", json!([format!("--label=hatchery.drone={}", scene.victim.name())])),
        ),
        (
            "the victim's socket",
            "",
            with(
                "mounts",
                json!([format!(
                    "source={}/sockets/{},target=/v,type=bind",
                    scene.agent.state_dir().display(),
                    scene.victim.name()
                )]),
            ),
        ),
        (
            "a command on the host",
            "",
            with(
                "initializeCommand",
                json!(format!("touch {}/marks/initialize", scene.agent.home().display())),
            ),
        ),
    ];
    for (name, script, config) in edits {
        let run = rebuild(scene, script, &config);
        let got = (run.code == 0 || run.report().contains(&scene.secret)).then(|| run.report());
        report.add("rebuilds of an edited workspace", name, got);
    }
}

/// A rebuild that is allowed runs the builder over all the traps.
fn builds_over_all_of_it(scene: &Scene<'_>, report: &mut Report) {
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let dockerfile = format!("printf 'FROM {image}\\nCOPY . /copied\\n' >.devcontainer/Dockerfile");
    rebuild(scene, &dockerfile, &json!({"build": {"dockerfile": "Dockerfile"}})).ok();
    inside(scene, "ls /copied/.npmrc").ok();
    let read = inside(scene, "cd \"$CLONE\"; cat /copied/* escape-secret 2>&1; true");
    let got = read.stdout.contains(&scene.secret).then(|| read.report());
    report.add("rebuilds of an edited workspace", "a link among what is copied", got);
}

/// Runs `script` in the clone, puts `config` there unless it is null, and rebuilds.
fn rebuild(scene: &Scene<'_>, script: &str, config: &Value) -> Run {
    let mut whole = format!("cd \"$CLONE\"; {script}\n");
    if !config.is_null() {
        whole += &format!(
            "test -L .devcontainer && rm .devcontainer; mkdir -p .devcontainer; rm -f {CONFIG}; \
             cat >{CONFIG} <<'JSON'\n{config}\nJSON\n"
        );
    }
    inside(scene, &whole).ok();
    scene.agent.hatchery(&["rebuild", scene.attacker.name()])
}

/// Runs a shell script inside the attacker as root.
fn inside(scene: &Scene<'_>, script: &str) -> Run {
    let clone = format!("CLONE={}", scene.own.workspace());
    let marks = format!("MARKS={}", scene.agent.home().join("marks").display());
    scene.inside(&["env", "HOME=/tmp/home", &clone, &marks, "bash", "-c", script], "")
}
