//! `${...}` in Compose files and the `.env` beside them. Done here, so that what is judged is what
//! Compose sees: a variable could turn an image or a mount into anything after the check.

use std::collections::BTreeMap;

/// Deeper nested defaults are no configuration.
const MAX_DEPTH: usize = 8;

/// Substitutes `$NAME`, `${NAME}`, `${NAME:-default}` and their likes; `$$` is a dollar sign.
/// Names without a value are empty, as in Compose.
///
/// # Errors
/// What is wrong with a substitution, or the message of `${NAME:?message}`.
pub fn interpolate(text: &str, values: &BTreeMap<String, String>) -> Result<String, String> {
    substitute(text, values, MAX_DEPTH)
}

/// The text that Compose reads as `text`.
pub fn escape(text: &str) -> String {
    text.replace('$', "$$")
}

fn substitute(
    text: &str,
    values: &BTreeMap<String, String>,
    depth: usize,
) -> Result<String, String> {
    let depth = depth.checked_sub(1).ok_or("substitutions are nested too deeply")?;
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        if let Some(behind) = after.strip_prefix('$') {
            result.push('$');
            rest = behind;
        } else if let Some(braced) = after.strip_prefix('{') {
            let end = closing(braced).ok_or_else(|| format!("{text:?} has an open brace"))?;
            let (inside, behind) = braced.split_at_checked(end).unwrap_or((braced, "}"));
            result.push_str(&value(inside, values, depth)?);
            rest = behind.strip_prefix('}').unwrap_or(behind);
        } else {
            let end = name_end(after);
            if end == 0 {
                return Err(format!("{text:?} has a `$` without a name; `$$` is a dollar sign"));
            }
            let (name, behind) = after.split_at_checked(end).unwrap_or((after, ""));
            result.push_str(values.get(name).map_or("", String::as_str));
            rest = behind;
        }
    }
    result.push_str(rest);
    Ok(result)
}

/// Offset of the brace that closes the one before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn name_end(text: &str) -> usize {
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let illegal = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    if begins { text.find(illegal).unwrap_or(text.len()) } else { 0 }
}

fn value(inside: &str, values: &BTreeMap<String, String>, depth: usize) -> Result<String, String> {
    let (name, operator) = inside.split_at_checked(name_end(inside)).unwrap_or(("", inside));
    if name.is_empty() {
        return Err(format!("${{{inside}}} has no name"));
    }
    let set = values.get(name);
    let filled = set.filter(|value| !value.is_empty());
    let (known, word) = match operator.strip_prefix(':') {
        Some(word) => (filled, word),
        None => (set, operator),
    };
    if operator.is_empty() {
        return Ok(set.cloned().unwrap_or_default());
    }
    match (word.split_at_checked(1), known) {
        (Some(("-", _)), Some(value)) | (Some(("?", _)), Some(value)) => Ok(value.clone()),
        (Some(("-", default)), None) => substitute(default, values, depth),
        (Some(("?", message)), None) => Err(format!("{name} is not set: {message}")),
        (Some(("+", other)), Some(_)) => substitute(other, values, depth),
        (Some(("+", _)), None) => Ok(String::new()),
        _ => Err(format!("${{{inside}}} is a substitution that the policy does not know")),
    }
}

/// Variables of an env file: `NAME=value`, quotes, comments, earlier names in later values.
pub fn parse_env(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, raw)) = line.split_once('=') else { continue };
        let name = name.trim();
        if name.starts_with('#') || name.is_empty() {
            continue;
        }
        let raw = raw.trim();
        let value = if let Some(quoted) = raw.strip_prefix('\'') {
            quoted.split('\'').next().unwrap_or_default().to_owned()
        } else if let Some(quoted) = raw.strip_prefix('"') {
            let inner = quoted.split('"').next().unwrap_or_default();
            interpolate(inner, &values).unwrap_or_else(|_| inner.to_owned())
        } else {
            let bare = raw.split(" #").next().unwrap_or_default().trim_end();
            interpolate(bare, &values).unwrap_or_else(|_| bare.to_owned())
        };
        values.insert(name.to_owned(), value);
    }
    values
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> BTreeMap<String, String> {
        [("A", "a"), ("E", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    #[test]
    fn substitutions_are_composes() {
        let table = [
            ("$A/${A}-$B", "a/a-"),
            ("$$A", "$A"),
            ("${E:-x}${E-x}${B-x}", "xx"),
            ("${B:-${A}/y}", "a/y"),
            ("${A:+z}${B:+z}${E+z}", "zz"),
            ("${A:?no}", "a"),
        ];
        for (text, expected) in table {
            assert_eq!(interpolate(text, &values()).as_deref(), Ok(expected), "{text}");
        }
        for text in ["${A", "$", "${}", "${A/x/y}", "${B:?no}", "$(id)", "${-A}"] {
            assert!(interpolate(text, &values()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_env_file_is_read_with_its_quotes() {
        let env = parse_env("# c\nA=1 # c\nexport B='$A x'\nC=\"$A y\"\nD=${A}z\nbroken\n=x\n");
        let expected = [("A", "1"), ("B", "$A x"), ("C", "1 y"), ("D", "1z")];
        assert_eq!(env, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(text in "\\PC{0,20}") {
            prop_assert_eq!(interpolate(&escape(&text), &values()), Ok(text));
        }

        #[test]
        fn nothing_panics(text in "[${}:?+A-Eé-]{0,40}") {
            let _ = interpolate(&text, &values());
            parse_env(&text);
        }
    }
}
