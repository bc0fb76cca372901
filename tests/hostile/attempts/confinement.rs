//! Out of the container: by the kernel, by mounts, by what the host has mounted.

use super::report::Report;
use super::scene::Scene;

const KERNEL: &str = concat!(include_str!("prelude.pl"), include_str!("kernel.pl"));
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
