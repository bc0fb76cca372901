//! Variables in the image names of a Dockerfile.

use std::collections::BTreeMap;

/// Deeper nested defaults are no Dockerfile.
const MAX_DEPTH: usize = 8;

/// `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:+other}`, `${NAME+other}`.
///
/// # Errors
/// Why the text cannot be known.
pub fn substitute(text: &str, known: &BTreeMap<String, String>) -> Result<String, String> {
    let result = within(text, known, MAX_DEPTH)?;
    if result.is_empty() {
        return Err(format!("{text:?} is empty without a build argument"));
    }
    Ok(result)
}

fn within(text: &str, known: &BTreeMap<String, String>, depth: usize) -> Result<String, String> {
    let depth = depth.checked_sub(1).ok_or("substitutions are nested too deeply")?;
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        let (value, behind) = if let Some(braced) = after.strip_prefix('{') {
            let end = closing(braced).ok_or_else(|| format!("{text:?} has an open brace"))?;
            let (inside, behind) = braced.split_at_checked(end).unwrap_or((braced, ""));
            (value(inside, known, depth)?, behind.strip_prefix('}').unwrap_or(behind))
        } else {
            let (name, behind) = after.split_at_checked(name_end(after)).unwrap_or((after, ""));
            (known.get(name).cloned().unwrap_or_default(), behind)
        };
        result.push_str(&value);
        rest = behind;
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
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len())
}

fn value(inside: &str, known: &BTreeMap<String, String>, depth: usize) -> Result<String, String> {
    let (name, operator) = inside.split_at_checked(name_end(inside)).unwrap_or((inside, ""));
    let set = known.get(name);
    let (value, word) = match operator.strip_prefix(':') {
        Some(word) => (set.filter(|value| !value.is_empty()), word),
        None => (set, operator),
    };
    if operator.is_empty() {
        return Ok(set.cloned().unwrap_or_default());
    }
    match (word.split_at_checked(1), value) {
        (Some(("-", _)), Some(value)) => Ok(value.clone()),
        (Some(("-", default)), None) => within(default, known, depth),
        (Some(("+", other)), Some(_)) => within(other, known, depth),
        (Some(("+", _)), None) => Ok(String::new()),
        _ => Err(format!("${{{inside}}} is a substitution that the policy does not know")),
    }
}
