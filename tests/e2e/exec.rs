//! `exec` passes everything through.

use hatchery_tests::{Repo, Run, World};

#[test]
fn code_input_output_and_user_pass_through() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("exec").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    assert_eq!(drone.exec(&["sh", "-c", "exit 42"]).code, 42);
    assert_eq!(drone.exec(&["sh", "-c", "kill -9 $$"]).code, 137);
    assert_ne!(drone.exec(&["/no/such/program"]).code, 0);
    let mut cat = agent.hatchery_command(&["exec", drone.name(), "--", "cat"]);
    assert_eq!(Run::with_input(&mut cat, "in and out\n").ok(), "in and out");
    let flags = ["exec", "--root", "--workdir", "/", "--env", "A=b c", drone.name(), "--"];
    let run = agent.hatchery(&[&flags[..], &["sh", "-c", "id -un; pwd; echo $A"]].concat());
    assert_eq!(run.ok(), "root\n/\nb c");
    let run = drone.exec(&["sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("out\n", "err\n"));
}
