//! The events of an operation, as programs read them.

use hatchery_tests::{Operation, Repo, World, operation};

/// The steps of a spawn, in the design's order.
const STEPS: [&str; 11] = [
    "resolve", "reserve", "grant", "clone", "policy", "build", "create", "inspect", "boot",
    "hooks", "ready",
];

#[test]
fn a_spawn_tells_each_step_once_in_order_and_how_it_ended() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("events").on_dev_image().create(&world);
    let run = Operation::start(agent, &["spawn", &repo.name()]).finish();
    run.code(0);
    let _drone = agent.drone(&repo.drone());
    let lines: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
    let events = operation::events(&lines);
    assert_eq!(events.len(), lines.len(), "a JSON object a line\n{}", run.report());
    assert!(events.iter().all(|event| event["at"].is_string() && event["event"].is_string()));
    for phase in ["start", "end"] {
        let told: Vec<&str> = events
            .iter()
            .filter(|event| event["event"] == "step" && event["phase"] == phase)
            .filter_map(|event| event["step"].as_str())
            .collect();
        assert_eq!(told, STEPS, "{phase}");
    }
    let ends = events.iter().filter(|event| event["phase"] == "end");
    assert!(ends.clone().all(|event| event["duration_ms"].is_u64()), "{}", run.report());
    let last = events.last().expect("a last event");
    assert_eq!(last["event"], "done");
    assert_eq!(last["status"]["drone"], repo.drone());
}

#[test]
fn a_failure_is_an_event_too() {
    let world = World::shared();
    let run = Operation::start(world.agent(), &["spawn", "nobody/nothing"]).finish();
    run.code(3);
    let lines: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
    let events = operation::events(&lines);
    let failed = events.iter().find(|event| event["phase"] == "failed").expect("a failed step");
    assert_eq!(failed["step"], "resolve");
    assert!(failed["error"].as_str().is_some_and(|text| text.contains("nobody/nothing")));
    assert_eq!(events.last().expect("a last event")["event"], "failed");
}
