//! Every option of `docker run` and its verdict. One that is not here is refused: a newer engine
//! may know options that reach the host.

use super::finding::Permit;

/// What happens to an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Confined to the drone: translated into a setting.
    Honour,
    /// Needless here.
    Strip(&'static str),
    /// Reaches the host.
    Refuse(&'static str),
    /// Refused unless a rule permits it.
    Ask(Permit, &'static str),
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct RunOption {
    /// Long name without dashes.
    pub name: &'static str,
    /// Short name.
    pub short: Option<char>,
    /// Whether it takes a value.
    pub takes_value: bool,
    /// Its verdict.
    pub rule: Rule,
}

const HOST_SETS: Rule = Rule::Strip("the host sets it itself");
const LIMITS: Rule = Rule::Strip("the host sets the limits");
const FOREGROUND: Rule = Rule::Strip("the drone runs in the background");
const PORTS: Rule = Rule::Strip("ports are not published: the tailnet reaches every port");
const WEIGHS: Rule = Rule::Refuse("it weighs the drone against the host");
const HOST_FILE: Rule = Rule::Refuse("it reads or writes a file of the host");
const OTHERS: Rule = Rule::Refuse("it reaches other containers");

const fn value(name: &'static str, rule: Rule) -> RunOption {
    RunOption { name, short: None, takes_value: true, rule }
}

const fn flag(name: &'static str, rule: Rule) -> RunOption {
    RunOption { name, short: None, takes_value: false, rule }
}

const fn short(letter: char, option: RunOption) -> RunOption {
    RunOption { short: Some(letter), ..option }
}

/// The table, by name.
pub const OPTIONS: [RunOption; 107] = [
    value("add-host", Rule::Honour),
    value("annotation", Rule::Refuse("it configures the host's container runtime")),
    short('a', value("attach", FOREGROUND)),
    value("blkio-weight", WEIGHS),
    value("blkio-weight-device", WEIGHS),
    value("cap-add", Rule::Honour),
    value("cap-drop", Rule::Honour),
    value("cgroup-parent", WEIGHS),
    value("cgroupns", Rule::Honour),
    value("cidfile", HOST_FILE),
    value("cpu-count", LIMITS),
    value("cpu-percent", LIMITS),
    value("cpu-period", LIMITS),
    value("cpu-quota", LIMITS),
    value("cpu-rt-period", WEIGHS),
    value("cpu-rt-runtime", WEIGHS),
    short('c', value("cpu-shares", LIMITS)),
    value("cpus", LIMITS),
    value("cpuset-cpus", LIMITS),
    value("cpuset-mems", LIMITS),
    short('d', flag("detach", FOREGROUND)),
    value("detach-keys", FOREGROUND),
    value("device", Rule::Honour),
    value("device-cgroup-rule", Rule::Ask(Permit::Devices, "devices belong to the host")),
    value("device-read-bps", LIMITS),
    value("device-read-iops", LIMITS),
    value("device-write-bps", LIMITS),
    value("device-write-iops", LIMITS),
    flag("disable-content-trust", HOST_SETS),
    value("dns", HOST_SETS),
    value("dns-opt", HOST_SETS),
    value("dns-option", HOST_SETS),
    value("dns-search", HOST_SETS),
    value("domainname", HOST_SETS),
    value("entrypoint", HOST_SETS),
    short('e', value("env", Rule::Honour)),
    value("env-file", Rule::Honour),
    value("expose", PORTS),
    value("gpus", Rule::Honour),
    value("group-add", Rule::Honour),
    value("health-cmd", HOST_SETS),
    value("health-interval", HOST_SETS),
    value("health-retries", HOST_SETS),
    value("health-start-interval", HOST_SETS),
    value("health-start-period", HOST_SETS),
    value("health-timeout", HOST_SETS),
    short('h', value("hostname", HOST_SETS)),
    flag("init", Rule::Honour),
    short('i', flag("interactive", FOREGROUND)),
    value("io-maxbandwidth", LIMITS),
    value("io-maxiops", LIMITS),
    value("ip", HOST_SETS),
    value("ip6", HOST_SETS),
    value("ipc", Rule::Honour),
    value("isolation", HOST_SETS),
    value("kernel-memory", LIMITS),
    short('l', value("label", Rule::Honour)),
    value("label-file", HOST_FILE),
    value("link", OTHERS),
    value("link-local-ip", HOST_SETS),
    value("log-driver", Rule::Refuse("a log driver writes to the host or the network")),
    value("log-opt", Rule::Refuse("a log driver writes to the host or the network")),
    value("mac-address", HOST_SETS),
    short('m', value("memory", LIMITS)),
    value("memory-reservation", LIMITS),
    value("memory-swap", LIMITS),
    value("memory-swappiness", LIMITS),
    value("mount", Rule::Honour),
    value("name", HOST_SETS),
    value("net", Rule::Honour),
    value("net-alias", HOST_SETS),
    value("network", Rule::Honour),
    value("network-alias", HOST_SETS),
    flag("no-healthcheck", HOST_SETS),
    flag("oom-kill-disable", WEIGHS),
    value("oom-score-adj", WEIGHS),
    value("pid", Rule::Honour),
    value("pids-limit", LIMITS),
    value("platform", Rule::Honour),
    flag("privileged", Rule::Honour),
    short('p', value("publish", PORTS)),
    short('P', flag("publish-all", PORTS)),
    value("pull", HOST_SETS),
    short('q', flag("quiet", FOREGROUND)),
    flag("read-only", Rule::Strip("a drone's root file system is writable, and its own")),
    value("restart", HOST_SETS),
    flag("rm", HOST_SETS),
    value("runtime", Rule::Refuse("it chooses the host's container runtime")),
    value("security-opt", Rule::Honour),
    value("shm-size", Rule::Honour),
    flag("sig-proxy", FOREGROUND),
    value("stop-signal", Rule::Honour),
    value("stop-timeout", Rule::Honour),
    value("storage-opt", LIMITS),
    value("sysctl", Rule::Honour),
    value("tmpfs", Rule::Honour),
    short('t', flag("tty", FOREGROUND)),
    value("ulimit", Rule::Honour),
    flag("use-api-socket", Rule::Refuse("Docker's socket is root on the host")),
    short('u', value("user", Rule::Honour)),
    value("userns", Rule::Honour),
    value("uts", Rule::Honour),
    short('v', value("volume", Rule::Honour)),
    value("volume-driver", Rule::Refuse("a volume driver can name any path of the host")),
    value("volumes-from", OTHERS),
    short('w', value("workdir", HOST_SETS)),
    value("cgroup", OTHERS),
];

/// One option with its value, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A known option; a flag's value is `true` or what stands behind `=`.
    Known(usize, String),
    /// Not an option, or one that is not in the table.
    Unknown(String),
    /// Its value is missing.
    Incomplete(String),
}

/// Splits `runArgs` as Docker's command line does; each with the index it began at.
pub fn split(arguments: &[String]) -> Vec<(usize, Found)> {
    let mut found = vec![];
    let mut rest = arguments.iter().enumerate();
    while let Some((at, argument)) = rest.next() {
        let mut next = || rest.next().map(|(_, value)| value.clone());
        if let Some(long) = argument.strip_prefix("--").filter(|name| !name.is_empty()) {
            found.push((at, split_long(argument, long, &mut next)));
        } else if let Some(letters) = argument.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            split_short(argument, letters, &mut next, &mut |one| found.push((at, one)));
        } else {
            found.push((at, Found::Unknown(argument.clone())));
        }
    }
    found
}

fn split_long(argument: &str, long: &str, next: &mut dyn FnMut() -> Option<String>) -> Found {
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (long, None),
    };
    let Some(index) = OPTIONS.iter().position(|option| option.name == name) else {
        return Found::Unknown(argument.to_owned());
    };
    let takes_value = OPTIONS.get(index).is_some_and(|option| option.takes_value);
    match value {
        Some(value) => Found::Known(index, value),
        None if !takes_value => Found::Known(index, "true".to_owned()),
        None => next().map_or_else(
            || Found::Incomplete(argument.to_owned()),
            |value| Found::Known(index, value),
        ),
    }
}

fn split_short(
    argument: &str,
    letters: &str,
    next: &mut dyn FnMut() -> Option<String>,
    push: &mut dyn FnMut(Found),
) {
    let mut letters = letters.chars();
    while let Some(letter) = letters.next() {
        let known = OPTIONS.iter().enumerate().find(|(_, option)| option.short == Some(letter));
        let Some((index, option)) = known else {
            push(Found::Unknown(argument.to_owned()));
            return;
        };
        if !option.takes_value {
            // `-t=false` is legal too.
            if let Some(value) = letters.as_str().strip_prefix('=') {
                push(Found::Known(index, value.to_owned()));
                return;
            }
            push(Found::Known(index, "true".to_owned()));
            continue;
        }
        let attached = letters.as_str();
        push(match attached.strip_prefix('=').unwrap_or(attached) {
            "" if attached.is_empty() => next().map_or_else(
                || Found::Incomplete(argument.to_owned()),
                |value| Found::Known(index, value),
            ),
            value => Found::Known(index, value.to_owned()),
        });
        return;
    }
}
