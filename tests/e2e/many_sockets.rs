//! Hundreds of drones on one host agent: each socket answers, also after a kill.

use std::path::Path;

use hatchery_tests::{HostAgent, Repo, World, http};
use serde_json::{Value, json};

/// Drones beside the one that is there.
const OTHERS: usize = 499;

fn name(number: usize) -> String {
    format!("crowd-{number}")
}

/// Records of drones whose containers are gone: for a host agent they are drones to listen for.
fn crowd(records: &Path, like: &str) {
    let text = std::fs::read(records.join(format!("{like}.json"))).expect("a record");
    let mut record: Value = serde_json::from_slice(&text).expect("JSON");
    for number in 0..OTHERS {
        record["drone"] = json!(name(number));
        record["container_id"] = json!(format!("{number:064x}"));
        let file = records.join(format!("{}.json", name(number)));
        std::fs::write(file, record.to_string()).expect("a record");
    }
}

/// Asks on every socket; the host is no drone, and is told so.
fn ask_everywhere(agent: &HostAgent) {
    for number in 0..OTHERS {
        let socket = agent.state_dir().join("sockets").join(name(number)).join("agent.sock");
        let answer = http::request(&socket, "GET", "/token", "");
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
        assert_eq!(answer.status, 403, "{}", answer.body);
    }
}

#[test]
fn five_hundred_sockets_answer_after_a_kill_and_no_answer_is_untold() {
    let world = World::shared();
    let agent = world.own_agent("");
    let repo = Repo::describe("one-of-many").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    agent.kill();
    crowd(&agent.state_dir().join("drones"), drone.name());
    for round in 1..=2 {
        agent.start_again();
        drone.sh("git fetch -q").ok();
        ask_everywhere(&agent);
        agent.kill();
        let audit = agent.audit();
        for number in 0..OTHERS {
            let of_it = |line: &&Value| line["event"] == "attest" && line["drone"] == name(number);
            assert_eq!(audit.iter().filter(of_it).count(), round, "{}", name(number));
        }
    }
    agent.start_again();
}
