//! The forge is down in the middle of work: what is cached and valid is served all the same.

use std::time::Duration;

use hatchery_tests::{Drone, Repo, Run, World, wait_until};
use serde_json::json;

const ASK: &str =
    concat!(include_str!("../hostile/attempts/prelude.pl"), include_str!("../hostile/peace.pl"));

/// Questions of each drone in each kind of trouble.
const QUESTIONS: usize = 100;

/// How long tokens live, in seconds: as GitHub's; so that the next one is fetched ahead; less than
/// what is asked for, so that each request would have to wait for another.
const LIVES: [(&str, u32); 3] = [("down-hour", 3600), ("down-ahead", 480), ("down-short", 250)];

/// Asks for tokens; how many it got.
fn ask(world: &World, drone: &Drone<'_>) -> usize {
    let mut command = world.bed.command("docker");
    command.args(["exec", "-u", "0", drone.name(), "perl", "-e", ASK, &QUESTIONS.to_string()]);
    let run = Run::of(&mut command);
    let got = run.ok().split('\t').next().expect("a count");
    got.parse().expect("a number")
}

/// The SHA-256 of the token that the drone gets now.
fn served(drone: &Drone<'_>) -> String {
    drone.sh("drone-agent token | tr -d '\\n' | sha256sum | cut -d' ' -f1").ok().to_owned()
}

#[test]
fn no_request_with_a_valid_cached_token_fails_while_the_forge_is_down() {
    let world = World::alone();
    let agent = world.own_agent("");
    let repos = LIVES.map(|(label, life)| {
        let repo = Repo::describe(label).on_dev_image().create(&world);
        repo.set_token_life(life);
        repo
    });
    let drones: Vec<Drone<'_>> = repos.iter().map(|repo| agent.spawn(repo)).collect();
    let mut last: Vec<String> = drones.iter().map(served).collect();
    let mut down = None;
    for trouble in [
        json!({"kind": "delay", "milliseconds": 60_000}),
        json!({"kind": "cut"}),
        json!({"kind": "status", "status": 502}),
        json!({"kind": "rate_limit", "retry_after": 5}),
    ] {
        // One after the other, and no moment without.
        let before_this = down.replace(world.forge.fault("", &trouble));
        drop(before_this);
        for drone in &drones {
            // What git calls has the least patience.
            drone.sh("drone-agent token").ok();
            assert_eq!(ask(&world, drone), QUESTIONS, "{} under {trouble}", drone.name());
        }
        last = drones.iter().map(served).collect();
        for (token, repo) in last.iter().zip(&repos) {
            assert!(repo.token_hashes().contains(token), "{} got an ended one", repo.name());
        }
    }
    drop(down);
    for (drone, token) in drones.iter().zip(&last).skip(1) {
        wait_until("another token after the outage", Duration::from_secs(90), || {
            (served(drone) != *token).then_some(())
        });
    }
}
