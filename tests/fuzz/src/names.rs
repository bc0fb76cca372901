//! Names, cgroups and the configuration.

use std::net::IpAddr;
use std::path::Path;

use hatchery::config::ConfigError;
use hatchery::fuzzing::{container_id, parse_config};
use hatchery_protocol::{DroneName, ForgeHost, RepoId, RepoName};

use super::text;

/// A repository as people write it: what is taken is plain, reads the same once more, and is the
/// same repository in any case.
pub fn repo_id(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let host: ForgeHost = "github.com".parse().expect("a host");
    let Ok(repo) = RepoId::parse(text, &host) else { return };
    plain(&repo.name);
    let host = repo.host.as_str();
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    assert!(host.bytes().all(legal));
    for spelling in [
        repo.folded(),
        format!("{host}/{}", repo.name),
        format!("https://{}/{}.git", host.to_ascii_uppercase(), repo.name),
        format!("git@{host}:{}.GIT", repo.name),
    ] {
        let again = RepoId::parse(&spelling, &repo.host);
        assert_eq!(again.as_ref(), Ok(&repo), "{spelling:?} from {text:?}");
        assert_eq!(again.map(|again| again.folded()), Ok(repo.folded()));
    }
    let other = format!("{host}/{}x", repo.name);
    assert_ne!(RepoId::parse(&other, &repo.host).as_ref(), Ok(&repo));
    let suffixed = DroneName::with_suffix(&repo.name, "0a1b2c").ok();
    for drone in DroneName::natural(&repo.name).into_iter().chain(suffixed) {
        assert_eq!(drone.as_str().parse(), Ok(drone.clone()));
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        assert!(drone.as_str().bytes().all(legal) && drone.as_str().len() <= 63, "{drone}");
    }
}

/// Two parts of letters, digits, `-`, `_` and `.`, neither of them `.` or `..`.
pub fn plain(name: &RepoName) {
    for part in [name.owner(), name.repo()] {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        assert!(!matches!(part, "" | "." | "..") && part.bytes().all(legal), "{part:?}");
    }
    assert!(!name.folded().ends_with(".git"), "{name}");
}

/// The content of `/proc/<pid>/cgroup`: an id is one, no line says another, and whatever a drone
/// makes below its own cgroup, it is that drone.
pub fn cgroup(data: &[u8]) {
    let Some(text) = text(data) else { return };
    below_a_drone(text);
    let Ok(id) = container_id(text) else { return };
    assert!(id.len() == 64 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
    // A cgroup that its container makes below its own changes nothing.
    let below = |line: &str| match container_id(line) {
        Ok(_) => format!("{line}/docker-{}.scope\n", "f".repeat(64)),
        Err(_) => format!("{line}\n"),
    };
    let below: String = text.lines().map(below).collect();
    assert_eq!(container_id(&below), Ok(id), "{text:?}");
    let digit = if id.starts_with('0') { "1" } else { "0" };
    let foreign = digit.repeat(64);
    let other = format!("{text}\n99:x:/docker/{foreign}\n");
    assert!(container_id(&other).is_err(), "{text:?}");
    // Every place of the id counts: none can stay while the others become another's.
    assert_eq!(container_id(&text.replace(id, &foreign)), Ok(foreign.as_str()), "{text:?}");
}

/// The kernel takes every name for a cgroup but one with a line's end or a slash.
fn below_a_drone(text: &str) {
    const ID: &str = "3d2b6c1f0e9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c";
    let name = text.replace(['\n', '\r'], "");
    for line in [
        format!("0::/docker/{ID}/{name}\n"),
        format!("0::/system.slice/docker-{ID}.scope/{name}\n"),
        format!("3:cpuset:/docker/{ID}/{name}\n2:name=systemd:/docker/{ID}\n0::/\n"),
    ] {
        assert_eq!(container_id(&line), Ok(ID), "{line:?}");
    }
}

/// The configuration: every error has a place in the file, and what is taken has a forge that is
/// asked over TLS, and says the same with a comment before it.
pub fn config(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let lines = text.lines().count() + 1;
    match parse_config(text) {
        Ok(config) => {
            assert!(!config.forges.is_empty());
            for forge in &config.forges {
                let urls = [&forge.api_url, &forge.git_url, &forge.keys_url];
                assert!(urls.into_iter().all(|url| is_private(url)), "{urls:?}");
                assert!(forge.app.private_key_file.starts_with(Path::new("/")));
            }
            let text = text.trim_start_matches('\u{feff}');
            let again = parse_config(&format!("# x\n{text}")).expect("the same");
            assert_eq!(format!("{again:?}"), format!("{config:?}"));
        }
        Err(ConfigError::Wrong { problems, .. }) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!((1..=lines).contains(&problem.line), "line {} of {text:?}", problem.line);
            }
        }
        Err(error) => unreachable!("nothing is read from disk: {error}"),
    }
}

/// Whether nobody on the way can read what is said there.
fn is_private(url: &str) -> bool {
    let url: http::Uri = url.parse().expect("an address");
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let loopback = host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    url.scheme_str() == Some("https") || loopback || host == "localhost"
}
