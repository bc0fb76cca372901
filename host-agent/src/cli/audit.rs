//! `hatchery audit`.

use clap::Args;
use hatchery_protocol::wire::Permissions;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::table::moment;
use super::terminal::Terminal;
use super::{Stop, messages};
use crate::config::parse_duration;
use crate::control::api::{AuditLine, Failure, FailureKind};
use crate::control::client::Client;

/// Show who got, or was refused, what and when
///
/// Events: mint (the forge made a token), token (a drone got one), refuse (what was not granted),
/// reject (the forge did not take a token), revoke, attest (somebody who is no process of the drone
/// was turned away), grant, withdraw, policy (what a repository asked for and did not simply get).
#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    /// Of this drone alone: its name or owner/repo
    #[arg(long, value_name = "DRONE")]
    drone: Option<String>,
    /// Not older: a time span such as 2h, 30m, 90s or 7d, or a moment such as 2026-11-21T10:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Since>,
    /// Go on with lines as they come, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
}

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Ago(std::time::Duration),
    At(OffsetDateTime),
}

pub(super) async fn run(client: Client, args: AuditArgs, terminal: &Terminal) -> Result<(), Stop> {
    let moment = args.since.map(|since| match since {
        Since::Ago(span) => OffsetDateTime::now_utc() - span,
        Since::At(moment) => moment,
    });
    let since = moment.map(|moment| moment.format(&Rfc3339)).transpose().map_err(|error| {
        Failure::new(FailureKind::Usage, "this moment cannot be written down").caused_by(&error)
    })?;
    let mut lines = client.audit(args.drone.as_deref(), since.as_deref(), args.follow).await?;
    if !terminal.json {
        terminal.data(&row("AT", "EVENT", "DRONE", "WHAT"))?;
    }
    while let Some(line) = lines.next().await? {
        if terminal.json {
            terminal.data(&String::from_utf8_lossy(&line))?;
        } else if let Ok(line) = serde_json::from_slice::<AuditLine>(&line) {
            terminal.data(&render(&line))?;
        }
    }
    Ok(())
}

fn row(at: &str, event: &str, drone: &str, what: &str) -> String {
    let line = format!("{at:23}  {event:8}  {drone:24}  {what}");
    format!("{}\n", line.trim_end())
}

fn render(line: &AuditLine) -> String {
    let mut what: Vec<String> = vec![];
    what.extend(line.verdict.clone().map(|verdict| format!("{verdict}:")));
    what.extend(line.repository.clone().filter(|names| !names.is_empty()));
    what.extend(line.permissions.as_ref().filter(|all| !all.is_empty()).map(short));
    what.extend(line.token_sha256_prefix.as_ref().map(|prefix| format!("token {prefix}")));
    what.extend(line.pid.map(|pid| format!("pid {pid}")));
    what.extend(line.reason.as_ref().map(|reason| format!("({reason})")));
    if line.left_out > 0 {
        what.push(format!("[{} lines like it were left out before]", line.left_out));
    }
    let what = messages::printable(&what.join(" "));
    row(&moment(line.at), &messages::printable(&line.event), line.drone.as_str(), &what)
}

/// `contents=write,issues=read`.
fn short(permissions: &Permissions) -> String {
    let each = permissions.iter().map(|(name, level)| format!("{name}={level}"));
    each.collect::<Vec<_>>().join(",")
}

fn since(text: &str) -> Result<Since, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    let days = days.map(|days| std::time::Duration::from_secs(u64::from(days) * 24 * 60 * 60));
    if let Some(span) = days.or_else(|| parse_duration(text)) {
        return Ok(Since::Ago(span));
    }
    let moment = OffsetDateTime::parse(text, &Rfc3339);
    moment.map(Since::At).map_err(|_| {
        "expected a time span such as 2h, 30m or 7d, or a moment such as 2026-11-21T10:00:00Z"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LINES: &str = include_str!("testdata/audit.jsonl");

    #[test]
    fn every_event_reads_well() {
        let lines = LINES.lines().map(|line| serde_json::from_str(line).expect(line));
        let shown: String = lines.map(|line: AuditLine| render(&line)).collect();
        insta::assert_snapshot!(row("AT", "EVENT", "DRONE", "WHAT") + &shown);
    }

    #[test]
    fn a_time_is_a_span_or_a_moment() {
        assert_eq!(since("2h"), Ok(Since::Ago(Duration::from_secs(7200))));
        assert_eq!(since("7d"), Ok(Since::Ago(Duration::from_secs(7 * 86400))));
        assert_eq!(since("1970-01-01T00:00:00Z"), Ok(Since::At(OffsetDateTime::UNIX_EPOCH)));
        for wrong in ["", "h", "-1h", "yesterday", "2026-11-21"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
