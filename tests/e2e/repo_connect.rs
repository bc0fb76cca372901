//! Further repositories for a drone that runs: connected, narrowed and taken away, live.

use hatchery_tests::{Repo, World};

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
fn what_cannot_be_connected_or_disconnected_is_said() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("connect-bad").on_dev_image().create(&world);
    let elsewhere = Repo::describe("connect-none").on_dev_image().permissions(None).create(&world);
    let drone = agent.spawn(&repo);
    let connect =
        |rest: &[&str]| agent.hatchery(&[&["repo", "connect", drone.name()], rest].concat());
    connect(&[&elsewhere.name()]).code(3).complains("installations/new");
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

#[test]
fn a_record_is_the_old_or_the_new_one_whenever_the_host_agent_is_killed() {
    const KILLS: u64 = 20;
    let world = World::shared();
    let agent = world.own_agent("");
    let repo = Repo::describe("torn").on_dev_image().create(&world);
    let library = Repo::describe("torn-lib").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let path = agent.state_dir().join("drones").join(format!("{}.json", drone.name()));
    let verbs = ["connect", "disconnect"];
    let (mut granted, mut version, mut grants) = (false, 0, 0);
    for kill in 0..KILLS {
        let verb = verbs[usize::from(granted)];
        let mut change = agent.hatchery_command(&["repo", verb, drone.name(), &library.name()]);
        let quiet = std::process::Stdio::null;
        change.stdin(quiet()).stdout(quiet()).stderr(quiet());
        let mut change = change.spawn().expect("hatchery starts");
        // Other moments each time, from before the request arrives to after the answer.
        std::thread::sleep(std::time::Duration::from_millis(kill * 9));
        agent.kill();
        change.wait().expect("a child of ours");
        let text = std::fs::read_to_string(&path).expect("the record");
        let record: serde_json::Value = serde_json::from_str(&text).expect("a whole record");
        let ids: Vec<_> = record["grants"].as_array().expect("grants").iter().collect();
        let has = |id: u64| ids.iter().any(|grant| grant["repo_id"] == id);
        assert!(has(repo.id()), "{text}");
        grants += usize::from(!granted && has(library.id()));
        granted = has(library.id());
        let now = record["grant_version"].as_u64().expect("a version");
        assert!(now == version || now == version + 1 || kill == 0, "{version} became {now}");
        version = now;
        agent.start_again();
        let listed = agent.hatchery(&["repo", "list", drone.name()]);
        assert_eq!(listed.ok().contains(&library.name()), granted, "{text}");
        let told = agent.audit().into_iter().filter(|line| {
            line["event"] == "grant" && line["repository"] == library.name().as_str()
        });
        assert!(told.count() >= grants, "a grant without a trace");
    }
    drone.sh("git fetch -q").ok();
}
