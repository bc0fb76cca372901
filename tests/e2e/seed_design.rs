//! The design that Hatchery grew from: its devcontainer.json and its two shell scripts, verbatim.

use hatchery_tests::{Repo, World, forge};
use serde_json::json;

/// The seed's credential helper.
const HELPER: &str = "#!/bin/sh\n\
                      TOKEN=$(curl -s --unix-socket /var/run/github-creds.sock http://localhost/token)\n\
                      echo \"username=x-access-token\"\n\
                      echo \"password=$TOKEN\"\n";

/// The seed's wrapper of gh; on a forge of one's own gh wants another variable.
const WRAPPER: &str = "#!/bin/sh\n\
                       export GH_TOKEN=$(curl -s --unix-socket /var/run/github-creds.sock http://localhost/token)\n\
                       export GH_ENTERPRISE_TOKEN=$GH_TOKEN\n\
                       exec /usr/bin/gh \"$@\"\n";

/// A feature that tells which options it got.
const STAND_IN: &str = r#"{"id": "stand-in", "version": "1.0.0",
    "options": {"version": {"type": "string", "default": "none"}}}"#;

#[test]
fn the_seeds_configuration_and_scripts_work() {
    let world = World::shared();
    // No registry answers here: what takes the place of a declared sshd is a feature beside it.
    let agent = world.own_agent("[features]\nsshd = \"./stand-in\"");
    let repo = Repo::describe("seed")
        .file(".devcontainer/stand-in/devcontainer-feature.json", STAND_IN)
        .program(".devcontainer/stand-in/install.sh", "#!/bin/sh\necho $VERSION >/etc/stand-in\n")
        .program("helper.sh", HELPER)
        .program("wrapper.sh", WRAPPER)
        .on_dev_image_with(json!({
            "features": {
                "ghcr.io/devcontainers/features/sshd:1": {"version": "latest"},
                "ghcr.io/tailscale/codespace/tailscale:1": {},
            },
            "remoteUser": "dev",
        }))
        .create(&world);
    let run = agent.hatchery(&["spawn", &repo.name()]);
    let drone = agent.drone(run.ok());
    run.complains("notice:").complains("tailscale").complains("sshd");
    assert_eq!(drone.sh("cat /etc/stand-in").ok(), "latest", "with the options of what gave way");
    let token = "curl -s --unix-socket /var/run/github-creds.sock http://localhost/token";
    assert!(drone.sh(token).ok().starts_with("ghs_"));
    let push = "git -c credential.helper= -c credential.helper=$PWD/helper.sh push -q origin HEAD:refs/heads/seed";
    drone.sh(push).ok();
    assert_eq!(repo.tip("seed"), repo.tip("main"));
    let view = format!(
        "SSL_CERT_FILE=/etc/drone-agent/ca-bundle.pem GH_HOST={} ./wrapper.sh repo view {} --json name --jq .name",
        forge::HOST,
        repo.name()
    );
    assert_eq!(drone.sh(&view).ok(), "web");
}
