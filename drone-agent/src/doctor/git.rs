//! Whether git's settings, as they are in force where `doctor` is run, lead to our helper.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use hatchery_protocol::paths;
use hatchery_protocol::wire::Identity;

use super::Finding;

/// Time git may take to print its configuration.
const GIT_LIMIT: Duration = Duration::from_secs(10);

/// A setting in force, in the order in which git reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    /// Where it is from, as in `file:/etc/gitconfig`.
    origin: String,
    /// Section and key in lower case, the part between as it is written.
    key: String,
    value: String,
}

pub(super) fn examine(identity: &Identity) -> Vec<Finding> {
    match listed() {
        Ok(output) => judge(&parse(&output), identity),
        Err(why) => vec![Finding::wrong(
            format!("git does not print its configuration: {why}"),
            "add git to the image if it is missing",
        )],
    }
}

/// What `git config --list` prints.
fn listed() -> Result<String, String> {
    let mut child = Command::new("git")
        .args(["config", "--list", "--show-origin", "-z"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut stdout = child.stdout.take().ok_or("no pipe")?;
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.read_to_end(&mut bytes).map(|_| bytes);
        let _ = sender.send(read); // nobody waits any more: the limit was over
    });
    let read = receiver.recv_timeout(GIT_LIMIT);
    if read.is_err() {
        let _ = child.kill(); // ends the reader too
    }
    let ended = child.wait().map_err(|error| error.to_string());
    let _ = reader.join();
    let bytes = read.map_err(|_| "it did not end")?.map_err(|error| error.to_string())?;
    match ended?.success() {
        true => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        false => Err("it ended with an error".to_owned()),
    }
}

/// Reads `ORIGIN NUL KEY LF VALUE NUL`, repeated.
fn parse(output: &str) -> Vec<Setting> {
    let mut parts = output.split('\0');
    let mut settings = Vec::new();
    while let (Some(origin), Some(pair)) = (parts.next(), parts.next()) {
        let (key, value) = pair.split_once('\n').unwrap_or((pair, "true"));
        settings.push(Setting { origin: origin.into(), key: key.into(), value: value.into() });
    }
    settings
}

fn judge(settings: &[Setting], identity: &Identity) -> Vec<Finding> {
    let mut findings = helper(settings, identity);
    findings.extend(detours(settings, identity));
    findings.extend(secrets(settings));
    if !settings.iter().any(|setting| setting.key == "user.email") {
        findings.push(Finding::odd("commits have no author", "git config --global user.email ..."));
    }
    findings
}

/// Whether `setting` is `credential.KEY` or `credential.URL.KEY` with the forge's URL.
fn is_for_forge(setting: &Setting, key: &str, identity: &Identity) -> bool {
    let url = setting.key.strip_prefix("credential.").and_then(|rest| rest.strip_suffix(key));
    url.is_some_and(|url| {
        let url = url.trim_end_matches('.').trim_end_matches('/');
        url.is_empty() || url.eq_ignore_ascii_case(&identity.git_url)
    })
}

/// The helpers that git asks for the forge, in order, and whether a path goes with the question.
fn helper(settings: &[Setting], identity: &Identity) -> Vec<Finding> {
    let mut helpers: Vec<&Setting> = Vec::new();
    for setting in settings.iter().filter(|setting| is_for_forge(setting, "helper", identity)) {
        match setting.value.as_str() {
            "" => helpers.clear(),
            _ => helpers.push(setting),
        }
    }
    let is_ours = |setting: &Setting| setting.value == paths::CREDENTIAL_HELPER;
    let mut findings = vec![match helpers.first() {
        Some(first) if is_ours(first) => Finding::fine("git asks drone-agent for credentials"),
        Some(first) => Finding::wrong(
            format!("git asks {:?} first, set in {}", program(first), first.origin),
            "remove it there, or the empty `helper` before it",
        ),
        None => Finding::wrong("git asks no helper", "as root: `drone-agent boot --foreground`"),
    }];
    findings.extend(helpers.iter().skip(1).filter(|helper| !is_ours(helper)).map(|helper| {
        Finding::odd(
            format!("{:?} is told every token too, set in {}", program(helper), helper.origin),
            "remove it there: git hands a token that worked to all helpers",
        )
    }));
    findings.extend(path_is_sent(settings, identity));
    findings
}

/// A helper without its arguments, which may hold a password.
fn program(helper: &Setting) -> &str {
    helper.value.split_whitespace().next().unwrap_or_default()
}

/// A complaint if git does not say which repository it wants to get into.
fn path_is_sent(settings: &[Setting], identity: &Identity) -> Option<Finding> {
    let in_force = settings.iter().rfind(|one| is_for_forge(one, "usehttppath", identity))?;
    (in_force.value == "false").then(|| {
        Finding::wrong(
            format!("git does not name the repository: useHttpPath is off in {}", in_force.origin),
            "remove it there: without a path only the drone's own repository works",
        )
    })
}

/// Settings by which git never comes to ask the helper, or asks somebody else.
fn detours(settings: &[Setting], identity: &Identity) -> Vec<Finding> {
    let rewrites = |setting: &&Setting| {
        let to = setting.key.strip_prefix("url.").and_then(|key| key.strip_suffix(".insteadof"));
        to.is_some_and(|to| !to.starts_with(&identity.git_url))
            && setting.value.starts_with(&identity.git_url)
    };
    let rewrites = settings.iter().filter(rewrites).map(|setting| {
        Finding::wrong(
            format!("git replaces {} by another address, set in {}", setting.value, setting.origin),
            "remove that `insteadOf`: the drone has credentials for https alone",
        )
    });
    let unverified = settings.iter().filter(|setting| {
        setting.key.starts_with("http.")
            && setting.key.ends_with("sslverify")
            && setting.value == "false"
    });
    let unverified = unverified.map(|setting| {
        Finding::odd(
            format!("git verifies no certificate, set in {}", setting.origin),
            "remove `sslVerify`: whoever answers for the forge gets the token",
        )
    });
    rewrites.chain(unverified).collect()
}

/// What tokens of forges begin with: one may stand alone where a user name is expected.
const TOKEN_BEGINS: [&str; 6] = ["ghs_", "ghp_", "gho_", "ghu_", "github_pat_", "glpat-"];

/// Whether an address holds a password, or a token in the place of a user.
pub(super) fn has_secret(url: &str) -> bool {
    let authority = url.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    let user = authority.and_then(|text| text.rsplit_once('@')).map(|(user, _)| user);
    user.is_some_and(|user| {
        user.split_once(':').is_some_and(|(_, password)| !password.is_empty())
            || TOKEN_BEGINS.iter().any(|begin| user.starts_with(begin))
    })
}

/// Credentials that lie in the configuration. They are not shown, only where they are.
fn secrets(settings: &[Setting]) -> Vec<Finding> {
    let in_url = settings.iter().filter(|setting| {
        setting.key.starts_with("remote.")
            && setting.key.ends_with("url")
            && has_secret(&setting.value)
    });
    let in_header = settings.iter().filter(|setting| {
        setting.key.ends_with("extraheader")
            && setting.value.to_ascii_lowercase().starts_with("authorization")
    });
    let found = in_url.map(|setting| ("a password", setting));
    let found = found.chain(in_header.map(|setting| ("an authorization header", setting)));
    found
        .map(|(what, Setting { key, origin, .. })| {
            Finding::wrong(
                format!("{key} holds {what}, in {origin}"),
                "remove it, and revoke what it was: git uses it in place of the helper's token",
            )
        })
        .collect()
}

#[cfg(test)]
#[path = "git_tests.rs"]
mod tests;
