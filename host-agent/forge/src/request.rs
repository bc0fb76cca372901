//! A call as the handlers see it: mount taken off, path and query decoded, caller known.

use http::{HeaderMap, Method};
use serde_json::Value;

use crate::{auth::Caller, reply::Refusal};

/// Where the REST API hangs for this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mount {
    /// At the root, as on `api.github.com`.
    Root,
    /// Below `/api/v3`, as on GitHub Enterprise Server.
    Enterprise,
}

/// Body size above which a REST or GraphQL call is refused: 8 MiB.
pub const BODY_LIMIT: usize = 8 << 20;

/// A REST or GraphQL call.
#[derive(Debug)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Decoded path segments below the mount.
    pub segments: Vec<String>,
    /// Decoded query pairs.
    pub query: Vec<(String, String)>,
    /// Header lines.
    pub headers: HeaderMap,
    /// Body, whole.
    pub body: Vec<u8>,
    /// Who calls.
    pub caller: Caller,
    /// `https://host[:port]` as the caller wrote it.
    pub origin: String,
    /// Where the API hangs.
    pub mount: Mount,
}

impl Request {
    /// The body as JSON; an empty one is `{}`.
    ///
    /// # Errors
    /// 400 when it is something else than a JSON object.
    pub fn json(&self) -> Result<Value, Refusal> {
        if self.body.is_empty() {
            return Ok(Value::Object(Default::default()));
        }
        match serde_json::from_slice(&self.body) {
            Ok(value @ Value::Object(_)) => Ok(value),
            _ => Err(Refusal::bad_json()),
        }
    }

    /// A query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Absolute address of an API path, for `url` fields and `Location`.
    pub fn api_url(&self, path: &str) -> String {
        match self.mount {
            Mount::Root => format!("{}{path}", self.origin),
            Mount::Enterprise => format!("{}/api/v3{path}", self.origin),
        }
    }

    /// Absolute address of a page, for `html_url` fields.
    pub fn html_url(&self, path: &str) -> String {
        format!("{}{path}", self.origin.replace("://api.", "://"))
    }

    /// One page of `items` by `page` and `per_page` (30, at most 100).
    pub fn page<T>(&self, items: Vec<T>) -> Vec<T> {
        let number = |name, default: usize| {
            self.query(name).and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        let size = number("per_page", 30).clamp(1, 100);
        let page = number("page", 1).max(1);
        items.into_iter().skip((page - 1).saturating_mul(size)).take(size).collect()
    }
}

/// Decodes `%XX`; bytes that are no UTF-8 afterwards are refused with `None`.
pub fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// Splits a path at `/` and decodes each part; `None` when one cannot be decoded.
pub fn decode_segments(path: &str) -> Option<Vec<String>> {
    path.split('/').filter(|part| !part.is_empty()).map(percent_decode).collect()
}

/// Decodes a query string; what cannot be decoded is left out.
pub fn decode_query(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((percent_decode(key)?, percent_decode(&value.replace('+', " "))?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_decoding_refuses_what_is_cut_or_not_text() {
        assert_eq!(percent_decode("hatchery%5Bbot%5D").as_deref(), Some("hatchery[bot]"));
        for bad in ["%", "%5", "%zz", "%ff"] {
            assert_eq!(percent_decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_query_is_decoded() {
        let query = decode_query("per_page=1&branch=a%2Fb&q=x+y&flag");
        assert_eq!(query[1], ("branch".into(), "a/b".into()));
        assert_eq!(query[2], ("q".into(), "x y".into()));
        assert_eq!(query[3], ("flag".into(), String::new()));
    }
}
