//! `hatchery policy`: what Hatchery would say to a repository's configuration. Needs no host agent
//! and no configuration file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hatchery_protocol::{DroneName, ForgeHost, RepoId, RepoName};

use super::serve::config_failure;
use super::terminal::Terminal;
use super::{Global, Stop, messages, on_one_thread};
use crate::config::{self, ConfigError, DEFAULT_REGISTRIES, Locations, PolicyRule, Programs};
use crate::lifecycle::{Failure, FailureKind};
use crate::policy::{self, Examined, Finding, Report, Scope, Verdict, refusals_as_failure};
use crate::policy_check;

/// Ask what a repository may have here: `hatchery policy check`
#[derive(Debug, Args)]
pub(super) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    Check(CheckArgs),
}

/// Say what a devcontainer.json may have here, and what not
///
/// Reads the configuration and everything it names, and prints a line for each thing that a spawn
/// would leave out (stripped) or not accept (refused). Works without the host agent and without
/// Hatchery's configuration; where there is one, its `[[policy]]` and `[registries]` count. Asks Docker
/// which images there are, and registries what features ask for; without their answers it is the text
/// that counts.
///
/// Ends with 0 when nothing is refused, 6 when something is, 2 when the configuration is missing
/// or broken.
#[derive(Debug, Args)]
struct CheckArgs {
    /// A repository's directory, or a devcontainer.json in one
    #[arg(value_name = "FILE|DIRECTORY")]
    path: PathBuf,
    /// Look at the text alone: ask neither Docker nor a registry
    #[arg(long)]
    offline: bool,
    /// Count as a spawn with --without-refused would: what it leaves out is no failure
    #[arg(long)]
    without_refused: bool,
    /// The repository that it belongs to, for [[policy]] [default: named after the directory]
    #[arg(long, value_name = "OWNER/REPO")]
    repo: Option<String>,
    /// Use this devcontainer.json, relative to the directory
    #[arg(long, value_name = "PATH")]
    devcontainer: Option<String>,
}

pub(super) fn run(args: PolicyArgs, global: &Global, terminal: &Terminal) -> Result<(), Stop> {
    let PolicyCommand::Check(args) = args.command;
    check(&args, global, terminal)
}

fn check(args: &CheckArgs, global: &Global, terminal: &Terminal) -> Result<(), Stop> {
    let target = Target::of(&args.path, args.devcontainer.as_deref())?;
    let server = Server::load(global, terminal)?;
    let repo = match &args.repo {
        Some(text) => parse_repo(text)?,
        None => target.repo()?,
    };
    let drone = drone_of(&repo)?;
    let scope = server.scope(&drone, &repo);
    let (root, chosen) = (target.root.as_path(), target.chosen.as_deref());
    if args.offline {
        let examined = policy::examine(root, chosen, &scope, &|_: &str| false)?;
        return conclude(examined, BTreeMap::new(), args.without_refused, *terminal);
    }
    let asking = policy_check::examine(root, chosen, &scope, server.programs.clone());
    let checked = on_one_thread(async { Ok(asking.await?) })?;
    for unanswered in checked.unanswered {
        terminal.say(&messages::notice(&format!("not known: {unanswered}"), *terminal));
    }
    conclude(checked.examined, checked.references, args.without_refused, *terminal)
}

/// Prints what was found and ends with what it amounts to.
fn conclude(
    examined: Examined,
    references: BTreeMap<String, String>,
    without_refused: bool,
    terminal: Terminal,
) -> Result<(), Stop> {
    let report = Report::new(&examined.config_path, &examined.findings, without_refused);
    let report = Report { references, ..report };
    if !examined.is_only_broken() {
        print(&report, &examined.broken, terminal)?;
    }
    match refusals_as_failure(&examined.findings, without_refused) {
        // They stand on standard output already.
        Some(refused) => Err(Failure { details: vec![], ..refused }.into()),
        None => {
            examined.into_review()?.accept(without_refused)?;
            Ok(())
        }
    }
}

/// Which checkout, and which configuration in it.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    root: PathBuf,
    chosen: Option<String>,
}

/// Where the specification has configurations.
const FOLDER: &str = ".devcontainer";
const NAME: &str = "devcontainer.json";

impl Target {
    fn of(path: &Path, chosen: Option<&str>) -> Result<Self, Failure> {
        let unreadable = |error: io::Error| {
            Failure::new(FailureKind::Usage, format!("cannot read {}", path.display()))
                .caused_by(&error)
                .hint("name a repository's directory, or a devcontainer.json in one")
        };
        let metadata = std::fs::metadata(path);
        if metadata.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
            let root = path.canonicalize().map_err(unreadable)?;
            return Ok(Self::of_directory(root, chosen));
        }
        // A link that leads nowhere is somebody's reference all the same.
        std::fs::symlink_metadata(path).map_err(unreadable)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).canonicalize().map_err(unreadable)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self::of_file(folder, name))
    }

    fn of_directory(root: PathBuf, chosen: Option<&str>) -> Self {
        if chosen.is_some() {
            return Self { root, chosen: chosen.map(str::to_owned) };
        }
        let is_root = root.join(FOLDER).exists() || root.join(format!(".{NAME}")).exists();
        if !is_root && root.join(NAME).exists() {
            return Self::of_file(root, NAME.to_owned());
        }
        match root.parent().filter(|_| root.ends_with(FOLDER)) {
            Some(parent) => Self { root: parent.to_owned(), chosen: None },
            None => Self { root, chosen: None },
        }
    }

    /// The checkout is what `.devcontainer` lies in, up to one folder above the file's own.
    fn of_file(folder: PathBuf, name: String) -> Self {
        let (mut root, mut chosen) = (folder.clone(), name.clone());
        let mut below = name;
        for folder in folder.ancestors().take(2) {
            let Some((parent, own)) = folder.parent().zip(folder.file_name()) else { break };
            below = format!("{}/{below}", own.to_string_lossy());
            if own == FOLDER {
                (root, chosen) = (parent.to_owned(), below.clone());
            }
        }
        Self { root, chosen: Some(chosen) }
    }

    /// A name for the repository, from its directory's.
    fn repo(&self) -> Result<RepoName, Failure> {
        let name = self.root.file_name().unwrap_or_default().to_string_lossy();
        let legal = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        let name: String = name.chars().map(legal).take(100).collect();
        let name = if name.trim_matches('.').is_empty() { "repository".to_owned() } else { name };
        parse_repo(&format!("local/{name}"))
    }
}

fn parse_repo(text: &str) -> Result<RepoName, Failure> {
    let usage = |error: String| Failure::new(FailureKind::Usage, error);
    let host: ForgeHost = "github.com".parse().map_err(|error| usage(format!("{error}")))?;
    Ok(RepoId::parse(text, &host).map_err(|error| usage(error.to_string()))?.name)
}

/// A name like the one that a drone of `repo` would have; only volumes in the plan show it.
fn drone_of(repo: &RepoName) -> Result<DroneName, Failure> {
    DroneName::natural(repo).map_or_else(
        || {
            DroneName::with_suffix(repo, "000000")
                .map_err(|error| Failure::new(FailureKind::Usage, error.to_string()))
        },
        Ok,
    )
}

/// What the server's configuration says, where there is one.
struct Server {
    registries: Vec<String>,
    rules: Vec<PolicyRule>,
    default_image: String,
    sshd_injected: bool,
    programs: Programs,
}

impl Server {
    fn load(global: &Global, terminal: &Terminal) -> Result<Self, Failure> {
        match config::load(global.config.as_deref(), &Locations::of_process()) {
            Ok(config) => Ok(Self {
                registries: config.registries_allow.to_vec(),
                rules: config.policy.to_vec(),
                default_image: config.drone.image.clone(),
                sshd_injected: !config.features.sshd.is_empty(),
                programs: config.programs.clone(),
            }),
            // A file that is named has to be there.
            Err(ConfigError::Unreadable { path, source }) if global.config.is_none() => {
                if source.kind() != io::ErrorKind::NotFound {
                    let path = path.display();
                    let text = format!("cannot read {path}: {source}; Hatchery's defaults count");
                    terminal.say(&messages::notice(&text, *terminal));
                }
                Ok(Self::default())
            }
            Err(error) => Err(config_failure(&error)),
        }
    }

    fn scope<'a>(&'a self, drone: &'a DroneName, repo: &'a RepoName) -> Scope<'a> {
        Scope {
            drone,
            repo,
            registries: &self.registries,
            rules: &self.rules,
            default_image: &self.default_image,
            sshd_injected: self.sshd_injected,
            volume_subpaths: true,
            local_env: policy::local_env(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            registries: DEFAULT_REGISTRIES.map(str::to_owned).to_vec(),
            rules: vec![],
            default_image: String::new(),
            sshd_injected: true,
            programs: config::usual_programs(&Locations::of_process()),
        }
    }
}

/// Prints a report, with what is broken beside it.
pub(super) fn print(report: &Report, broken: &[String], terminal: Terminal) -> Result<(), Stop> {
    if terminal.json {
        return terminal.json(report);
    }
    terminal.data(&text(report, broken))
}

fn text(report: &Report, broken: &[String]) -> String {
    let mut lines: Vec<String> = report.findings.iter().map(|one| line(one, report)).collect();
    lines.extend(report.references.iter().map(|(name, digest)| {
        format!("{:10} {}", "made from", messages::printable(&messages::made_from(name, digest)))
    }));
    lines.extend(broken.iter().map(|line| format!("broken     {}", messages::printable(line))));
    let Report { config, refused, left_out, stripped, permitted, .. } = report;
    let config = messages::printable(config);
    let mut counts = format!("{config}: refused: {refused}, stripped: {stripped}");
    for (what, count) in [("permitted", permitted), ("left out", left_out)] {
        if *count > 0 {
            counts.push_str(&format!(", {what}: {count}"));
        }
    }
    lines.push(counts);
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn line(finding: &Finding, report: &Report) -> String {
    let verdict = match finding.verdict {
        Verdict::Refuse if report.left_out > 0 && finding.droppable => "left out",
        Verdict::Refuse => "refused",
        Verdict::Strip => "stripped",
        Verdict::Permit => "permitted",
    };
    format!("{verdict:10} {}", messages::printable(&finding.to_string()))
}
