//! boot, in a mount namespace whose `/etc`, `/run` and `/var/log` are empty: as in a container.

use std::process::Output;

use crate::host::{AGENT, Host, run, text};

/// Runs the shell script `steps` as root of such a place; `$AGENT` is the binary. With a host
/// agent its socket is mounted where a drone has it.
fn in_a_container(host: &Host, steps: &str) -> Output {
    let place = "set -eu\n\
        for dir in /etc /run /var/log; do mount -t tmpfs tmpfs $dir; done\n\
        if [ -d \"$SOCKET_DIR\" ]; then\n\
            mkdir /run/drone-agent; mount --bind \"$SOCKET_DIR\" /run/drone-agent\n\
        fi\n\
        printf '[core]\\n\\tpager = less' >/etc/gitconfig\n";
    let mut command = host.command("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", &format!("{place}{steps}")])
        .env_remove("DRONE_AGENT_DIR")
        .env_remove("GIT_CONFIG_NOSYSTEM")
        .env("AGENT", AGENT)
        .env("SOCKET_DIR", host.path("run"));
    run(&mut command, "")
}

#[test]
fn the_host_agents_boot_sets_git_up_and_a_second_one_changes_nothing() {
    let host = Host::up();
    let output = in_a_container(
        &host,
        "git init -q clone\n\
         boot() { $AGENT boot --foreground --workspace \"$PWD/clone\" --user root; }\n\
         boot; cp -r /etc /run/before; boot; diff -r /etc /run/before\n\
         readlink /run/github-creds.sock\n\
         git config --get core.pager; git config --get safe.directory\n\
         git config --get-all credential.https://forge.test.helper\n\
         git config --get-urlmatch http.sslCAInfo https://forge.test/acme/web\n\
         grep -c CERTIFICATE /etc/drone-agent/ca-bundle.pem",
    );
    let clone = host.path("clone");
    let expected = format!(
        "/run/drone-agent/agent.sock\nless\n{}\n\n/usr/local/bin/git-credential-hatchery\n\
         /etc/drone-agent/forge-ca.pem\n1\n",
        clone.display()
    );
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn an_entrypoints_boot_returns_at_once_and_works_in_the_background() {
    let host = Host::up();
    let output = in_a_container(
        &host,
        "$AGENT boot\n\
         for turn in $(seq 200); do\n\
             grep -qs 'is ready for' /var/log/drone-agent.log && break; sleep 0.05\n\
         done\n\
         cat /var/log/drone-agent.log; ls /etc/drone-agent",
    );
    let expected = "acme-web is ready for acme/web\nca-bundle.pem\nforge-ca.pem\ngitconfig\n";
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
}

#[test]
fn outside_a_drone_an_entrypoint_leaves_everything_alone() {
    let host = Host::absent();
    let output = in_a_container(
        &host,
        "$AGENT boot; find /etc /var/log ! -type d; [ ! -L /run/github-creds.sock ]",
    );
    assert_eq!(text(&output.stdout), "/etc/gitconfig\n");
    assert_eq!((text(&output.stderr), output.status.code()), (String::new(), Some(0)));
}

#[test]
fn a_host_agent_that_stays_away_is_an_error_in_the_foreground_only() {
    let host = Host::absent();
    // Mounted, but nobody listens: the drone of a host agent that does not run.
    std::fs::create_dir(host.path("run")).expect("made");
    let output = in_a_container(&host, "$AGENT boot --foreground --wait 0");
    assert_eq!(output.status.code(), Some(10));
    let reason = text(&output.stderr);
    assert!(reason.starts_with("error: the host agent does not run: "), "{reason}");
}

#[test]
fn doctor_is_content_with_a_booted_drone_and_not_with_a_clone_that_goes_around_it() {
    let host = Host::up();
    let output = in_a_container(
        &host,
        "git init -q clone; $AGENT boot --foreground; cd clone\n\
         $AGENT doctor; echo $?\n\
         git config credential.helper ''; $AGENT doctor | grep WRONG; $AGENT doctor >&2 || echo $?",
    );
    let shown = text(&output.stdout);
    assert!(shown.contains("ok    git asks drone-agent for credentials\n"), "{shown}");
    let end = "\n0\nWRONG git asks no helper\n1\n";
    assert!(shown.ends_with(end), "{shown}{}", text(&output.stderr));
}
