//! Tokens whose hour is over. The forge's clock is everybody's, so this has the world for itself.

use hatchery_tests::{Repo, World, forge};
use serde_json::{Value, json};

use super::report::Report;

/// More than a token's life, in seconds.
const HOUR: i64 = 3700;

/// The forge's clock as it should be, when dropped.
struct Late<'a>(&'a forge::Forge);

impl<'a> Late<'a> {
    fn by(forge: &'a forge::Forge, seconds: i64) -> Self {
        forge.admin("PUT", "/clock", &json!({"offset_seconds": seconds}));
        Self(forge)
    }
}

impl Drop for Late<'_> {
    fn drop(&mut self) {
        self.0.admin("PUT", "/clock", &json!({"offset_seconds": 0}));
    }
}

#[test]
fn a_token_is_worthless_after_its_hour() {
    let world = World::alone();
    let agent = world.own_agent("");
    let repo = Repo::describe("expired").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    // It never leaves the drone: in an argument of ours others would see it.
    drone.root_sh("drone-agent token >/tmp/kept").ok();
    let basic = "\"http.extraHeader=Authorization: basic $(printf 'x-access-token:%s' \"$(cat /tmp/kept)\" | base64 -w0)\"";
    let api = format!(
        "curl -sf --cacert /etc/drone-agent/forge-ca.pem -H \"Authorization: Bearer $(cat /tmp/kept)\" https://{}/api/v3",
        forge::HOST
    );
    let uses = [
        (
            "git reads with it",
            format!("git -c credential.helper= -c {basic} ls-remote {}", repo.url()),
        ),
        (
            "git writes with it",
            format!(
                "git -c credential.helper= -c {basic} push -q {} HEAD:refs/heads/late",
                repo.url()
            ),
        ),
        ("the API answers to it", format!("{api}/repos/{}", repo.name())),
        ("it opens more", format!("{api}/installation/repositories")),
    ];
    for (name, line) in &uses {
        assert_eq!(drone.root_sh(line).code, 0, "while it lives: {name}");
    }
    repo.git(&["update-ref", "-d", "refs/heads/late"]).ok();
    let mut report = Report::default();
    let late = Late::by(&world.forge, HOUR);
    for (name, line) in &uses {
        let run = drone.root_sh(line);
        report.add("a token after its hour", name, (run.code == 0).then(|| run.report()));
    }
    drop(late);
    assert_eq!(world.forge.admin("GET", "/clock", &Value::Null)["offset_seconds"], 0);
    report.conclude("hostile-attempts-expired.txt", uses.len());
}
