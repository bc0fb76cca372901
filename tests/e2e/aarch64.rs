//! `drone-agent` for both architectures: small, static, and the one for aarch64 does its work, run
//! by an emulator inside a real drone.

use std::process::Command;

use hatchery_tests::{Bed, Drone, Repo, Run, World, bed, forge};

/// Most that the binary may have: it is in every drone.
const SIZE_LIMIT: u64 = 3 * 1024 * 1024;

const AGENT: &str = "/tmp/aarch64/drone-agent";
const EMULATOR: &str = "/tmp/aarch64/qemu";
/// Puts its wrapper of gh before the real one.
const OWN_PATH: &str = "PATH=/tmp/aarch64/bin:/usr/bin:/bin;";

fn binary(machine: &str) -> String {
    let path = Bed::checkout("feature/src/drone/bin").join(format!("drone-agent-{machine}"));
    path.to_string_lossy().into_owned()
}

/// Puts the other architecture's binary, and what runs it, beside the drone's own.
fn bring(drone: &Drone<'_>, world: &World) {
    let emulator = bed::setting("HATCHERY_TEST_QEMU_AARCH64");
    let container = drone.container();
    drone.root_sh("mkdir -m 0755 /tmp/aarch64").ok();
    for (from, to) in [(binary("aarch64"), AGENT), (emulator, EMULATOR)] {
        world.bed.docker(&["cp", &from, &format!("{container}:{to}")]).ok();
    }
    let links = "mkdir -m 0755 /tmp/aarch64/bin; ln -s ../drone-agent /tmp/aarch64/bin/gh";
    drone.root_sh(&format!("chmod 0755 {AGENT} {EMULATOR}; {links}")).ok();
    let kind = drone.sh(&format!("od -An -tx1 -j18 -N2 {AGENT}"));
    assert_eq!(kind.ok(), "b7 00", "ELF's number for aarch64");
}

/// A script with `agent`, the program under test, and `helper`, the same by git's name for it.
fn script(text: &str) -> String {
    format!(
        "agent() {{ {EMULATOR} {AGENT} \"$@\"; }}; \
         helper() {{ {EMULATOR} -0 git-credential-hatchery {AGENT} \"$@\"; }}; {text}"
    )
}

#[test]
fn the_binaries_are_small_and_static() {
    for (machine, elf) in [("x86_64", "x86-64"), ("aarch64", "ARM aarch64")] {
        let binary = binary(machine);
        let size = std::fs::metadata(&binary).expect("scripts/build makes it").len();
        assert!(size <= SIZE_LIMIT, "{binary} has {size} bytes");
        let kind = Run::of(Command::new("file").args(["-b", &binary]));
        let kind = kind.ok();
        assert!(kind.contains(elf), "{kind}");
        assert!(kind.contains("statically linked") || kind.contains("static-pie linked"), "{kind}");
        assert!(kind.contains(", stripped"), "{kind}");
        let libraries = Run::of(Command::new("ldd").env("LC_ALL", "C").arg(&binary));
        let said = format!("{}{}", libraries.stdout, libraries.stderr);
        let says_so = ["statically linked", "not a dynamic executable"];
        assert!(says_so.iter().any(|text| said.contains(text)), "{}", libraries.report());
    }
}

#[test]
fn it_runs_and_steps_aside_where_there_is_no_drone() {
    let emulated = |args: &[&str], input: &str| {
        let mut command = Command::new(bed::setting("HATCHERY_TEST_QEMU_AARCH64"));
        command.arg(binary("aarch64")).args(args).env("DRONE_AGENT_DIR", "/nonexistent/drone");
        Run::with_input(&mut command, input)
    };
    let native = Run::of(Command::new(binary(std::env::consts::ARCH)).arg("--version"));
    assert_eq!(emulated(&["--version"], "").ok(), native.ok());
    let question = format!("protocol=https\nhost={}\npath=acme/web\n\n", forge::HOST);
    assert_eq!(emulated(&["git-credential", "get"], &question).ok(), "");
    emulated(&["token"], "").code(10).complains("hint:");
}

#[test]
fn git_pushes_with_it() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("aarch64").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    bring(&drone, &world);
    let identity = drone.sh(&script("agent identity"));
    assert!(identity.ok().contains(&repo.name()), "{}", identity.report());
    let ask = format!("protocol=https\nhost={}\npath={}\n\n", forge::HOST, repo.name());
    let answer = drone.sh(&script(&format!("printf '{ask}' | helper get | cut -c 1-13")));
    let lines: Vec<&str> = answer.ok().lines().collect();
    assert_eq!(lines.first(), Some(&"username=x-ac"), "{}", answer.report());
    assert_eq!(lines.get(1), Some(&"password=ghs_"), "{}", answer.report());
    let push = format!(
        "printf '#!/bin/sh\\nexec {EMULATOR} {AGENT} git-credential \"$@\"\\n' >/tmp/helper; \
         chmod 0755 /tmp/helper; \
         git -c credential.https://{}.helper= -c credential.https://{}.helper=/tmp/helper \
         push -q origin HEAD:refs/heads/emulated",
        forge::HOST,
        forge::HOST,
    );
    drone.sh(&push).ok();
    assert_eq!(repo.tip("emulated"), repo.tip("main"));
}

#[test]
fn its_helper_refuses_bad_questions() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("aarch64-bad").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    bring(&drone, &world);
    let host = forge::HOST;
    for question in [
        format!("protocol=https\\nhost={host}\\npath=acme/../{}\\n\\n", repo.name()),
        format!("protocol=https\\nhost={host}\\npath=acme/not-granted\\n\\n"),
        format!("protocol=https\\nhost={host}\\npath={}\\r\\n\\n", repo.name()),
        format!("protocol=https\\nhost={host}\\nhost={host}\\npath={}\\n\\n", repo.name()),
        format!("protocol=https\\nhost={host}.\\npath={}\\n\\n", repo.name()),
        "no attribute\\n\\n".to_owned(),
    ] {
        let run = drone.sh(&script(&format!("printf '{question}' | helper get")));
        assert_ne!(run.code, 0, "{question}");
        assert_eq!(run.stdout.trim(), "quit=1", "{}", run.report());
        run.complains("error:");
    }
    let elsewhere = "printf 'protocol=https\\nhost=example.com\\npath=a/b\\n\\n' | helper get";
    assert_eq!(drone.sh(&script(elsewhere)).ok(), "", "another host is another helper's business");
}

#[test]
fn its_gh_becomes_the_real_one() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("aarch64-gh").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    bring(&drone, &world);
    // Its own wrapper comes first, the drone's not at all: what finds gh here is the emulated one,
    // which must know its own link for itself.
    let view = format!("{OWN_PATH} agent gh repo view --json name --jq .name");
    assert_eq!(drone.sh(&script(&view)).ok(), "web");
    let by_name =
        format!("{OWN_PATH} {EMULATOR} -0 gh {AGENT} api repos/{{owner}}/{{repo}} --jq .full_name");
    assert_eq!(drone.sh(&by_name).ok(), repo.name());
    assert_eq!(drone.sh(&script(&format!("{OWN_PATH} agent gh pr view 99"))).code, 1);
    let refused = drone.sh(&script("agent gh auth login </dev/null"));
    assert_ne!(refused.code, 0);
    refused.complains("hint:");
    let none = drone.sh(&script("PATH=/nonexistent; agent gh repo view"));
    none.code(127).complains("no gh in PATH");
}

#[test]
fn its_boot_sets_a_drone_up_and_its_doctor_agrees() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("aarch64-boot").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    bring(&drone, &world);
    drone.root_sh("rm -rf /etc/drone-agent").ok();
    assert_ne!(drone.sh("git ls-remote -q origin </dev/null").code, 0);
    let boot = format!("agent boot --foreground --workspace {} --user dev", repo.workspace());
    drone.root_sh(&script(&boot)).ok();
    assert_eq!(drone.push_change("README.md", "after its boot"), repo.tip("main"));
    drone.sh(&script(&format!("{OWN_PATH} agent doctor"))).ok();
}

#[test]
fn the_feature_picks_the_binary_of_the_image() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("aarch64-pick").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    bring(&drone, &world);
    let container = drone.container();
    let feature = Bed::checkout("feature/src/drone");
    let to = format!("{container}:/tmp/feature");
    world.bed.docker(&["cp", &feature.to_string_lossy(), &to]).ok();
    // No kernel here runs what it picks: it must say so instead of leaving a drone that cannot boot.
    let install = drone.root_sh(
        "mkdir /tmp/shim; printf '#!/bin/sh\\necho aarch64\\n' >/tmp/shim/uname; \
         chmod 0755 /tmp/shim/uname; PATH=/tmp/shim:$PATH sh /tmp/feature/install.sh",
    );
    assert_ne!(install.code, 0);
    install.complains("is this image for aarch64?");
    drone.sh(&format!("cmp /usr/local/bin/drone-agent {AGENT}")).ok();
    drone.slay(&["--force"]).ok();
}
