//! What git says to the credential helper, and what stands in git's configuration.

/// The helper's own parser: `drone-agent` is a program, which nothing links.
#[path = "../../../drone-agent/src/credential/request.rs"]
#[allow(dead_code, reason = "the helper needs more of it")]
mod helper;

/// The drone's own reader of git's configuration.
#[path = "../../../drone-agent/src/gitconfig.rs"]
#[allow(dead_code, reason = "only reading and writing are tried here")]
mod gitconfig;

use super::names::plain;
use super::text;

/// git's side of `git credential`: what is taken has no control characters and names plain
/// repositories, and the same input with a second host is refused.
pub fn git_credential(data: &[u8]) {
    let mut input = data;
    let Ok(request) = helper::Request::read(&mut input) else { return };
    let values = [&request.protocol, &request.host, &request.path, &request.password];
    for value in values.into_iter().flatten() {
        assert!(!value.is_empty() && !value.bytes().any(|byte| byte.is_ascii_control()));
    }
    if let Ok(Some(repo)) = request.repo() {
        plain(&repo);
    }
    if let Some(host) = request.host.as_deref().and_then(helper::Authority::parse) {
        let text = host.host.as_str();
        assert!(text.is_ascii() && *text == text.to_ascii_lowercase());
    }
    if let Some(hash) = &request.rejected {
        assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    if let Some(host) = &request.host {
        let twice = [format!("host={host}\n").as_bytes(), data].concat();
        assert!(helper::Request::read(&mut twice.as_slice()).is_err());
    }
}

/// A checkout's configuration: what is read of it is read the same again once it was written, and
/// no entry comes from a comment.
pub fn git_config(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    for entry in gitconfig::parse(text) {
        assert!(entry.section.bytes().all(word), "{entry:?}");
        assert!(!entry.key.is_empty() && entry.key.bytes().all(|b| word(b) && b != b'.'));
        // What a file cannot hold, and the old form of `[section.subsection]`.
        let odd = |text: &str| text.contains(['\0', '\r']);
        let Some(value) = entry.value.clone().filter(|value| !odd(value)) else { continue };
        if odd(&entry.subsection) || entry.section.contains('.') {
            continue;
        }
        let mut writer = gitconfig::Writer::default();
        writer.section(&entry.section, &entry.subsection).set(&entry.key, &value);
        assert_eq!(gitconfig::parse(&writer.finish()), [entry]);
    }
    let commented: String = text.lines().map(|line| format!("# {line}\n")).collect();
    assert!(gitconfig::parse(&commented).is_empty(), "{commented:?}");
}
