//! Further repositories for a drone that runs: connected, narrowed and taken away, live.

use hatchery_tests::repo::usual_permissions;
use hatchery_tests::{HostAgent, Repo, Watch, World};

#[test]
fn a_connected_repository_works_at_once_and_a_disconnected_one_no_more() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("connect").on_dev_image().create(&world);
    let library = Repo::describe("connect-lib").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let clone = format!("git clone -q {} /tmp/lib", library.url());
    let refused = drone.sh(&clone);
    assert_ne!(refused.code, 0);
    refused.complains(&format!("hatchery repo connect {} {}", drone.name(), library.name()));

    agent.hatchery(&["repo", "connect", drone.name(), &library.name()]).ok();
    drone.sh(&clone).ok();
    drone.sh("cd /tmp/lib; echo 1 >>README.md; git commit -qam One; git push -q origin HEAD").ok();
    assert_eq!(library.git(&["show", "main:README.md"]).ok(), "# Web\n1");
    let listed = agent.hatchery(&["repo", "list", drone.name()]);
    assert!(listed.ok().contains(&library.name()), "{}", listed.report());

    agent.hatchery(&["repo", "disconnect", drone.name(), &library.name()]).ok();
    assert_eq!(library.tokens(), 0, "what was minted is taken back");
    assert_ne!(drone.sh("cd /tmp/lib; git fetch -q").code, 0);
    drone.sh("git fetch -q").ok();
}

#[test]
fn a_repository_connected_for_reading_takes_no_push() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("connect-ro").on_dev_image().create(&world);
    let library = Repo::describe("connect-ro-lib").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    agent.hatchery(&["repo", "connect", drone.name(), &library.name()]).ok();
    drone.sh(&format!("git clone -q {} /tmp/lib", library.url())).ok();
    // What was minted for writing must not outlive the change.
    agent.hatchery(&["repo", "connect", drone.name(), &library.name(), "--read-only"]).ok();
    drone.sh("cd /tmp/lib; git fetch -q; echo 1 >>README.md; git commit -qam One").ok();
    let push = drone.sh("cd /tmp/lib; git push -q origin HEAD");
    assert_ne!(push.code, 0);
    push.complains("403");
}

#[test]
fn a_push_that_changes_workflows_is_hinted_at_refused_and_passes_once_it_may() {
    let world = World::shared();
    let agent = world.agent();
    let mut permissions = usual_permissions();
    permissions["workflows"] = "write".into();
    let repo = Repo::describe("connect-workflows").on_dev_image().permissions(Some(permissions));
    let repo = repo.create(&world);
    let drone = agent.spawn(&repo);
    let connect = format!(
        "hatchery repo connect {} {} --permissions workflows=write",
        drone.name(),
        repo.name()
    );
    let plain = drone.sh("echo 1 >>README.md; git commit -qam One; git push -q origin HEAD");
    assert!(!plain.ok().contains("workflows") && !plain.stderr.contains("workflows"));
    drone
        .sh("mkdir -p .github/workflows; echo 'on: push' >.github/workflows/ci.yml; \
             git add .github; git commit -qm CI")
        .ok();
    let refused = drone.sh("cd .github; git push -q origin HEAD");
    assert_ne!(refused.code, 0, "{}", refused.report());
    refused.complains("refusing to allow a GitHub App").complains(&connect);
    let told = refused.stderr.matches(&connect).count();
    assert_eq!(told, 1, "once: {}", refused.report());
    assert!(!drone.sh("git fetch").stderr.contains("workflows"), "a fetch is no push");

    // The command as it was shown: it adds, and leaves what the drone had.
    let words: Vec<&str> = connect.split(' ').skip(1).collect();
    agent.hatchery(&words).ok();
    let pushed = drone.sh("git push -q origin HEAD");
    assert!(!pushed.stderr.contains("hint:"), "{}", pushed.report());
    pushed.ok();
    assert_eq!(repo.git(&["show", "main:.github/workflows/ci.yml"]).ok(), "on: push");
    drone.sh("gh issue list").ok();
    let listed = agent.hatchery(&["repo", "list", drone.name()]);
    assert!(listed.ok().contains("workflows=write") && listed.ok().contains("issues=write"));
}

#[test]
fn status_names_what_the_installation_lacks_and_the_way_to_it() {
    let world = World::shared();
    let agent = world.agent();
    let mut fewer = usual_permissions();
    fewer.as_object_mut().expect("permissions").remove("checks");
    let repo = Repo::describe("lacks").on_dev_image().permissions(Some(fewer)).create(&world);
    let drone = agent.spawn(&repo);
    let (name, own) = (drone.name().to_owned(), repo.name());
    let connect = format!("hatchery repo connect {name} {own} --permissions checks=read");
    let status = agent.hatchery(&["status", &name]);
    assert!(status.ok().contains("lacks checks=read"), "{}", status.report());
    assert!(status.ok().contains(&connect), "{}", status.report());
    world.forge.install(repo.owner(), &usual_permissions());
    agent.hatchery(&connect.split(' ').skip(1).collect::<Vec<_>>()).ok();
    let status = agent.hatchery(&["status", &name]);
    assert!(!status.ok().contains("lacks checks"), "{}", status.report());
    // Narrowed on purpose, it lacks nothing.
    agent.hatchery(&["repo", "connect", &name, &own, "--read-only"]).ok();
    assert!(!agent.hatchery(&["status", &name]).ok().contains("lacks checks"));
}

#[test]
fn what_cannot_be_connected_or_disconnected_is_said() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("connect-bad").on_dev_image().create(&world);
    let elsewhere = Repo::describe("connect-none").on_dev_image().permissions(None).create(&world);
    let drone = agent.spawn(&repo);
    let connect =
        |rest: &[&str]| agent.hatchery(&[&["repo", "connect", drone.name()], rest].concat());
    connect(&[&elsewhere.name()])
        .code(3)
        .complains("/apps/hatchery/installations/new/permissions?suggested_target_id=");
    connect(&["../etc"]).code(2);
    connect(&[&repo.name(), "--permissions", "administration=write"])
        .code(6)
        .complains("administration");
    let own = agent.hatchery(&["repo", "disconnect", drone.name(), &repo.name()]);
    own.code(6).complains("own repository");
    agent.hatchery(&["repo", "disconnect", drone.name(), &elsewhere.name()]).code(3);
    agent.hatchery(&["repo", "list", "no-such-drone"]).code(3);
    drone.sh("git fetch -q").ok();
}

/// After so many things that happened to the audit log and the records a kill comes: the line in the
/// log, the new record, each write to it, its move into place.
const MOMENTS: [usize; 11] = [1, 2, 3, 4, 6, 9, 13, 19, 28, 42, 63];

/// Kills the host agent at this moment of a change. Whether the change was not over yet.
fn kill_at(agent: &HostAgent, change: &[&str], moment: usize) -> bool {
    let state = agent.state_dir();
    let mut change = agent.hatchery_command(change);
    let quiet = std::process::Stdio::null;
    change.stdin(quiet()).stdout(quiet()).stderr(quiet());
    let watch = Watch::of(&[&state, &state.join("drones")]);
    let mut change = change.spawn().expect("hatchery starts");
    watch.wait_for(moment, || change.try_wait().expect("a child of ours").is_some());
    agent.kill();
    !change.wait().expect("a child of ours").success()
}

#[test]
fn a_record_is_the_old_or_the_new_one_whenever_the_host_agent_is_killed() {
    let world = World::shared();
    let agent = world.own_agent("");
    let repo = Repo::describe("torn").on_dev_image().create(&world);
    let library = Repo::describe("torn-lib").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let records = agent.state_dir().join("drones");
    let path = records.join(format!("{}.json", drone.name()));
    let (mut granted, mut version, mut grants, mut cut_off) = (false, 0, 0, 0);
    for moment in MOMENTS.iter().chain(&MOMENTS) {
        let verb = ["connect", "disconnect"][usize::from(granted)];
        let change = ["repo", verb, drone.name(), &library.name()];
        cut_off += usize::from(kill_at(&agent, &change, *moment));
        let text = std::fs::read_to_string(&path).expect("the record");
        let record: serde_json::Value = serde_json::from_str(&text).expect("a whole record");
        let has = |id: u64| {
            let grants = record["grants"].as_array().expect("grants");
            grants.iter().any(|grant| grant["repo_id"] == id)
        };
        assert!(has(repo.id()), "{text}");
        grants += usize::from(!granted && has(library.id()));
        granted = has(library.id());
        let now = record["grant_version"].as_u64().expect("a version");
        assert!(version == 0 || now == version || now == version + 1, "{version} became {now}");
        version = now;
        agent.start_again();
        let listed = agent.hatchery(&["repo", "list", drone.name()]);
        assert_eq!(listed.ok().contains(&library.name()), granted, "{text}");
        let told = agent.audit().into_iter().filter(|line| {
            line["event"] == "grant" && line["repository"] == library.name().as_str()
        });
        assert!(told.count() >= grants, "a grant without a trace");
        let left = std::fs::read_dir(&records).expect("records").count();
        assert_eq!(left, 1, "half a record is swept away");
    }
    assert!(cut_off > 0, "each change was over before the kill");
    drone.sh("git fetch -q").ok();
}
