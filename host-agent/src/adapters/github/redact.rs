//! The forge's own words, made fit for logs and people: short, one line, without secrets.

/// Longest text taken over, in characters.
const LENGTH: usize = 200;
/// How secrets of GitHub's begin: tokens of all kinds, and JWTs.
const SECRETS: [&str; 7] = ["ghs_", "ghp_", "gho_", "ghu_", "ghr_", "github_pat_", "eyJ"];

/// `text` cut, on one line, with everything that looks like a token replaced.
pub fn redact(text: &str) -> String {
    let mut clean = String::new();
    for word in text.split_inclusive(|char: char| !is_of_token(char)) {
        let (body, end) = match word.char_indices().next_back() {
            Some((at, last)) if !is_of_token(last) => word.split_at(at),
            _ => (word, ""),
        };
        let secret = SECRETS.iter().any(|begin| body.contains(begin));
        clean.push_str(if secret { "[redacted]" } else { body });
        clean.extend(end.chars().map(|char| if char.is_control() { ' ' } else { char }));
    }
    match clean.char_indices().nth(LENGTH) {
        Some((at, _)) => format!("{}…", clean.get(..at).unwrap_or_default()),
        None => clean,
    }
}

/// What tokens are made of, in GitHub's older and newer form.
fn is_of_token(char: char) -> bool {
    char.is_ascii_alphanumeric() || "._-".contains(char)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_and_line_ends_go() {
        let text = "bad token ghs_abc.DEF-_9,\r\nJWT \"eyJhbGciOi.x-y_z\" for xghs_1";
        let expected = "bad token [redacted],  JWT \"[redacted]\" for [redacted]";
        assert_eq!(redact(text), expected);
        assert_eq!(redact("Not Found"), "Not Found");
        assert_eq!(redact(&"é".repeat(300)).chars().count(), LENGTH + 1);
    }

    proptest! {
        #[test]
        fn no_token_comes_through(before in "[ -~]{0,20}[ \"]", token in "ghs_[A-Za-z0-9._-]{1,520}", after in "[ ,][ -~]{0,20}") {
            let text = format!("{before}{token}{after}");
            prop_assert!(!redact(&text).contains(&token));
        }

        #[test]
        fn nothing_panics_and_nothing_is_a_control_character(text in "(?s).{0,300}") {
            prop_assert!(!redact(&text).chars().any(char::is_control));
        }
    }
}
