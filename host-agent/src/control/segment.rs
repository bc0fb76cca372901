//! One segment of a path: what is not plain is percent-encoded (RFC 3986, section 2.1), so that a
//! repository's `/` does not part it.

use std::fmt::Write as _;

/// `text` as a segment.
pub(super) fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut segment, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            let _ = write!(segment, "%{byte:02X}");
        }
        segment
    })
}

/// What a segment stands for; `None` where an escape is broken or the bytes are no UTF-8.
pub(super) fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            bytes.push(digit(rest.next()?)? << 4 | digit(rest.next()?)?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_repository_is_one_segment() {
        assert_eq!(encode("acme/web.js"), "acme%2Fweb.js");
        assert_eq!(decode("acme%2fweb.js").as_deref(), Some("acme/web.js"));
        for broken in ["%", "%2", "%zz", "%ff", "a%2"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "\\PC{0,40}") {
            prop_assert_eq!(decode(&encode(&text)), Some(text));
        }

        #[test]
        fn nothing_breaks_the_decoder(text in "[%0-9a-fA-Fx]{0,40}") {
            let _ = decode(&text);
        }
    }
}
