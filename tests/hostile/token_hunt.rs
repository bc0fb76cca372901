//! Tokens are in memory, and nowhere else: no log, no argument, no environment, no file, no label.

use std::path::Path;

use hatchery_tests::{Operation, Repo, World};

/// What every token of the forge begins with.
const TOKEN: &str = "ghs_";

#[test]
fn no_token_is_written_down() {
    let world = World::shared();
    let agent = world.own_agent("");
    let repo = Repo::describe("hunt")
        .on_dev_image_with(
            serde_json::json!({"postCreateCommand": "git fetch; gh repo view >/dev/null"}),
        )
        .create(&world);
    let mut spawn = Operation::start(&agent, &["spawn", &repo.name()]);
    let mut seen = Vec::new();
    for step in ["clone", "build", "boot", "hooks", "ready"] {
        spawn.wait_for(step, "start");
        seen.extend(processes_with_token());
    }
    let spawned = spawn.finish();
    let drone = agent.drone(&repo.drone());
    drone.push_change("README.md", "hunted");
    drone.sh("gh pr list; gh auth status; drone-agent identity; drone-agent doctor || true").ok();
    seen.extend(processes_with_token());
    assert!(seen.is_empty(), "in arguments or environment of {seen:#?}");
    assert!(!spawned.report().contains(TOKEN), "in the output of spawn");
    let mut files = Vec::new();
    files_with_token(agent.home(), &mut files);
    assert!(files.is_empty(), "in {files:#?}");
    for view in ["list", "status", "logs"] {
        let args = if view == "list" { vec![view] } else { vec![view, drone.name()] };
        let run = agent.hatchery(&[&["--json"], &args[..]].concat());
        assert!(!run.report().contains(TOKEN), "in {view}");
    }
    let inspect = world.bed.docker(&["inspect", drone.name()]);
    assert!(!inspect.ok().contains(TOKEN), "in the container's settings");
    let diff = drone.root_sh(
        "grep -rlIs ghs_ /etc /root /home /tmp /var/log /var/lib/drone-agent /workspaces /run || true",
    );
    assert_eq!(diff.ok(), "", "in files of the drone");
    let tokens = agent.audit().into_iter().filter(|line| line["token_sha256_prefix"].is_string());
    assert!(tokens.count() > 0, "the audit log knows them by their digests");
}

/// Processes of this machine that have a token where others can see it. This test's own names what
/// it looks for, and tokens of other tests' deliberate environment are inside drones.
fn processes_with_token() -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let folder = entry.path();
        if !entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let read = |name: &str| {
            let bytes = std::fs::read(folder.join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let (arguments, environment) = (read("cmdline"), read("environ"));
        let program = arguments.split(' ').next().unwrap_or_default().to_owned();
        // gh gets its token in the environment of the one image that is exec'ed: by design.
        let gh = program.ends_with("gh");
        if is_token(&arguments) || (!gh && is_token(&environment)) {
            found.push(format!("{}: {program}", folder.display()));
        }
    }
    found
}

/// Whether a token is in it, not just the prefix that this test looks for.
fn is_token(text: &str) -> bool {
    text.split(TOKEN).skip(1).any(|rest| {
        rest.bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
            .count()
            > 30
    })
}

fn files_with_token(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type());
        if kind.as_ref().is_ok_and(std::fs::FileType::is_dir) {
            files_with_token(&path, found);
        } else if kind.is_ok_and(|kind| kind.is_file()) {
            let bytes = std::fs::read(&path).unwrap_or_default();
            if is_token(&String::from_utf8_lossy(&bytes)) {
                found.push(path.display().to_string());
            }
        }
    }
}
