//! `hatchery list`.

use clap::Args;
use time::OffsetDateTime;

use super::Stop;
use super::messages::{self, Line};
use super::table::{self, age};
use super::terminal::Terminal;
use crate::config::format_size;
use crate::control::api::{DroneList, DroneState, DroneSummary};
use crate::control::client::Client;

/// Show every drone
#[derive(Debug, Args)]
pub(super) struct ListArgs {}

pub(super) async fn run(client: Client, _: ListArgs, terminal: &Terminal) -> Result<(), Stop> {
    let list = client.list().await?;
    if terminal.json {
        return terminal.json(&list);
    }
    if list.drones.is_empty() {
        terminal.say(messages::NO_DRONES);
        return Ok(());
    }
    terminal.data(&render(&list, OffsetDateTime::now_utc()))?;
    let troubles: Vec<_> = list.drones.iter().filter_map(messages::memory_trouble).collect();
    if !troubles.is_empty() {
        terminal.say("");
        terminal.garnish(Line::Nuclear);
    }
    troubles.iter().for_each(|trouble| terminal.say(trouble));
    Ok(())
}

fn render(list: &DroneList, now: OffsetDateTime) -> String {
    let head = ["DRONE", "REPO", "STATE", "UP SINCE", "CPU", "MEMORY", "WORKSPACE"];
    let rows: Vec<_> = list.drones.iter().map(|drone| row(drone, now)).collect();
    table::render(head, &rows)
}

fn row(drone: &DroneSummary, now: OffsetDateTime) -> [String; 7] {
    let nothing = || "-".to_owned();
    [
        drone.drone.to_string(),
        drone.repo.to_string(),
        state(drone),
        drone.up_since.map_or_else(nothing, |since| format!("{} ago", age(since, now))),
        drone.cpu_percent.map_or_else(nothing, |percent| format!("{percent:.1} %")),
        memory(drone).unwrap_or_else(nothing),
        workspace(drone, now).unwrap_or_else(nothing),
    ]
}

/// A drone's state in words.
pub(super) fn state(drone: &DroneSummary) -> String {
    let name = state_name(drone.state);
    if drone.out_of_memory { format!("{name}, out of memory") } else { name.to_owned() }
}

/// A state's name in the design.
pub(super) fn state_name(state: DroneState) -> &'static str {
    match state {
        DroneState::Spawning => "spawning",
        DroneState::Running => "running",
        DroneState::Burrowed => "burrowed",
        DroneState::Stopped => "stopped",
        DroneState::Failed => "failed",
        DroneState::Lost => "lost",
        DroneState::Unknown => "unknown",
    }
}

/// Memory in use, and of how much.
pub(super) fn memory(drone: &DroneSummary) -> Option<String> {
    let used = format_size(drone.memory_bytes?);
    Some(match drone.memory_limit_bytes {
        Some(limit) => format!("{used} of {}", format_size(limit)),
        None => used,
    })
}

/// The workspace's size, and how old that measurement is.
pub(super) fn workspace(drone: &DroneSummary, now: OffsetDateTime) -> Option<String> {
    let size = format_size(drone.workspace_bytes?);
    Some(match drone.workspace_measured_at {
        Some(at) => format!("{size} ({} ago)", age(at, now)),
        None => size,
    })
}

#[cfg(test)]
mod tests {
    use super::super::status::tests::{NOW, summary};
    use super::*;

    #[test]
    fn a_list_reads_well() {
        let dying = DroneSummary { out_of_memory: true, ..summary("acme-api", "acme/api") };
        let burrowed = DroneSummary {
            state: DroneState::Burrowed,
            up_since: None,
            cpu_percent: None,
            memory_bytes: None,
            workspace_measured_at: None,
            workspace_bytes: None,
            ..summary("levinkeller-homepage", "levinkeller/homepage")
        };
        let list = DroneList { drones: vec![dying, summary("acme-web", "acme/web"), burrowed] };
        let troubles = list.drones.iter().filter_map(messages::memory_trouble);
        let troubles: String = troubles.map(|trouble| trouble + "\n").collect();
        insta::assert_snapshot!(format!("{}\n{troubles}", render(&list, NOW)));
    }

    #[test]
    fn a_drone_that_is_nearly_full_is_named() {
        let limit = 8 << 30;
        let full = DroneSummary { memory_bytes: Some(limit), ..summary("acme-web", "acme/web") };
        assert!(messages::memory_trouble(&full).is_some());
        assert!(messages::memory_trouble(&summary("acme-web", "acme/web")).is_none());
    }
}
