//! Every sentence for people, in one place. Each says plainly what happened and what to do next;
//! the Zerg line is its garnish, never its replacement.

use std::fmt::Write as _;
use std::time::Duration;

use hatchery_protocol::RepoName;

use super::forge::ForgeReady;
use super::terminal::{Colour, Terminal};
use crate::lifecycle::view::{DroneGrants, DroneSummary, GrantView, Phase, Step};
use crate::lifecycle::{Failure, FailureKind};

/// At the foot of `hatchery --help`.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  done                                  6  refused by policy or grants
  1  failed for another reason             7  work would be lost (--force goes on)
  2  wrong usage, configuration or         8  forge, tailnet or registry unreachable or refusing
     devcontainer.json                     9  Docker, the devcontainer CLI, a build or a hook failed
  3  no such drone or repository          10  the host agent does not run
  4  exists, or an operation is under way 130  interrupted, and rolled back
  5  no capacity                          exec passes the command's own code on; its own is 125";

/// The Zerg lines. The seed design fixed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Repository not found, or the App not installed on it.
    Minerals,
    /// No capacity for another drone.
    Overlords,
    /// A drone was killed for memory, or uses nearly all it may.
    Nuclear,
    /// Drone not found.
    Warriors,
    /// The drone exists already.
    Occupied,
    /// Spawned.
    Ready,
}

impl Line {
    /// The words.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Minerals => "We require more minerals.",
            Self::Overlords => "Spawn more overlords. Insufficient vespene gas.",
            Self::Nuclear => "Nuclear launch detected.",
            Self::Warriors => {
                "Your warriors have engaged the enemy. ...just kidding. Drone not found."
            }
            Self::Occupied => "Evolution chamber occupied.",
            Self::Ready => "Spawning drone... 🟢 Hatchery ready.",
        }
    }

    fn of(kind: FailureKind) -> Option<Self> {
        match kind {
            FailureKind::NoRepository => Some(Self::Minerals),
            FailureKind::NoCapacity => Some(Self::Overlords),
            FailureKind::OutOfMemory => Some(Self::Nuclear),
            FailureKind::NoDrone => Some(Self::Warriors),
            FailureKind::Exists => Some(Self::Occupied),
            FailureKind::Failed
            | FailureKind::Usage
            | FailureKind::Busy
            | FailureKind::Refused
            | FailureKind::WorkWouldBeLost
            | FailureKind::Outside
            | FailureKind::Engine
            | FailureKind::NoHostAgent
            | FailureKind::Interrupted => None,
        }
    }
}

/// A failure: the line, the error with its causes and what belongs to it, a blank line, the hints.
pub(super) fn failure(failure: &Failure, terminal: Terminal) -> String {
    let mut text = String::new();
    if let Some(line) = Line::of(failure.kind).filter(|_| terminal.garnish) {
        let _ = writeln!(text, "{}", line.text());
    }
    let error = terminal.paint(Colour::Red, "error:");
    let _ = writeln!(text, "{error} {}", printable(&failure.message));
    for cause in &failure.causes {
        let _ = writeln!(text, "  caused by: {}", printable(cause));
    }
    for detail in &failure.details {
        let _ = writeln!(text, "  {}", printable(detail));
    }
    if let Some(step) = &failure.step {
        let _ = writeln!(text, "  step: {}", printable(step));
    }
    if let Some(log_file) = &failure.log_file {
        let _ = writeln!(text, "  log: {}", printable(log_file));
    }
    if !failure.hints.is_empty() {
        text.push('\n');
    }
    for hint in &failure.hints {
        let _ = writeln!(text, "{} {}", terminal.paint(Colour::Cyan, "hint:"), printable(hint));
    }
    text
}

/// `text` without the control characters that would let a repository or a build write to the
/// terminal as it likes (escape sequences, bare carriage returns).
pub(super) fn printable(text: &str) -> String {
    let plain = |c: char| if c == '\t' || !c.is_control() { c } else { '\u{fffd}' };
    text.trim_end_matches(['\n', '\r']).chars().map(plain).collect()
}

/// After a spawn.
pub(super) fn spawned(drone: &DroneSummary, took: Duration) -> String {
    format!("{} runs {} (spawned in {})", drone.drone, drone.repo, seconds(took))
}

/// How to get into a drone.
pub(super) fn get_in(drone: &DroneSummary, terminal: Terminal) -> String {
    hint(&format!("get in with `hatchery exec {}`", drone.drone), terminal)
}

/// A hint outside of a failure.
pub(super) fn hint(text: &str, terminal: Terminal) -> String {
    format!("{} {text}", terminal.paint(Colour::Cyan, "hint:"))
}

/// After a rebuild.
pub(super) fn rebuilt(drone: &DroneSummary, took: Duration) -> String {
    format!("{} runs anew (rebuilt in {})", drone.drone, seconds(took))
}

/// After a burrow.
pub(super) fn burrowed(drone: &DroneSummary) -> String {
    format!("{} is burrowed, and stays so until `hatchery unburrow {}`", drone.drone, drone.drone)
}

/// After an unburrow.
pub(super) fn unburrowed(drone: &DroneSummary) -> String {
    format!("{} runs again", drone.drone)
}

/// After an adopt.
pub(super) fn adopted(drone: &DroneSummary) -> String {
    format!("{} is taken in as {}", drone.drone, drone.repo)
}

/// After a connect.
pub(super) fn connected(grants: &DroneGrants, repo: &str) -> String {
    let grant = grants.grants.iter().find(|grant| is_called(grant, repo));
    let permissions = grant.map_or_else(String::new, |grant| {
        format!(" ({})", super::repo::permissions(&grant.permissions))
    });
    format!("{} reaches {}{permissions}", grants.drone, printable(repo))
}

/// Whether a repository's last two parts are the grant's; after a rename they are not.
fn is_called(grant: &GrantView, repo: &str) -> bool {
    repo.to_ascii_lowercase().ends_with(&grant.repo.to_string().to_ascii_lowercase())
}

/// After a disconnect.
pub(super) fn disconnected(grants: &DroneGrants, repo: &str) -> String {
    format!("{} no longer reaches {}; its tokens are taken back", grants.drone, printable(repo))
}

/// After a slay.
pub(super) fn slain(drone: &str) -> String {
    format!("{} is slain; nothing is left of it", printable(drone))
}

/// A list without drones.
pub(super) const NO_DRONES: &str = "no drones; `hatchery spawn owner/repo` spawns one";

/// A drone that was killed for memory, or is about to be; `None` for one that is well.
pub(super) fn memory_trouble(drone: &DroneSummary) -> Option<String> {
    let remedy = format!(
        "give it more: `memory` in [drone] of the configuration, then `hatchery rebuild {}`",
        drone.drone
    );
    if drone.out_of_memory {
        return Some(format!("{}: the kernel killed a process for memory; {remedy}", drone.drone));
    }
    let (used, limit) = (drone.memory_bytes?, drone.memory_limit_bytes?);
    let nearly_all = limit > 0 && used >= limit / 100 * NEARLY_ALL_PERCENT;
    nearly_all.then(|| {
        format!("{} uses more than {NEARLY_ALL_PERCENT} % of its memory; {remedy}", drone.drone)
    })
}

/// Memory use from which the next allocation may be the last, in percent of the limit.
const NEARLY_ALL_PERCENT: u64 = 95;

/// First Ctrl-C.
pub(super) const INTERRUPTING: &str =
    "interrupted: rolling back (Ctrl-C again leaves at once; the host agent goes on by itself)";

/// Second Ctrl-C.
pub(super) fn left() -> Failure {
    Failure::new(FailureKind::Interrupted, "left while the host agent rolls back")
        .hint("`hatchery list` shows what is there")
}

/// The host agent ended its events without saying how the operation ended.
pub(super) fn no_outcome() -> Failure {
    Failure::new(FailureKind::Failed, "the host agent broke off without saying how it ended")
        .hint("`hatchery list` shows what is there; the host agent's log says why")
}

/// A step in words, for its spinner.
pub(super) fn doing(step: Step) -> &'static str {
    match step {
        Step::Resolve => "finding the repository",
        Step::Reserve => "reserving name and room",
        Step::Grant => "granting access",
        Step::Clone => "cloning",
        Step::Policy => "checking what the repository asks for",
        Step::Build => "building the image",
        Step::Create => "creating the container",
        Step::Inspect => "comparing the container",
        Step::Boot => "booting",
        Step::Hooks => "running hooks",
        Step::Ready => "getting ready",
        Step::Stop => "stopping the container",
        Step::Remove => "removing",
    }
}

/// A step by its name in the design.
pub(super) fn step_name(step: Step) -> &'static str {
    match step {
        Step::Resolve => "resolve",
        Step::Reserve => "reserve",
        Step::Grant => "grant",
        Step::Clone => "clone",
        Step::Policy => "policy",
        Step::Build => "build",
        Step::Create => "create",
        Step::Inspect => "inspect",
        Step::Boot => "boot",
        Step::Hooks => "hooks",
        Step::Ready => "ready",
        Step::Stop => "stop",
        Step::Remove => "remove",
    }
}

/// Where a step is, in a word.
pub(super) fn phase_words(phase: Phase) -> &'static str {
    match phase {
        Phase::Start => "started",
        Phase::End => "done",
        Phase::Failed => "failed",
    }
}

/// The event of a drone that ran out of memory.
pub(super) const KILLED_FOR_MEMORY: &str = "the kernel killed a process for memory";

/// A step's event as a line.
pub(super) fn step_line(
    step: Step,
    phase: Phase,
    took: Option<Duration>,
    terminal: Terminal,
) -> String {
    let (mark, words) = match phase {
        Phase::Start => (" ".to_owned(), doing(step).to_owned()),
        Phase::End => {
            (terminal.paint(Colour::Green, "✓"), took.map_or_else(|| "done".to_owned(), seconds))
        }
        Phase::Failed => (terminal.paint(Colour::Red, "✗"), "failed".to_owned()),
    };
    format!("{mark} {:8} {words}", step_name(step))
}

/// A notice as a line.
pub(super) fn notice(text: &str, terminal: Terminal) -> String {
    format!("{} {}", terminal.paint(Colour::Yellow, "notice:"), printable(text))
}

/// After a `doctor` that found something.
pub(super) fn doctor_found(failed: usize, looked_at: usize) -> Failure {
    let do_not = if failed == 1 { "does not" } else { "do not" };
    Failure::new(FailureKind::Failed, format!("{failed} of {looked_at} things {do_not} work"))
        .hint("each has its own hint above; run it again afterwards")
}

/// The `[[forge]]` table that makes a configuration use a local forge.
pub(super) fn forge_table(forge: &ForgeReady) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut table = "[[forge]]\n".to_owned();
    for (key, text) in [
        ("host", &forge.host),
        ("address", &forge.address),
        ("api_url", &forge.api_url),
        ("git_url", &forge.git_url),
        ("keys_url", &forge.git_url),
        ("ca_file", &forge.ca_file),
    ] {
        let _ = writeln!(table, "{key} = {}", quoted(text));
    }
    let (client_id, key_file) = (quoted(&forge.client_id), quoted(&forge.private_key_file));
    let _ = writeln!(table, "app = {{ client_id = {client_id}, private_key_file = {key_file} }}");
    table
}

/// After `forge repo create`.
pub(super) fn forge_repository_there(repo: &RepoName) -> String {
    format!("{repo} is on the forge")
}

/// After `forge app install`.
pub(super) fn forge_app_installed(account: &str) -> String {
    format!("the App is installed on {account}")
}

/// A duration with as much precision as people read.
pub(super) fn seconds(took: Duration) -> String {
    let whole = took.as_secs();
    if whole < 60 {
        return format!("{:.1} s", took.as_secs_f64());
    }
    format!("{} min {} s", whole / 60, whole % 60)
}

/// A reference with what it was found to be, once each.
pub(super) fn made_from(name: &str, digest: &str) -> String {
    let digest = digest.rsplit('@').next().unwrap_or(digest);
    if name.ends_with(digest) { name.to_owned() } else { format!("{name} ({digest})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Terminal =
        Terminal { json: false, quiet: false, garnish: false, colour: false, live: false };

    fn sample(kind: FailureKind) -> Failure {
        Failure::new(kind, "what happened, with which repository").hint("what to do now")
    }

    #[test]
    fn every_kind_of_failure_reads_well() {
        use FailureKind as K;
        let kinds = [
            K::Failed,
            K::Usage,
            K::NoDrone,
            K::NoRepository,
            K::Exists,
            K::Busy,
            K::NoCapacity,
            K::Refused,
            K::WorkWouldBeLost,
            K::Outside,
            K::Engine,
            K::OutOfMemory,
            K::NoHostAgent,
            K::Interrupted,
        ];
        let garnished = Terminal { garnish: true, ..PLAIN };
        let shown = kinds.map(|kind| {
            let text = failure(&sample(kind), garnished);
            format!("--- {kind:?}, exit code {}\n{text}", super::super::exit::code(kind))
        });
        insta::assert_snapshot!(shown.concat());
    }

    #[test]
    fn a_failure_tells_the_whole_story() {
        let whole = Failure {
            causes: vec!["npm exited with code 1".to_owned()],
            details: vec!["npm error code ENOENT".to_owned(), "npm error path /x".to_owned()],
            step: Some("hooks".to_owned()),
            log_file: Some("/var/lib/hatchery/logs/acme-web.log".to_owned()),
            ..sample(FailureKind::Engine).hint("a second step")
        };
        insta::assert_snapshot!(failure(&whole, PLAIN));
    }

    #[test]
    fn plain_leaves_the_line_out_and_keeps_the_error() {
        let text = failure(&sample(FailureKind::NoRepository), PLAIN);
        assert!(text.starts_with("error: what happened"), "{text}");
    }

    #[test]
    fn colour_is_only_where_it_is_wanted() {
        let colour = Terminal { colour: true, ..PLAIN };
        assert!(failure(&sample(FailureKind::Failed), colour).starts_with("\x1b[1;31merror:"));
        assert!(!failure(&sample(FailureKind::Failed), PLAIN).contains('\x1b'));
    }

    #[test]
    fn what_a_repository_says_cannot_drive_the_terminal() {
        let evil = sample(FailureKind::Engine).details(["\x1b]0;owned\x07 \x1b[2J\rok".to_owned()]);
        let text = failure(&evil, PLAIN);
        assert!(!text.contains('\x1b') && !text.contains('\r'), "{text:?}");
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(Duration::from_millis(340)), "0.3 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 5 s");
    }
}
