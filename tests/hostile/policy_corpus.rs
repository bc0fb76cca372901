//! The corpora of configurations, on real parts: what asks for nothing dangerous spawns, and of what
//! does not no container is ever made.
//!
//! A harmless case is spawned where a file `<case>.spawn` beside it says which images of the testbed
//! stand for those that it names: `<image> = dev` or `= debian`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hatchery_tests::{Bed, HostAgent, Repo, Turn, World, bed, inventory};

/// Spawns at once: the machine's two CPUs and somebody who waits.
const AT_ONCE: usize = 3;

fn corpus(name: &str) -> PathBuf {
    Bed::checkout("tests/fixtures/policy").join(name)
}

/// What is replaced in a case's files: an image's name and the testbed's image for it.
fn stand_ins(rule: &str) -> Vec<(String, String)> {
    rule.lines()
        .map(|line| {
            let (image, by) = line.rsplit_once(" = ").expect("<image> = dev|debian");
            assert!(matches!(by, "dev" | "debian"), "{by} is no image of the testbed");
            let setting =
                if by == "dev" { "HATCHERY_TEST_IMAGE_DEV" } else { "HATCHERY_TEST_IMAGE_BASE" };
            (image.to_owned(), bed::setting(setting))
        })
        .collect()
}

/// A repository with the files of a case.
fn repository(world: &Turn, label: &str, case: &Path, stand_ins: &[(String, String)]) -> Repo {
    let mut repo = Repo::describe(label);
    let mut folders = vec![case.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut text = std::fs::read_to_string(&path).expect("text");
            for (image, by) in stand_ins {
                text = text.replace(image, by);
            }
            let below = path.strip_prefix(case).expect("below the case").display().to_string();
            repo = repo.file(&below, &text);
        }
    }
    repo.create(world)
}

/// Spawns a case, looks into it and slays it; what went wrong otherwise.
fn spawn(world: &Turn, agent: &HostAgent, rule: &Path) -> Option<String> {
    let name = rule.file_stem().expect("a name").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(rule).expect("a rule");
    let case = rule.with_extension("");
    let repo = repository(world, &format!("h-{name}"), &case, &stand_ins(&text));
    let run = agent.hatchery(&["spawn", &repo.name()]);
    if run.code != 0 {
        return Some(format!("{name}: {}", run.report()));
    }
    let drone = agent.drone(&repo.drone());
    let inside = drone.sh("git rev-parse --is-inside-work-tree");
    if inside.code != 0 || inside.stdout.trim() != "true" {
        return Some(format!("{name}: {}", inside.report()));
    }
    drone.slay(&["--force"]).ok();
    inventory::assert_nothing_left(agent, &repo);
    None
}

/// Does `work` for each of `cases`, several at once; everything that it complains of.
fn for_each(
    cases: VecDeque<PathBuf>,
    work: impl Fn(&Path) -> Option<String> + Sync,
) -> Vec<String> {
    let (cases, wrong) = (Mutex::new(cases), Mutex::new(vec![]));
    let next = || cases.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                while let Some(case) = next() {
                    let complaint = work(&case);
                    wrong.lock().unwrap_or_else(PoisonError::into_inner).extend(complaint);
                }
            });
        }
    });
    wrong.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn harmless_configurations_spawn() {
    let world = World::shared();
    let agent = world.agent();
    let entries = std::fs::read_dir(corpus("harmless")).expect("the corpus");
    let mut rules: VecDeque<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    rules.retain(|path| path.extension().is_some_and(|extension| extension == "spawn"));
    let count = rules.len();
    assert!(count >= 12, "{count} cases are spawned");
    let wrong = for_each(rules, |rule| spawn(&world, agent, rule));
    println!("harmless: {count} spawned, failed: {}", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Hostile cases that are tried on real parts; the command line alone tries them all.
const TRIED: [&str; 14] = [
    "build-options",
    "compose-include",
    "compose-mounts",
    "compose-privileges",
    "compose-runs-on-the-host",
    "compose-secrets-and-configs",
    "dockerfile-hides-behind-heredocs",
    "dockerfile-of-strangers",
    "features-of-strangers",
    "initialize-command",
    "keys-twice-escaped",
    "labels-of-ours",
    "mounts-of-the-host",
    "run-args-short",
];

#[test]
fn of_what_is_refused_no_container_is_ever_made() {
    let world = World::shared();
    let agent = world.agent();
    let began = now();
    let cases = TRIED.iter().map(|name| corpus("hostile").join(name)).collect();
    let wrong = for_each(cases, |case| {
        let name = case.file_name().expect("a name").to_string_lossy().into_owned();
        let repo = repository(&world, &format!("x-{name}"), case, &[]);
        let run = agent.hatchery(&["spawn", &repo.name()]);
        if run.code != 6 || !run.stderr.contains(".devcontainer/") {
            return Some(format!("{name}: {}", run.report()));
        }
        inventory::assert_nothing_left(agent, &repo);
        None
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let format = "{{.Actor.Attributes.name}} {{.Actor.Attributes.image}}";
    let (since, until) = (format!("--since={began}"), format!("--until={}", now()));
    let created = ["--filter=type=container", "--filter=event=create", "--format", format];
    let events = world.bed.docker(&[&["events", &since, &until], created.as_slice()].concat());
    let drones = TRIED.map(|name| format!("x-{name}-{}-web", std::process::id()));
    let of_drone = |line: &&str| drones.iter().any(|drone| line.contains(drone));
    let ours: Vec<&str> = events.ok().lines().filter(of_drone).collect();
    assert!(ours.is_empty(), "containers were made: {ours:#?}");
    println!("hostile: {} tried, containers: 0", TRIED.len());
}

#[test]
fn an_image_cannot_speak_for_another_drone() {
    let world = World::shared();
    let agent = world.agent();
    let base = bed::setting("HATCHERY_TEST_IMAGE_BASE");
    let image = format!("hatchery.local/liar:{}", std::process::id());
    let context = tempfile::tempdir().expect("a directory");
    let dockerfile =
        format!("FROM {base}\nLABEL hatchery.drone=acme-other hatchery.seal=0 hatchery.x=y\n");
    std::fs::write(context.path().join("Dockerfile"), dockerfile).expect("write");
    let folder = context.path().display().to_string();
    world.bed.docker(&["build", "-q", "-t", &image, &folder]).ok();
    let compose = format!(
        "services:\n  app: {{image: \"{base}\", command: sleep infinity}}\n  \
         db: {{image: \"{image}\", command: sleep infinity}}\n"
    );
    let sibling = Repo::describe("x-liar-sibling")
        .file(".devcontainer/compose.yaml", &compose)
        .devcontainer(&serde_json::json!({"dockerComposeFile": "compose.yaml", "service": "app"}))
        .create(&world);
    let alone = Repo::describe("x-liar")
        .devcontainer(&serde_json::json!({ "image": image }))
        .create(&world);
    for repo in [sibling, alone] {
        let run = agent.hatchery(&["spawn", &repo.name()]);
        run.code(6).complains("hatchery.");
        inventory::assert_nothing_left(agent, &repo);
    }
    world.bed.docker(&["rmi", &image]).ok();
}

/// Seconds since 1970, as the engine's events take them.
fn now() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed();
    since.expect("a clock that is right").as_secs()
}
