//! `hatchery status`.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use time::OffsetDateTime;

use super::Stop;
use super::list::{memory, state, state_name, workspace};
use super::messages::{self, Line};
use super::repo::permissions;
use super::table::{age, moment};
use super::terminal::Terminal;
use crate::control::api::{DroneStatus, Event, EventKind, GrantView, Phase};
use crate::control::client::Client;

/// Show one drone in detail
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The drone's name or owner/repo
    drone: String,
}

/// Digits of a container's id that tell it apart, as Docker shows them.
const SHORT_ID: usize = 12;

pub(super) async fn run(client: Client, args: StatusArgs, terminal: &Terminal) -> Result<(), Stop> {
    let status = client.status(&args.drone).await?;
    if terminal.json {
        return terminal.json(&status);
    }
    if let Some(trouble) = messages::memory_trouble(&status.summary) {
        terminal.garnish(Line::Nuclear);
        terminal.say(&trouble);
        terminal.say("");
    }
    terminal.data(&render(&status, OffsetDateTime::now_utc()))
}

fn render(status: &DroneStatus, now: OffsetDateTime) -> String {
    let drone = &status.summary;
    let mut text = format!("{}\n", drone.drone);
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:11} {}", messages::printable(&value));
    };
    row("repository", format!("{} on {}", drone.repo, drone.forge));
    row("state", state(drone));
    if let Some(since) = drone.up_since {
        row("up since", format!("{} ({} ago)", moment(since), age(since, now)));
    }
    let id = drone.container_id.as_deref().map(|id| id.chars().take(SHORT_ID).collect());
    row("container", id.unwrap_or_else(|| "none".to_owned()));
    if let Some(image) = &status.image {
        row("image", short_image(image));
    }
    if let Some(percent) = drone.cpu_percent {
        row("CPU", format!("{percent:.1} %"));
    }
    if let Some(memory) = memory(drone) {
        row("memory", memory);
    }
    row("workspace", workspace(drone, now).unwrap_or_else(|| "not measured yet".to_owned()));
    let ports: Vec<_> = status.ports.iter().map(u16::to_string).collect();
    row("ports", if ports.is_empty() { "none".to_owned() } else { ports.join(", ") });
    let last = status.last_token_at.map(|at| format!("{} ago", age(at, now)));
    row("last token", last.unwrap_or_else(|| "none yet".to_owned()));
    let made_from =
        status.references.iter().map(|(name, digest)| messages::made_from(name, digest));
    section(&mut text, "made from", made_from);
    section(&mut text, "grants", status.grants.iter().map(grant));
    section(&mut text, "health", status.health.iter().cloned());
    section(&mut text, "events", telling(&status.events).map(event));
    text
}

/// An image by its name, or by the short form of its id.
fn short_image(image: &str) -> String {
    match image.strip_prefix("sha256:") {
        Some(id) => id.chars().take(SHORT_ID).collect(),
        None => image.to_owned(),
    }
}

/// The events without the starts of steps, but that of the step under way.
fn telling(events: &[Event]) -> impl Iterator<Item = &Event> {
    let last = events.len().saturating_sub(1);
    events.iter().enumerate().filter_map(move |(n, event)| {
        let starts = matches!(event.kind, EventKind::Step { phase: Phase::Start, .. });
        (!starts || n == last).then_some(event)
    })
}

fn section(text: &mut String, name: &str, lines: impl Iterator<Item = String>) {
    for (n, line) in lines.enumerate() {
        let name = if n == 0 { name } else { "" };
        let _ = writeln!(text, "  {name:11} {}", messages::printable(&line));
    }
}

fn grant(grant: &GrantView) -> String {
    format!("{} ({})", grant.repo, permissions(&grant.permissions))
}

fn event(event: &Event) -> String {
    let words = match &event.kind {
        EventKind::Step { step, phase, duration_ms, error } => {
            let took = duration_ms.map(|ms| messages::seconds(Duration::from_millis(ms)));
            let step = messages::step_name(*step);
            let ended = messages::phase_words(*phase);
            let rest = [took, error.clone()].into_iter().flatten().collect::<Vec<_>>().join(": ");
            format!("{step} {ended} {rest}")
        }
        EventKind::Progress { text, .. } | EventKind::Notice { text } => text.clone(),
        EventKind::State { state } => state_name(*state).to_owned(),
        EventKind::OutOfMemory => messages::KILLED_FOR_MEMORY.to_owned(),
        EventKind::Done { .. } => "done".to_owned(),
        EventKind::Failed { failure } => format!("failed: {failure}"),
        EventKind::Policy { report } => {
            format!("refused: {}, stripped: {}", report.refused, report.stripped)
        }
    };
    format!("{}  {}", moment(event.at), words.trim_end())
}

#[cfg(test)]
pub(super) mod tests {
    use hatchery_protocol::wire::Permissions;
    use time::macros::datetime;

    use super::*;
    use crate::control::api::{DroneState, DroneSummary, Step};

    pub(in crate::cli) const NOW: OffsetDateTime = datetime!(2026-11-21 10:15:00 UTC);

    pub(in crate::cli) fn summary(drone: &str, repo: &str) -> DroneSummary {
        DroneSummary {
            drone: drone.parse().expect("a name"),
            repo: repo.parse().expect("a repository"),
            forge: "github.com".parse().expect("a host"),
            state: DroneState::Running,
            container_id: Some("0123456789abcdef0123456789abcdef".to_owned()),
            up_since: Some(datetime!(2026-11-21 08:00:00 UTC)),
            cpu_percent: Some(3.45),
            memory_bytes: Some(1 << 30),
            memory_limit_bytes: Some(8 << 30),
            workspace_bytes: Some(340 << 20),
            workspace_measured_at: Some(datetime!(2026-11-21 10:10:00 UTC)),
            out_of_memory: false,
        }
    }

    #[test]
    fn a_status_reads_well() {
        let step = |phase, duration_ms| EventKind::Step {
            step: Step::Clone,
            phase,
            duration_ms,
            error: None,
        };
        let at = datetime!(2026-11-21 07:59:00 UTC);
        let kinds =
            [step(Phase::Start, None), step(Phase::End, Some(1234)), EventKind::OutOfMemory];
        let status = DroneStatus {
            summary: summary("acme-web", "acme/web"),
            image: Some("hatchery/acme-web:0a1b2c".to_owned()),
            ports: vec![3000, 8080],
            grants: vec![GrantView {
                repo: "acme/web".parse().expect("a repository"),
                repo_id: 7,
                permissions: Permissions::from([("contents".to_owned(), "write".to_owned())]),
                primary: true,
            }],
            references: [("debian:12".to_owned(), "debian@sha256:0a1b".to_owned())].into(),
            last_token_at: Some(datetime!(2026-11-21 10:13:00 UTC)),
            health: vec!["the installation lacks checks=read".to_owned()],
            events: kinds.map(|kind| Event { at, drone: None, kind }).into(),
        };
        insta::assert_snapshot!(render(&status, NOW));
    }
}
