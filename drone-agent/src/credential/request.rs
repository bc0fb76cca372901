//! What git says on a credential helper's stdin.

use std::io::{self, BufRead, Read};

use hatchery_protocol::{ForgeHost, RepoName, RepoParseError};

/// Longest input taken, in bytes. git's own lines end at 65535.
const INPUT_MAX: u64 = 64 * 1024;
/// What our values of `state[]` begin with: other helpers' states pass by here too.
pub(super) const STATE_PREFIX: &str = "hatchery:";
/// Port of https, which git may spell out.
const HTTPS_PORT: u16 = 443;

/// Why a request gets no answer. Such input does not come from an honest git.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is longer than {INPUT_MAX} bytes")]
    TooLong,
    #[error("a line has a control character")]
    Control,
    #[error("a line has no `=`, or is not UTF-8")]
    Line,
    #[error("it has `{0}` twice, or empty")]
    Ambiguous(&'static str),
}

/// Why a path names no repository.
#[derive(Debug, thiserror::Error)]
pub(super) enum PathError {
    #[error("{0:?} is not owner/repo: {1}")]
    Repo(String, #[source] RepoParseError),
}

/// A host with its port, as far as a forge can have them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) host: ForgeHost,
    pub(super) port: u16,
}

impl Authority {
    /// Reads `host` or `host:port` in any case. `None`: nothing that a forge is called.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (text, HTTPS_PORT),
        };
        Some(Self { host: host.parse().ok()?, port })
    }

    pub(super) fn has_https_port(&self) -> bool {
        self.port == HTTPS_PORT
    }
}

/// One question of git.
#[derive(Default)]
pub(super) struct Request {
    pub(super) protocol: Option<String>,
    pub(super) host: Option<String>,
    pub(super) path: Option<String>,
    pub(super) password: Option<String>,
    /// git knows `state[]` and `continue` (2.46): it asks again after a 401.
    pub(super) keeps_state: bool,
    /// Hash of the token that the forge just refused, from our own state.
    pub(super) rejected: Option<String>,
}

impl Request {
    /// Reads the attributes up to a blank line or the end.
    pub(super) fn read(input: &mut impl BufRead) -> Result<Self, RequestError> {
        let mut input = input.take(INPUT_MAX + 1);
        let mut request = Self::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            input.read_until(b'\n', &mut line)?;
            if input.limit() == 0 {
                return Err(RequestError::TooLong);
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            if text.is_empty() {
                return Ok(request);
            }
            request.take_line(text)?;
        }
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), RequestError> {
        // The forge wrote these values, not git, and nobody here reads them.
        if line.starts_with(b"wwwauth[]=") {
            return Ok(());
        }
        // A lone CR, taken for a line's end, lets one value pass for two (CVE-2024-52006).
        if line.iter().any(|byte| byte.is_ascii_control()) {
            return Err(RequestError::Control);
        }
        let text = std::str::from_utf8(line).map_err(|_| RequestError::Line)?;
        let (key, value) = text.split_once('=').ok_or(RequestError::Line)?;
        match key {
            "protocol" => set_once(&mut self.protocol, "protocol", value),
            "host" => set_once(&mut self.host, "host", value),
            "path" => set_once(&mut self.path, "path", value),
            "password" => set_once(&mut self.password, "password", value),
            "capability[]" => {
                self.keeps_state = (self.keeps_state && !value.is_empty()) || value == "state";
                Ok(())
            }
            "state[]" => {
                self.take_state(value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Keeps the hash in our own state; an empty value takes back what came before.
    fn take_state(&mut self, value: &str) {
        match value.strip_prefix(STATE_PREFIX) {
            Some(hash) if is_sha256(hash) => self.rejected = Some(hash.to_owned()),
            None if value.is_empty() => self.rejected = None,
            _ => {}
        }
    }

    /// The repository that the path names; `None`: git sent no path.
    pub(super) fn repo(&self) -> Result<Option<RepoName>, PathError> {
        let Some(path) = &self.path else { return Ok(None) };
        match path.parse() {
            Ok(repo) => Ok(Some(repo)),
            Err(error) => Err(PathError::Repo(path.clone(), error)),
        }
    }
}

fn set_once(slot: &mut Option<String>, key: &'static str, value: &str) -> Result<(), RequestError> {
    if value.is_empty() || slot.is_some() {
        return Err(RequestError::Ambiguous(key));
    }
    *slot = Some(value.to_owned());
    Ok(())
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Request, RequestError> {
        Request::read(&mut text.as_bytes())
    }

    #[test]
    fn what_git_sends_is_read_to_the_blank_line() {
        let text = "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=GitHub.com:443\n\
                    path=acme/web.git\nwwwauth[]=Basic realm=\"\tx\"\nnew=thing=x\n\nhost=later\n";
        let request = read(text).expect("a request");
        assert!(request.keeps_state);
        assert_eq!(request.host.as_deref(), Some("GitHub.com:443"));
        assert_eq!(request.repo().expect("a repo"), Some("acme/web".parse().expect("a name")));
        assert!(read("protocol=https").is_ok_and(|request| !request.keeps_state));
    }

    #[test]
    fn what_git_never_sends_is_refused() {
        for text in [
            "host=a\nhost=b\n",
            "protocol=https\nprotocol=https\n",
            "path=a/b\npath=a/c\n",
            "host=\n",
            "protocol=\n",
            "path=\n",
            "host=a\rb\n",
            "host=a\r\n",
            "path=a/b\0\n",
            "path=a/b\x7f\n",
            "nonsense\n",
        ] {
            assert!(read(text).is_err(), "accepted {text:?}");
        }
        assert!(Request::read(&mut &b"path=a/\xff\n"[..]).is_err());
    }

    #[test]
    fn endless_input_is_refused() {
        assert!(matches!(
            Request::read(&mut io::BufReader::new(io::repeat(b'a'))),
            Err(RequestError::TooLong)
        ));
        let many = "a=b\n".repeat(20_000);
        assert!(matches!(read(&many), Err(RequestError::TooLong)));
    }

    #[test]
    fn only_two_plain_segments_are_a_repository() {
        for path in [
            "acme",
            "acme/web/info",
            "acme/..",
            "../web",
            "acme//web",
            "acme/we%2fb",
            "acme/web?x#y",
            "/acme/web",
            "acme/wéb",
            "acme/.git",
            "acme/we b",
        ] {
            let request = read(&format!("path={path}\n")).expect("a request");
            assert!(request.repo().is_err(), "accepted {path:?}");
        }
        assert!(read("host=a\n").is_ok_and(|request| matches!(request.repo(), Ok(None))));
    }

    #[test]
    fn our_state_brings_back_the_hash_of_the_refused_token() {
        let hash = "0123456789abcdef".repeat(4);
        let state = |lines: &str| read(lines).expect("a request").rejected;
        assert_eq!(
            state(&format!("state[]=other:1\nstate[]=hatchery:{hash}\n")),
            Some(hash.clone())
        );
        assert_eq!(state(&format!("state[]=hatchery:{hash}\nstate[]=\n")), None);
        assert_eq!(state("state[]=hatchery:ABC\n"), None);
    }

    #[test]
    fn a_host_is_compared_without_case_and_standard_port() {
        let parsed = |text| Authority::parse(text).map(|a| (a.host.to_string(), a.port));
        assert_eq!(parsed("GitHub.COM"), Some(("github.com".into(), 443)));
        assert_eq!(parsed("github.com:443"), Some(("github.com".into(), 443)));
        assert_eq!(parsed("forge.test:8443"), Some(("forge.test".into(), 8443)));
        for text in ["github.com.", "github.com:", "github.com:x", "a:1:2", "", "gïthub.com"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic_or_hands_on_control_characters(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            if let Ok(request) = Request::read(&mut &bytes[..]) {
                for value in [request.protocol, request.host, request.path].into_iter().flatten() {
                    prop_assert!(!value.is_empty() && !value.chars().any(|c| c.is_ascii_control()));
                }
            }
        }
    }
}
