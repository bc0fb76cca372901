//! Hooks that leave something running.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::host::{AGENT, run, text};

fn hook(script: &str) -> Output {
    run(Command::new(AGENT).args(["hook", "/bin/sh", "-c", script]), "from stdin\n")
}

#[test]
fn output_input_and_code_pass_through() {
    let output = hook("cat; echo out; echo err >&2; head -c 300000 /dev/zero; exit 3");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stdout.len(), "from stdin\nout\nerr\n".len() + 300_000);
    assert!(output.stdout.starts_with(b"from stdin\nout\nerr\n"), "in order");
    assert_eq!(hook("kill -9 $$").status.code(), Some(137));
    let output = run(Command::new(AGENT).args(["hook", "/no/such/program"]), "");
    assert_eq!(output.status.code(), Some(127));
    assert!(text(&output.stderr).contains("cannot run /no/such/program"));
    assert_eq!(run(Command::new(AGENT).arg("hook"), "").status.code(), Some(2));
}

#[test]
fn what_runs_on_may_hold_the_output_and_write_to_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let ticks = directory.path().join("ticks");
    // It would be ended by its first line if nobody could read, or be stuck by its 64th kilobyte.
    let script = format!(
        "(i=0; while [ $i -lt 200 ]; do i=$((i+1)); printf '%01000d\\n' $i; echo $i >{ticks}.new; \
         mv {ticks}.new {ticks}; done) & echo $! >{ticks}.pid; echo started",
        ticks = ticks.display()
    );
    let output = hook(&script);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("started\n"));
    let deadline = Instant::now() + Duration::from_secs(60);
    while !std::fs::read_to_string(&ticks).is_ok_and(|text| text.trim() == "200") {
        assert!(Instant::now() < deadline, "it did not get to its end");
        std::thread::yield_now();
    }
}
