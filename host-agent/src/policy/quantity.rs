//! Sizes as Docker writes them.

/// `512m`, `2gb`, `1GiB`, `64` in bytes: units are powers of 1024, as `docker run` has them.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        let table =
            [("64", 64), ("1k", 1024), ("2GB", 2 << 30), ("1GiB", 1 << 30), ("5 m", 5 << 20)];
        for (text, bytes) in table {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "g", "-1", "1.5g", "1x", "99999999999t", "é"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }
}
