//! What the policy says about one thing that a repository asks for, and what becomes of all of
//! them together: go on with notices, or refuse.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lifecycle::{Failure, FailureKind};

/// What happens to a thing that a configuration asks for and does not simply get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Refused elsewhere, but a `[[policy]]` rule permits it here: it stays, with a notice.
    Permit,
    /// Needless here: it goes, with a notice.
    Strip,
    /// Not from this repository.
    Refuse,
}

/// One thing that was stripped or refused. What is allowed makes no finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What happens to it.
    pub verdict: Verdict,
    /// File relative to the checkout, or `image` for a built image's metadata.
    pub file: String,
    /// Line in it, from 1; `None` where the source has no lines.
    pub line: Option<u32>,
    /// The thing: `runArgs --privileged`, `services.db.volumes`.
    pub subject: String,
    /// Why, as a sentence without a full stop.
    pub reason: String,
    /// Key for `[[policy]] allow` that permits it; `None`: nothing does.
    pub permit: Option<Permit>,
    /// Whether `--without-refused` can go on without it.
    pub droppable: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}", self.subject.escape_debug(), self.reason)?;
        match self.permit {
            Some(permit) if self.verdict == Verdict::Refuse => {
                write!(f, " (permit with [[policy]] allow = [\"{permit}\"])")
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// The result of a pass: what to go on with, and what was stripped or refused on the way.
///
/// `outcome` never contains anything that was refused, so going on without it is sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Review<T> {
    /// What is left.
    pub outcome: T,
    /// In the order of the files.
    pub findings: Vec<Finding>,
    /// What is not as the specification says, a line each. Nothing goes on with it; a refusal
    /// beside it is what the person has to hear first.
    pub broken: Vec<String>,
}

impl<T> Review<T> {
    /// What a pass found, for what came of it.
    ///
    /// # Errors
    /// `Usage` with everything that is `broken`, unless something was refused.
    pub fn new(outcome: T, findings: Vec<Finding>, broken: Vec<String>) -> Result<Self, Failure> {
        if !broken.is_empty() && !has_refusal(&findings) {
            return Err(broken_failure(broken));
        }
        Ok(Self { outcome, findings, broken })
    }
}

/// Whether anything among `findings` was refused.
pub fn has_refusal(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.verdict == Verdict::Refuse)
}

/// The failure of a configuration that is not what the specification says.
pub fn broken_failure(broken: Vec<String>) -> Failure {
    Failure::new(FailureKind::Usage, "the devcontainer configuration is broken")
        .details(broken)
        .hint("fix it in the repository, push, and try again")
}

/// What a pass lets through.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted<T> {
    /// What to go on with.
    pub outcome: T,
    /// What was stripped or dropped, a sentence each, for `EventKind::Notice`.
    pub notices: Vec<String>,
}

impl<T> Review<T> {
    /// Goes on when nothing was refused; with `without_refused` also when everything refused can
    /// be left out (a host command, a host mount).
    ///
    /// # Errors
    /// [`FailureKind::Refused`] with a line for each refusal that stands, else `Usage` with what is
    /// broken.
    pub fn accept(self, without_refused: bool) -> Result<Accepted<T>, Failure> {
        if let Some(failure) = refusals_as_failure(&self.findings, without_refused) {
            return Err(failure);
        }
        if !self.broken.is_empty() {
            return Err(broken_failure(self.broken));
        }
        let notices = self.findings.iter().map(|finding| match finding.verdict {
            Verdict::Permit => format!("permitted by [[policy]]: {finding}"),
            Verdict::Strip => finding.to_string(),
            Verdict::Refuse => format!("left out as asked: {finding}"),
        });
        Ok(Accepted { notices: notices.collect(), outcome: self.outcome })
    }
}

/// The failure that the refusals among `findings` amount to; `None` when there are none, or with
/// `without_refused` none that must stand.
pub fn refusals_as_failure(findings: &[Finding], without_refused: bool) -> Option<Failure> {
    let refused = || findings.iter().filter(|finding| finding.verdict == Verdict::Refuse);
    let standing: Vec<_> =
        refused().filter(|finding| !(without_refused && finding.droppable)).collect();
    let count = standing.len();
    if count == 0 {
        return None;
    }
    let things = if count == 1 { "one thing".to_owned() } else { format!("{count} things") };
    let mut failure = Failure::new(
        FailureKind::Refused,
        format!("the repository asks the host for {things} that the policy refuses"),
    )
    .details(standing.iter().map(ToString::to_string));
    if standing.iter().any(|finding| finding.permit.is_some()) {
        failure = failure.hint(
            "permit it for this repository with a [[policy]] section in the configuration, if you \
             trust everybody who can push there",
        );
    }
    if !without_refused && standing.iter().all(|finding| finding.droppable) {
        failure = failure.hint("go on without it: --without-refused");
    }
    Some(failure)
}

/// A key of `[[policy]] allow`: a class of things that some repositories may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permit {
    /// Binds of Docker's socket.
    DockerSocket,
    /// Binds of other host paths.
    HostMount,
    /// `privileged`.
    Privileged,
    /// Capabilities beyond the harmless ones.
    Capabilities,
    /// Security options that weaken confinement.
    SecurityOpt,
    /// The host's network namespace.
    HostNetwork,
    /// The host's other namespaces: pid, ipc, uts, user, cgroup.
    HostNamespaces,
    /// Devices and GPUs.
    Devices,
    /// Images and features from registries outside `[registries] allow`.
    Registries,
}

impl Permit {
    /// All of them, for the configuration's check and the manual.
    pub const ALL: [Self; 9] = [
        Self::DockerSocket,
        Self::HostMount,
        Self::Privileged,
        Self::Capabilities,
        Self::SecurityOpt,
        Self::HostNetwork,
        Self::HostNamespaces,
        Self::Devices,
        Self::Registries,
    ];

    /// As it stands in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DockerSocket => "docker-socket",
            Self::HostMount => "host-mount",
            Self::Privileged => "privileged",
            Self::Capabilities => "capabilities",
            Self::SecurityOpt => "security-opt",
            Self::HostNetwork => "host-network",
            Self::HostNamespaces => "host-namespaces",
            Self::Devices => "devices",
            Self::Registries => "registries",
        }
    }

    /// The key with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permit| permit.as_str() == name)
    }
}

impl fmt::Display for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
