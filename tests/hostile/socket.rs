//! A drone's socket answers that drone alone, for what it was granted.

use hatchery_tests::{Repo, World, bed, inventory};
use serde_json::Value;

const ASK: &str =
    "curl -s -w ' %{http_code}' --unix-socket /run/drone-agent/agent.sock http://localhost";

#[test]
fn a_socket_that_leaked_into_another_container_is_useless_there() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("leak").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let directory = agent.state_dir().join("sockets").join(drone.name());
    let mount = format!("{}:/run/drone-agent", directory.display());
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    for path in ["/token", "/v1/token", "/v1/identity"] {
        let ask = format!("{ASK}{path}");
        let run = world.bed.docker(&["run", "--rm", "-v", &mount, &image, "sh", "-c", &ask]);
        let answer = run.ok();
        assert!(answer.ends_with(" 403"), "{answer}");
        assert!(!answer.contains("ghs_"), "a token");
        for detail in [repo.name(), drone.name().to_owned(), "cgroup".to_owned(), "pid".to_owned()]
        {
            assert!(!answer.contains(&detail), "the refusal tells {detail}: {answer}");
        }
    }
    let refused = agent.audit().into_iter().find(|line| {
        line["drone"] == drone.name()
            && line["event"] == "attest"
            && line["reason"].as_str().is_some_and(|text| !text.is_empty())
    });
    let refused = refused.expect("a line in the audit log");
    assert!(refused["pid"].is_u64() || refused["pid"].is_i64(), "{refused}");
    assert!(drone.sh(&format!("{ASK}/token")).ok().ends_with(" 200"), "the drone itself is served");
}

#[test]
fn the_host_itself_is_no_drone() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("hostside").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let socket = agent.state_dir().join("sockets").join(drone.name()).join("agent.sock");
    let answer = hatchery_tests::http::request(&socket, "GET", "/token", "").expect("an answer");
    assert_eq!(answer.status, 403, "{}", answer.body);
}

#[test]
fn no_spelling_of_a_repository_leads_outside_the_grants() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("spell").on_dev_image().create(&world);
    let other = Repo::describe("spell").beside(&repo).named("other").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    drone.sh("git fetch -q").ok();
    let before = repo.mints();
    let (own, foreign) = (repo.name(), other.name());
    let queries = [
        format!("repo={foreign}"),
        format!("repo={own}&repo={foreign}"),
        format!("repo={own}%2F..%2Fother"),
        format!("repo={own}/../other"),
        format!("repo={}", foreign.to_uppercase()),
        format!("repo={foreign}.git"),
        format!("repo={own}%00{foreign}"),
        format!("repo={own}%0a{foreign}"),
        format!("repo={own},{foreign}"),
        "repo=".to_owned(),
        "repo=*".to_owned(),
        format!("repo={}/*", repo.owner()),
        format!("repo=%2525{own}"),
        format!("Repo={foreign}"),
        format!("repo[]={foreign}"),
        format!("repo={foreign}&min_valid=-1"),
        format!("repo={own}&min_valid=99999999999999999999"),
    ];
    for query in queries {
        let ask = format!(
            "curl -s -g -w ' %{{http_code}}' --unix-socket /run/drone-agent/agent.sock \
             'http://localhost/v1/token?{query}'"
        );
        let answer = drone.sh(&ask).ok().to_owned();
        let (body, status) = answer.rsplit_once(' ').expect("a status");
        let only_own = |body: &str| {
            serde_json::from_str::<Value>(body)
                .is_ok_and(|token| token["repositories"] == serde_json::json!([own]))
        };
        let refused = ["400", "403", "404", "502"].contains(&status) && !body.contains("ghs_");
        assert!(refused || (status == "200" && only_own(body)), "{query}: {status}");
    }
    assert_eq!(repo.mints(), before, "the forge was not asked");
}

#[test]
fn a_drone_that_was_slain_has_no_socket() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("gone").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let directory = agent.state_dir().join("sockets").join(drone.name());
    assert!(directory.is_dir());
    drone.slay(&[]).ok();
    assert!(!directory.exists());
    inventory::assert_nothing_left(agent, &repo);
}
