//! `hatchery doctor`.

use clap::Args;
use serde::Serialize;

use super::terminal::Terminal;
use super::{Global, Stop, messages, on_one_thread};
use crate::config::Locations;
use crate::doctor::{self, Check, Verdict};

/// Look for what would keep the host agent from its work
///
/// Asks Docker, the devcontainer CLI, git and the forge, and looks at configuration, key, firewall
/// and directories, as this user; needs no host agent and changes nothing. Exit code 1 when
/// something does not work.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {}

#[derive(Serialize)]
struct Findings<'a> {
    checks: &'a [Check],
}

pub(super) fn run(_: &DoctorArgs, global: &Global, terminal: &Terminal) -> Result<(), Stop> {
    let locations = Locations::of_process();
    let examining = doctor::examine(global.config.as_deref(), &locations);
    let checks = on_one_thread(async { Ok(examining.await) })?;
    if terminal.json {
        terminal.json(&Findings { checks: &checks })?;
    } else {
        terminal.data(&render(&checks))?;
    }
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Fail).count();
    if failed == 0 { Ok(()) } else { Err(messages::doctor_found(failed, checks.len()).into()) }
}

fn render(checks: &[Check]) -> String {
    let mut text = String::new();
    for Check { name, verdict, message, hint } in checks {
        let word = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        text.push_str(&format!("{word:4}  {name:17}  {}\n", messages::printable(message)));
        if let Some(hint) = hint {
            text.push_str(&format!("      hint: {}\n", messages::printable(hint)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_read_well() {
        let check = |name, verdict, message: &str, hint: Option<&str>| Check {
            name,
            verdict,
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
        };
        let checks = [
            check("docker", Verdict::Ok, "Docker Engine 26.1.5 answers on /run/docker.sock", None),
            check("firewall", Verdict::Warn, "without root\x1b[2J it stays", Some("be root")),
            check(
                "app key",
                Verdict::Fail,
                "/etc/hatchery/app.pem is read by others",
                Some("chmod"),
            ),
        ];
        let terminal =
            Terminal { json: false, quiet: false, garnish: false, colour: false, live: false };
        insta::assert_snapshot!(render(&checks));
        let failure = messages::doctor_found(1, checks.len());
        insta::assert_snapshot!(messages::failure(&failure, terminal));
        let json = serde_json::to_string(&Findings { checks: &checks[..2] }).expect("JSON");
        assert_eq!(
            json,
            "{\"checks\":[{\"name\":\"docker\",\"verdict\":\"ok\",\"message\":\"Docker Engine 26.1.5 \
             answers on /run/docker.sock\"},{\"name\":\"firewall\",\"verdict\":\"warn\",\"message\":\
             \"without root\\u001b[2J it stays\",\"hint\":\"be root\"}]}"
        );
    }
}
