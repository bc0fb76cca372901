//! Git's configuration syntax, read and written without git.
//!
//! Read without git because a checkout's configuration can make git run programs; and without
//! following includes, because those lead out of the checkout. Source: git-config(1), "Syntax".

use std::str::Chars;

/// One `key = value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `remote` in `[remote "origin"]`; lower case.
    pub section: String,
    /// `origin` in `[remote "origin"]`; empty where there is none.
    pub subsection: String,
    /// Lower case.
    pub key: String,
    /// `None`: the key stands alone, which means true.
    pub value: Option<String>,
}

impl Entry {
    /// The entry's value if it is `section.*.key`.
    pub fn value_of(&self, section: &str, key: &str) -> Option<&str> {
        let named = self.section == section && self.key == key;
        self.value.as_deref().filter(|_| named)
    }
}

/// Reads a configuration file. Where git would stop with an error, this reads on with the next
/// line: better one remote too few than none.
pub fn parse(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut section = None;
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text).chars();
    while !rest.as_str().is_empty() {
        let line = rest.as_str().trim_start_matches([' ', '\t', '\r', '\n']);
        rest = line.chars();
        match rest.clone().next() {
            None => break,
            Some('#' | ';') => skip_line(&mut rest),
            Some('[') => match header(line) {
                Some((found, after)) => {
                    section = Some(found);
                    rest = after.chars(); // a key may follow on the same line
                }
                None => {
                    section = None; // keys below belong to nobody
                    skip_line(&mut rest);
                }
            },
            Some(_) => match (key_value(&mut rest), &section) {
                (Some((key, value)), Some((section, subsection))) => entries.push(Entry {
                    section: section.clone(),
                    subsection: subsection.clone(),
                    key,
                    value,
                }),
                (Some(_), None) => {}
                (None, _) => skip_line(&mut rest),
            },
        }
    }
    entries
}

/// `[section "subsection"]` or the old `[section.subsection]`, and what follows it.
fn header(line: &str) -> Option<((String, String), &str)> {
    let inner = line.strip_prefix('[')?;
    let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'))?;
    let (name, rest) = inner.split_at(end);
    let name = name.to_ascii_lowercase();
    if let Some(after) = rest.strip_prefix(']') {
        let (section, subsection) = name.split_once('.').unwrap_or((&name, ""));
        return Some(((section.to_owned(), subsection.to_owned()), after));
    }
    let mut quoted = rest.trim_start_matches([' ', '\t']).strip_prefix('"')?.chars();
    let mut subsection = String::new();
    loop {
        match quoted.next()? {
            '"' => break,
            '\n' => return None,
            '\\' => subsection.push(quoted.next().filter(|&c| c != '\n')?),
            other => subsection.push(other),
        }
    }
    Some(((name, subsection), quoted.as_str().strip_prefix(']')?))
}

/// `key = value` or `key`, read to the end of its last line.
fn key_value(rest: &mut Chars<'_>) -> Option<(String, Option<String>)> {
    let text = rest.as_str();
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(text.len());
    let (key, after) = text.split_at(end);
    *rest = after.chars();
    if !key.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let key = key.to_ascii_lowercase();
    let after = after.trim_start_matches([' ', '\t', '\r']);
    match after.chars().next() {
        None | Some('\n' | '#' | ';') => {
            skip_line(rest);
            Some((key, None))
        }
        Some('=') => {
            *rest = after.chars();
            rest.next();
            Some((key, Some(value(rest)?)))
        }
        Some(_) => None,
    }
}

/// A value: quotes, escapes, comments and continued lines resolved, outer blanks dropped. One that
/// is none is left at the latest before its line's end.
fn value(rest: &mut Chars<'_>) -> Option<String> {
    let mut value = String::new();
    let mut kept = 0; // length up to the last character that is no outer blank
    let mut quoted = false;
    loop {
        let before = rest.clone();
        match rest.next() {
            None | Some('\n') if quoted => {
                *rest = before;
                return None;
            }
            None | Some('\n') => break,
            Some('#' | ';') if !quoted => {
                skip_line(rest);
                break;
            }
            Some('\r') if rest.as_str().is_empty() || rest.as_str().starts_with('\n') => continue,
            Some(' ' | '\t') if !quoted && value.is_empty() => continue,
            Some(blank @ (' ' | '\t')) if !quoted => {
                value.push(blank);
                continue;
            }
            Some('"') => quoted = !quoted,
            // Blanks before it are kept, even before one that only continues the line.
            Some('\\') => value.extend(escape(rest)?),
            Some(other) => value.push(other),
        }
        kept = value.len();
    }
    value.truncate(kept);
    Some(value)
}

/// What a backslash and the next character mean: `Some(None)` a continued line, `None` nothing.
fn escape(rest: &mut Chars<'_>) -> Option<Option<char>> {
    match rest.next()? {
        '\n' => Some(None),
        '\r' if rest.as_str().starts_with('\n') => {
            rest.next();
            Some(None)
        }
        'n' => Some(Some('\n')),
        't' => Some(Some('\t')),
        'b' => Some(Some('\u{8}')),
        literal @ ('"' | '\\') => Some(Some(literal)),
        _ => None,
    }
}

/// Goes behind the next line end.
fn skip_line(rest: &mut Chars<'_>) {
    let text = rest.as_str();
    let next = text.split_once('\n').map_or("", |(_, next)| next);
    *rest = next.chars();
}

/// A configuration file in the making.
#[derive(Debug, Default)]
pub struct Writer {
    text: String,
}

impl Writer {
    /// Begins a section; `subsection` empty: it has none.
    pub fn section(&mut self, section: &str, subsection: &str) -> &mut Self {
        self.text.push_str(&match subsection {
            "" => format!("[{section}]\n"),
            name => format!("[{section} \"{}\"]\n", escaped(name)),
        });
        self
    }

    /// Adds a value to the section begun last.
    pub fn set(&mut self, key: &str, value: &str) -> &mut Self {
        let value = escaped(value).replace('\n', "\\n").replace('\t', "\\t");
        self.text.push_str(&format!("\t{key} = \"{value}\"\n"));
        self
    }

    /// The file's text.
    pub fn finish(self) -> String {
        self.text
    }
}

/// `\` and `"` escaped; what no configuration can hold is left out.
fn escaped(text: &str) -> String {
    let text: String = text.chars().filter(|&c| c != '\0' && c != '\r').collect();
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flat(text: &str) -> Vec<String> {
        let line = |entry: Entry| {
            let Entry { section, subsection, key, value } = entry;
            format!("{section}|{subsection}|{key}={}", value.unwrap_or_else(|| "<true>".into()))
        };
        parse(text).into_iter().map(line).collect()
    }

    #[test]
    fn each_form_of_git_config_is_read() {
        let text = "\u{feff}# a\n[core]\n\tbare = false ; b\n\tFlag\n[Remote \"Or\\\"i gin\"] url = a#b\n\
            pushurl = \"x # y\"  z  \n; c\n[branch.Main]\nremote=a\\\n b\r\nempty =\r\n";
        let expected = [
            "core||bare=false",
            "core||flag=<true>",
            "remote|Or\"i gin|url=a",
            "remote|Or\"i gin|pushurl=x # y  z",
            "branch|main|remote=a b",
            "branch|main|empty=",
        ];
        assert_eq!(flat(text), expected);
    }

    #[test]
    fn a_broken_line_costs_only_itself() {
        let text = "[a]\nx = \"open\ny = 1\n[broken\nz = 2\n[b]\n= 3\n1 = 4\nw = \\q\nv = 5\n";
        assert_eq!(flat(text), ["a||y=1", "b||v=5"]);
    }

    /// What git reads in `text`, in the form of [`flat`]; `None`: git refuses it.
    fn as_git_reads(text: &str) -> Option<Vec<String>> {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("config");
        std::fs::write(&file, text).expect("written");
        let mut git = std::process::Command::new("git");
        let output = git.args(["config", "--list", "-z", "-f"]).arg(&file).output().expect("git");
        let text = String::from_utf8(output.stdout).expect("what was written");
        let line = |pair: &str| {
            let (name, value) = pair.split_once('\n').unwrap_or((pair, "<true>"));
            let (section, rest) = name.split_once('.').unwrap_or((name, ""));
            let (subsection, key) = rest.rsplit_once('.').unwrap_or(("", rest));
            format!("{section}|{subsection}|{key}={value}")
        };
        let pairs = text.split_terminator('\0').map(line).collect();
        output.status.success().then_some(pairs)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn what_git_takes_is_read_as_git_reads_it(
            lines in proptest::collection::vec("[a-c]{1,3} ?= ?[\"a-c #;\\\\nt]{0,8}\r?", 1..5),
        ) {
            let text = format!("[core]\n{}\n", lines.join("\n"));
            if let Some(expected) = as_git_reads(&text) {
                prop_assert_eq!(flat(&text), expected, "{:?}", text);
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_hang(text in "[\\[\\]\"\\\\=#; \t\r\na-c\u{e9}]{0,60}") {
            parse(&text);
        }

        #[test]
        fn what_is_written_is_read_back(name in "[^\r\n\0]{1,20}", value in "[^\r\0]{0,30}") {
            let mut writer = Writer::default();
            writer.section("section", &name).set("key", &value);
            let read = parse(&writer.finish());
            let expected = Entry {
                section: "section".into(),
                subsection: name,
                key: "key".into(),
                value: Some(value),
            };
            prop_assert_eq!(read, vec![expected]);
        }
    }
}
