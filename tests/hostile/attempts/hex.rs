//! Bytes as hex digits: what scripts and tests tell each other.

use std::fmt::Write as _;

/// Two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The text that digits stand for; what is no UTF-8 in it is replaced.
///
/// # Panics
/// When they are no digits.
pub fn unhex(text: &str) -> String {
    let bytes = (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16));
    String::from_utf8_lossy(&bytes.collect::<Result<Vec<u8>, _>>().expect("hex")).into_owned()
}
