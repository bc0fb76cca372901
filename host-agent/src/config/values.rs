//! The texts inside configuration values: sizes, durations, addresses, URLs.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::Uri;

/// Units of sizes, in bytes, largest first.
const UNITS: [(&str, u64); 4] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A size in bytes from `8GiB`, `512 MiB` or a number of bytes. Powers of 1024 only: `GB` means
/// two things to people, so it is refused.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?.trim_end(), *factor)))
        .unwrap_or((text.strip_suffix('B').map_or(text, str::trim_end), 1));
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A size as people read it: `1.5 GiB`; three digits at most.
pub fn format_size(bytes: u64) -> String {
    let Some((unit, factor)) = UNITS.iter().find(|(_, factor)| bytes >= *factor) else {
        return format!("{bytes} B");
    };
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = bytes as f64 / *factor as f64;
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// Units of durations, in seconds, largest first.
const PERIODS: [(&str, u64); 3] = [("h", 3600), ("m", 60), ("s", 1)];

/// A duration from `2h`, `30m` or `90s`. A number alone would leave its unit to guesswork, and no
/// time at all is no limit to work with: both are refused.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, factor) = PERIODS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?.trim_end(), *factor)))?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = number.parse::<u64>().ok()?.checked_mul(factor)?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// A duration as the configuration writes it: `2h`, in the largest unit that is exact.
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let exact = |factor: &u64| seconds > 0 && seconds.is_multiple_of(*factor);
    match PERIODS.iter().find(|(_, factor)| exact(factor)) {
        Some((unit, factor)) => format!("{}{unit}", seconds / factor),
        None => format!("{seconds}s"),
    }
}

/// A base URL without its trailing slash: https, or plain http to loopback, where nothing can
/// listen in between.
pub(super) fn parse_base_url(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let host = uri.host().filter(|host| !host.is_empty())?;
    let safe = match uri.scheme_str()? {
        "https" => true,
        "http" => is_loopback(host),
        _ => false,
    };
    let plain = !uri.authority()?.as_str().contains('@') && uri.query().is_none();
    (safe && plain && !text.contains('#')).then(|| text.trim_end_matches('/').to_owned())
}

/// Any http or https URL without its trailing slash: a tailnet's control server may be plain http.
pub(super) fn parse_any_url(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let known = matches!(uri.scheme_str()?, "http" | "https") && uri.host().is_some();
    known.then(|| text.trim_end_matches('/').to_owned())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An IPv4 network from which /28s can be cut: its first address and prefix length, 28 at most.
pub(super) fn parse_pool(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let address: Ipv4Addr = address.parse().ok()?;
    let prefix: u8 = prefix.parse().ok().filter(|prefix| (8..=28).contains(prefix))?;
    let host_bits = u32::MAX >> prefix;
    (address.to_bits() & host_bits == 0).then_some((IpAddr::V4(address), prefix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(parse_size("8GiB"), Some(8 << 30));
        assert_eq!(parse_size("512 MiB"), Some(512 << 20));
        assert_eq!(parse_size("4096"), Some(4096));
        assert_eq!(parse_size("4096B"), Some(4096));
        for text in ["", "GiB", "8GB", "8g", "-1GiB", "1.5GiB", "8 GiB ", "99999999999TiB", "+1B"] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(format_size(0), "0 B");
        assert_eq!(format_size(1536 << 20), "1.5 GiB");
        assert_eq!(format_size(312 << 20), "312 MiB");
        assert_eq!(format_size(1023), "1023 B");
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, seconds) in [("2h", 7200), ("30m", 1800), ("90s", 90), ("5 m", 300)] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text:?}");
        }
        let wrong = ["", "2", "h", "0s", "0h", "-1h", "1.5h", "2 hours", "2H", "2min", "2d", "+1s"];
        for text in wrong.into_iter().chain(["9999999999999999999h", "2h "]) {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn durations_read_as_they_are_written() {
        for text in ["2h", "30m", "90s", "61m", "3601s"] {
            assert_eq!(parse_duration(text).map(format_duration).as_deref(), Some(text));
        }
        assert_eq!(format_duration(Duration::from_millis(10)), "0s");
    }

    #[test]
    fn a_forge_is_reached_over_tls_or_loopback() {
        assert_eq!(
            parse_base_url("https://api.github.com/").as_deref(),
            Some("https://api.github.com")
        );
        assert!(parse_base_url("http://127.0.0.1:8080/api/v3").is_some());
        assert!(parse_base_url("http://[::1]:8080").is_some());
        for text in [
            "http://github.com",
            "github.com",
            "ftp://github.com",
            "https://",
            "https://user:pw@github.com",
            "https://github.com/?x=1",
            "http://127.0.0.1.example.org",
            "",
        ] {
            assert_eq!(parse_base_url(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_pool_is_a_whole_network() {
        assert_eq!(parse_pool("10.213.0.0/16"), Some(([10, 213, 0, 0].into(), 16)));
        for text in ["10.213.0.1/16", "10.213.0.0", "10.213.0.0/29", "fd00::/48", "10.0.0.0/0", "/"]
        {
            assert_eq!(parse_pool(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parsers(text in "\\PC{0,30}") {
            let _ = (parse_size(&text), parse_duration(&text), parse_pool(&text));
            let _ = parse_base_url(&text);
            let _ = parse_any_url(&text);
        }

        #[test]
        fn every_whole_size_is_taken(number in 0u64..1 << 20, unit in 0usize..4) {
            let (name, factor) = UNITS[unit];
            prop_assert_eq!(parse_size(&format!("{number}{name}")), Some(number * factor));
        }
    }
}
