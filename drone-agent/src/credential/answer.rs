//! What git reads from a credential helper's stdout.

use hatchery_protocol::wire::TokenReply;

use super::request::{Request, STATE_PREFIX};
use super::sha256_hex;

/// The user name that GitHub takes with an installation token (GitHub docs, "Authenticating as a
/// GitHub App installation").
const USERNAME: &str = "x-access-token";

/// The attributes of an answer. Never `protocol`, `host` or `path`: git would take them for its
/// own. Older gits ignore what they do not know.
pub(super) fn text(reply: &TokenReply, request: &Request) -> String {
    let TokenReply { token, expires_at_unix, .. } = reply;
    let mut text = String::with_capacity(token.len() + 256);
    // A token seconds old may get a 401 once. A git that keeps state asks again then, and brings
    // the hash of what was refused; the second answer ends it.
    let asks_again = request.keeps_state && request.rejected.is_none();
    if asks_again {
        text.push_str("capability[]=state\n");
    }
    text.push_str(&format!(
        "username={USERNAME}\npassword={token}\npassword_expiry_utc={expires_at_unix}\n"
    ));
    if asks_again {
        let hash = sha256_hex(token.as_bytes());
        text.push_str(&format!("state[]={STATE_PREFIX}{hash}\ncontinue=1\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> TokenReply {
        TokenReply {
            token: "ghs_abc".to_owned(),
            expires_at: "2026-11-21T12:00:00Z".to_owned(),
            expires_at_unix: 1_795_262_400,
            repositories: vec![],
            permissions: Default::default(),
            host: "github.com".parse().expect("a host"),
        }
    }

    #[test]
    fn an_old_git_gets_name_password_and_expiry() {
        let expected =
            "username=x-access-token\npassword=ghs_abc\npassword_expiry_utc=1795262400\n";
        assert_eq!(text(&reply(), &Request::default()), expected);
    }

    #[test]
    fn a_git_that_keeps_state_is_told_to_ask_once_more() {
        let first = Request { keeps_state: true, ..Request::default() };
        let answer = text(&reply(), &first);
        assert!(answer.starts_with("capability[]=state\n"), "{answer}");
        let state = format!("state[]=hatchery:{}\ncontinue=1\n", sha256_hex(b"ghs_abc"));
        assert!(answer.ends_with(&state), "{answer}");

        let second = Request { rejected: Some(sha256_hex(b"ghs_abc")), ..first };
        assert!(!text(&reply(), &second).contains("continue"));
    }
}
