//! Out of the container: by the kernel, by mounts, by what the host has mounted.

use hatchery_tests::{Bed, Run, World, bed};

use super::report::Report;
use super::scene::{self, Scene};

const KERNEL: &str = concat!(include_str!("prelude.pl"), include_str!("kernel.pl"));
const STARVE: &str = concat!(include_str!("prelude.pl"), include_str!("starve.pl"));
const MOUNTS: &str = concat!(include_str!("prelude.pl"), include_str!("mounts.pl"));

/// Docker's default capabilities without `NET_RAW`: AUDIT_WRITE, CHOWN, DAC_OVERRIDE, FOWNER, FSETID,
/// KILL, MKNOD, NET_BIND_SERVICE, SETFCAP, SETGID, SETPCAP, SETUID, SYS_CHROOT.
const ALLOWED: &str = "a80405fb";

/// Tries all of it.
pub fn attempt(scene: &Scene<'_>, report: &mut Report) {
    let (file, secret) = (scene.secret_file(), scene.secret.as_str());
    // The host itself reads it by the same name: what is looked for is there.
    assert_eq!(std::fs::read_to_string(&file).expect("the host's file"), secret);
    let pid = scene.agent.pid().to_string();
    let apparmor = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    let apparmor = if apparmor.is_ok_and(|text| text.starts_with('Y')) { "yes" } else { "no" };
    let run = scene.perl(KERNEL, &[&file, secret, &pid, apparmor, ALLOWED], "");
    report.add_lines("out by the kernel", run.ok());
    let state = scene.agent.state_dir().display().to_string();
    let run = scene.perl(MOUNTS, &[&file, secret, scene.victim.name(), &state], "");
    report.add_lines("out by mounts", run.ok());
}

/// Takes as much as there is; nothing else works in the drone meanwhile.
pub fn starve(scene: &Scene<'_>, report: &mut Report) {
    let run = scene.perl(STARVE, &[scene::PIDS, scene::MEMORY_MIB], "");
    report.add_lines("more than its share", run.ok());
}

/// A container as it must not be: the kernel's filter is off, and it may mount.
struct Weak {
    bed: Bed,
    name: String,
}

impl Weak {
    fn start(bed: Bed) -> Self {
        let name = format!("weak-{}", std::process::id());
        let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
        let flags = ["--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined", "--rm", "-d"];
        let weak = Self { bed, name };
        let line = [&["run"], &flags[..], &["--name", &weak.name, &image, "sleep", "600"]];
        bed.docker(&line.concat()).ok();
        weak
    }

    /// How many attempts of a script get what they want here.
    fn granted(&self, script: &str, arguments: &[&str]) -> usize {
        let mut docker = self.bed.command("docker");
        docker.args(["exec", "-i", &self.name, "perl", "-"]).args(arguments);
        let run = Run::with_input(&mut docker, script);
        run.ok().lines().filter(|line| line.split('\t').nth(1) == Some("granted")).count()
    }
}

impl Drop for Weak {
    fn drop(&mut self) {
        let _ = self.bed.docker(&["rm", "-f", &self.name]);
    }
}

/// What is refused to a drone is granted where it can be: the attempts are real.
#[test]
fn the_attempts_succeed_in_a_weaker_container() {
    let world = World::shared();
    let weak = Weak::start(world.bed);
    let directory = "mkdir -p /run/drone-agent && touch /run/drone-agent/agent.sock";
    world.bed.docker(&["exec", &weak.name, "sh", "-c", directory]).ok();
    let kernel = weak.granted(KERNEL, &["/nothing", "secret", "0", "no", ALLOWED]);
    let mounts = weak.granted(MOUNTS, &["/nothing", "secret", "nobody", "/nothing"]);
    assert!(kernel >= 20 && mounts >= 20, "{kernel} and {mounts} succeed");
}
