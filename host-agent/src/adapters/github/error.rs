//! What the forge's refusals mean: the status first, then how the message begins or what it has
//! in it (GitHub REST, "Troubleshooting"; observed bodies).

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::answer::Failure;
use super::http::Answer;
use super::limit::Reach;
use super::redact::redact;

/// What an account has left of its primary limit.
const REMAINING: &str = "x-ratelimit-remaining";
/// Wait after a secondary limit that does not say how long.
const LIMIT_DEFAULT: Duration = Duration::from_secs(60);

/// A refusal, before it is known what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// 401: our time does not fit; the forge's is given where the answer has one.
    Clock {
        /// From `Date`.
        forge_time: Option<OffsetDateTime>,
        /// The forge's words.
        message: String,
    },
    /// 401: the App's key or id, or a token.
    Unauthorized(String),
    /// 403: its owner suspended the installation.
    Suspended,
    /// 403, 429: too many requests.
    Limited(Reach, Duration),
    /// Not sent: the forge limits us still.
    Held(Duration),
    /// 404: not there, or not for us.
    NotFound(String),
    /// 403, 422: the installation does not cover this.
    NotCovered(String),
    /// Anything else.
    Odd(String),
}

/// Reads a refusal.
pub fn trouble(answer: &Answer, now: OffsetDateTime) -> Trouble {
    let failure: Option<Failure> = serde_json::from_slice(&answer.body).ok();
    let raw = failure.map(|failure| failure.message).unwrap_or_default();
    let message = redact(&raw);
    match answer.status {
        StatusCode::UNAUTHORIZED if is_about_time(&raw) => {
            Trouble::Clock { forge_time: date(&answer.headers), message }
        }
        StatusCode::UNAUTHORIZED => Trouble::Unauthorized(message),
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            if let Some(wait) = limit(&answer.headers, &raw, answer.status, now) {
                Trouble::Limited(reach(&answer.headers, &raw), wait)
            } else if raw.contains("suspended") {
                Trouble::Suspended
            } else {
                Trouble::NotCovered(message)
            }
        }
        StatusCode::NOT_FOUND => Trouble::NotFound(message),
        StatusCode::UNPROCESSABLE_ENTITY => Trouble::NotCovered(message),
        status => Trouble::Odd(format!("status {}: {message}", status.as_u16())),
    }
}

fn is_about_time(message: &str) -> bool {
    message.contains("'Expiration time' claim") || message.contains("'Issued at' claim")
}

/// Whose limit it is. What does not say that it is an account's is taken for everybody's.
fn reach(headers: &HeaderMap, message: &str) -> Reach {
    let used_up = number(headers, REMAINING) == Some(0) || message.contains("installation ID");
    if used_up && !message.contains("secondary rate limit") { Reach::Account } else { Reach::App }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// How long to wait, when the refusal is about a limit.
fn limit(
    headers: &HeaderMap,
    message: &str,
    status: StatusCode,
    now: OffsetDateTime,
) -> Option<Duration> {
    let number = |name: &str| number(headers, name);
    if let Some(seconds) = number(header::RETRY_AFTER.as_str()) {
        return Some(Duration::from_secs(seconds.max(1)));
    }
    if number(REMAINING) == Some(0) {
        // By the forge's clock, where it says what that is.
        let now = date(headers).unwrap_or(now).unix_timestamp();
        let reset = number("x-ratelimit-reset").and_then(|at| i64::try_from(at).ok());
        let wait = reset.and_then(|at| u64::try_from(at - now).ok()).unwrap_or_default();
        return Some(Duration::from_secs(wait.clamp(1, 3600)));
    }
    let said = message.contains("secondary rate limit") || message.contains("rate limit exceeded");
    (said || status == StatusCode::TOO_MANY_REQUESTS).then_some(LIMIT_DEFAULT)
}

/// The forge's clock.
pub fn date(headers: &HeaderMap) -> Option<OffsetDateTime> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    // RFC 9110's preferred form is RFC 2822's but for the name of the zone.
    let text = text.strip_suffix("GMT").map(|rest| format!("{rest}+0000"))?;
    OffsetDateTime::parse(&text, &Rfc2822).ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn read(status: u16, headers: &[(&str, &str)], message: &str) -> Trouble {
        let body = serde_json::json!({ "message": message, "status": status.to_string() });
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        });
        let answer = Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: headers.collect(),
            body: body.to_string().into_bytes().into(),
            path: "/".to_owned(),
        };
        trouble(&answer, OffsetDateTime::from_unix_timestamp(1_000_000).expect("a time"))
    }

    #[test]
    fn every_known_refusal_is_told_apart() {
        let decoded = "A JSON web token could not be decoded";
        assert_eq!(read(401, &[], decoded), Trouble::Unauthorized(decoded.to_owned()));
        for message in [
            "'Expiration time' claim ('exp') is too far in the future",
            "'Expiration time' claim ('exp') must be a numeric value representing the future time",
            "'Issued at' claim ('iat') must be an Integer representing the time",
        ] {
            assert!(matches!(read(401, &[], message), Trouble::Clock { .. }), "{message}");
        }
        assert_eq!(read(403, &[], "This installation has been suspended"), Trouble::Suspended);
        let integration = "Resource not accessible by integration";
        assert_eq!(read(403, &[], integration), Trouble::NotCovered(integration.to_owned()));
        assert_eq!(read(404, &[], "Not Found"), Trouble::NotFound("Not Found".to_owned()));
        let one = "There is at least one repository that does not exist";
        assert_eq!(read(422, &[], one), Trouble::NotCovered(one.to_owned()));
        assert_eq!(read(502, &[], "Bad"), Trouble::Odd("status 502: Bad".to_owned()));
    }

    #[test]
    fn limits_say_how_long() {
        use Reach::{Account, App};
        let used_up = ("x-ratelimit-remaining", "0");
        let secondary = "You have exceeded a secondary rate limit. Please wait";
        let primary = "API rate limit exceeded for installation ID 7";
        for (status, headers, message, seconds, reach) in [
            (403, &[("retry-after", "7")][..], "", 7, App),
            (429, &[used_up, ("x-ratelimit-reset", "1000090")], "", 90, Account),
            (403, &[used_up, ("x-ratelimit-reset", "5")], "", 1, Account),
            (403, &[used_up, ("retry-after", "9")], secondary, 9, App),
            (403, &[], secondary, 60, App),
            (403, &[], primary, 60, Account),
            (429, &[], "", 60, App),
        ] {
            let expected = Trouble::Limited(reach, Duration::from_secs(seconds));
            assert_eq!(read(status, headers, message), expected, "{headers:?} {message}");
        }
    }

    #[test]
    fn the_forges_clock_is_read() {
        let headers = [("date", "Sat, 21 Nov 2026 10:11:12 GMT")];
        let Trouble::Clock { forge_time, .. } = read(401, &headers, "'Issued at' claim") else {
            panic!("not about time");
        };
        let time = forge_time.expect("a time");
        assert_eq!((time.hour(), time.minute(), time.second()), (10, 11, 12));
    }
}
