//! What a Dockerfile fetches: base images, images that it copies or mounts from, and the frontend
//! that reads it. Its commands run in the build's container and are not judged.

use std::collections::BTreeMap;

/// An image that a Dockerfile names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The reference, variables substituted; `Err`: it cannot be known, with the reason.
    pub reference: Result<String, String>,
    /// Line of the instruction.
    pub line: u32,
    /// `FROM`, `COPY --from`, `RUN --mount`, `syntax`.
    pub instruction: &'static str,
}

/// Everything that `text` fetches when built with `args`.
pub fn fetched(text: &str, args: &BTreeMap<String, String>) -> Vec<Fetched> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let directives = Directives::read(text);
    let mut reader = Reader { args, known: platform_arguments(), stages: vec![], found: vec![] };
    if let Some((reference, line)) = directives.syntax {
        reader.push(Ok(reference), line, "syntax");
    }
    for (line, instruction) in instructions(text, directives.escape) {
        reader.instruction(&instruction, line);
    }
    reader.found
}

/// The comments at the top that configure the parser.
struct Directives {
    syntax: Option<(String, u32)>,
    escape: char,
}

impl Directives {
    fn read(text: &str) -> Self {
        let mut directives = Self { syntax: None, escape: '\\' };
        for (line, number) in text.lines().zip(1_u32..) {
            let line = line.trim();
            if number == 1 && line.starts_with("#!") {
                continue;
            }
            // BuildKit takes `//` for the syntax directive too, for frontends of other languages.
            let comment = line.strip_prefix('#').or_else(|| line.strip_prefix("//"));
            let Some((name, value)) = comment.and_then(|comment| comment.split_once('=')) else {
                // JSON at the top can name a frontend as well.
                if number == 1 && line.starts_with('{') {
                    directives.syntax = Some((line.to_owned(), number));
                }
                break;
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "syntax" => directives.syntax = Some((value.trim().to_owned(), number)),
                "escape" => directives.escape = value.trim().chars().next().unwrap_or('\\'),
                _ => {}
            }
        }
        directives
    }
}

/// Logical lines with the number of their first. Bodies of here-documents count as instructions
/// too: taking one for text that is none would hide a `FROM`.
fn instructions(text: &str, escape: char) -> Vec<(u32, String)> {
    let mut instructions: Vec<(u32, String)> = vec![];
    let mut open: Option<(u32, String)> = None;
    for (line, number) in text.lines().zip(1_u32..) {
        let trimmed = line.trim();
        // Comments and blank lines within a continued instruction vanish.
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let (part, continued) = match trimmed.strip_suffix(escape) {
            Some(part) => (part, true),
            None => (trimmed, false),
        };
        let (first, mut whole) = open.take().unwrap_or((number, String::new()));
        whole.push_str(part);
        if continued {
            open = Some((first, whole));
        } else {
            instructions.push((first, whole));
        }
    }
    instructions.extend(open);
    instructions
}

/// Arguments that BuildKit defines, as far as they can stand in an image's name.
fn platform_arguments() -> BTreeMap<String, String> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let known = [("TARGETARCH", arch), ("BUILDARCH", arch), ("TARGETOS", "linux")];
    known.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

struct Reader<'a> {
    args: &'a BTreeMap<String, String>,
    known: BTreeMap<String, String>,
    stages: Vec<String>,
    found: Vec<Fetched>,
}

impl Reader<'_> {
    fn push(&mut self, reference: Result<String, String>, line: u32, instruction: &'static str) {
        self.found.push(Fetched { reference, line, instruction });
    }

    fn instruction(&mut self, text: &str, line: u32) {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match word.to_ascii_uppercase().as_str() {
            "ONBUILD" => self.instruction(rest.trim_start(), line),
            "ARG" if self.stages.is_empty() => self.arguments(rest),
            "FROM" => self.from(rest, line),
            "COPY" | "ADD" => self.copied(rest, line),
            "RUN" => self.mounted(rest, line),
            _ => {}
        }
    }

    /// `ARG` before the first `FROM`: the only ones that count in a `FROM`.
    fn arguments(&mut self, rest: &str) {
        for word in rest.split_whitespace() {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(default.trim_matches(['"', '\'']))),
                None => (word, None),
            };
            let default = default.and_then(|text| self.substitute(text).ok());
            if let Some(value) = self.args.get(name).cloned().or(default) {
                self.known.insert(name.to_owned(), value);
            }
        }
    }

    fn from(&mut self, rest: &str, line: u32) {
        let mut words = rest.split_whitespace().skip_while(|word| word.starts_with("--"));
        let image = words.next().unwrap_or_default().trim_matches('"').to_owned();
        let stage = match words.next() {
            Some(word) if word.eq_ignore_ascii_case("as") => words.next().unwrap_or_default(),
            Some(_) | None => "",
        };
        let reference = self.substitute(&image);
        let known = reference
            .as_deref()
            .is_ok_and(|reference| reference == "scratch" || self.is_stage(reference));
        if !known {
            self.push(reference, line, "FROM");
        }
        self.stages.push(stage.to_ascii_lowercase());
    }

    fn copied(&mut self, rest: &str, line: u32) {
        let flags = rest.split_whitespace().take_while(|word| word.starts_with("--"));
        for source in flags.filter_map(|flag| flag.strip_prefix("--from=")) {
            self.source(source, line, "COPY --from");
        }
    }

    fn mounted(&mut self, rest: &str, line: u32) {
        let flags = rest.split_whitespace().take_while(|word| word.starts_with("--"));
        for mount in flags.filter_map(|flag| flag.strip_prefix("--mount=")) {
            for field in mount.split(',') {
                match field.trim_matches('"').split_once('=') {
                    Some((key, source)) if key.eq_ignore_ascii_case("from") => {
                        self.source(source, line, "RUN --mount");
                    }
                    Some(_) | None => {}
                }
            }
        }
    }

    fn source(&mut self, source: &str, line: u32, instruction: &'static str) {
        let source = source.trim_matches(['"', '\'']);
        if source.parse::<usize>().is_ok() || self.is_stage(source) {
            return;
        }
        let reference = self.substitute(source);
        self.push(reference, line, instruction);
    }

    fn is_stage(&self, name: &str) -> bool {
        !name.is_empty() && self.stages.contains(&name.to_ascii_lowercase())
    }

    /// `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:+other}`.
    fn substitute(&self, text: &str) -> Result<String, String> {
        let mut result = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            result.push_str(before);
            let (value, behind) = if let Some(braced) = after.strip_prefix('{') {
                let (inside, behind) =
                    braced.split_once('}').ok_or_else(|| format!("{text:?} has an open brace"))?;
                (self.braced(inside)?, behind)
            } else {
                let end = after
                    .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .unwrap_or(after.len());
                let (name, behind) = after.split_at_checked(end).unwrap_or((after, ""));
                (self.known.get(name).cloned().unwrap_or_default(), behind)
            };
            result.push_str(&value);
            rest = behind;
        }
        result.push_str(rest);
        if result.is_empty() {
            return Err(format!("{text:?} is empty without a build argument"));
        }
        Ok(result)
    }

    fn braced(&self, inside: &str) -> Result<String, String> {
        let end =
            inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inside.len());
        let (name, operator) = inside.split_at_checked(end).unwrap_or((inside, ""));
        let value = self.known.get(name);
        let filled = value.filter(|value| !value.is_empty());
        if operator.is_empty() {
            return Ok(value.cloned().unwrap_or_default());
        }
        if let Some(default) = operator.strip_prefix(":-") {
            return Ok(filled.cloned().unwrap_or_else(|| default.to_owned()));
        }
        if let Some(default) = operator.strip_prefix('-') {
            return Ok(value.cloned().unwrap_or_else(|| default.to_owned()));
        }
        if let Some(other) = operator.strip_prefix(":+") {
            return Ok(filled.map_or_else(String::new, |_| other.to_owned()));
        }
        Err(format!("${{{inside}}} is a substitution that the policy does not know"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn references(text: &str, args: &[(&str, &str)]) -> Vec<String> {
        let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let found = fetched(text, &args.collect());
        found
            .into_iter()
            .map(|one| one.reference.unwrap_or_else(|why| format!("? {why}")))
            .collect()
    }

    #[test]
    fn everything_that_is_fetched_is_found() {
        let table: [(&str, &[&str]); 13] = [
            ("FROM debian:12", &["debian:12"]),
            ("from --platform=linux/amd64 a/b AS x\nFROM x\nCOPY --from=x a b", &["a/b"]),
            ("ARG V=3\nARG B=python:${V}\nFROM $B", &["python:3"]),
            ("FROM ${A:-debian}:${T-12}", &["debian:12"]),
            ("FROM a\nCOPY --chown=1 --from=evil.example/x a b", &["a", "evil.example/x"]),
            (
                "FROM a\nRUN --mount=type=bind,from=evil.example/x,target=/y z",
                &["a", "evil.example/x"],
            ),
            ("# syntax=evil.example/f\nFROM a", &["evil.example/f", "a"]),
            ("// syntax = evil.example/f\nFROM a", &["evil.example/f", "a"]),
            ("#!/bin/x\n# syntax=evil.example/f\nFROM a", &["evil.example/f", "a"]),
            ("FR\\\nOM evil.example/x", &["evil.example/x"]),
            ("# escape=`\nFROM `\nevil.example/x", &["evil.example/x"]),
            ("FROM a\nONBUILD COPY --from=evil.example/x a b", &["a", "evil.example/x"]),
            ("FROM scratch\nCOPY --from=0 a b", &[]),
        ];
        for (text, expected) in table {
            assert_eq!(references(text, &[]), expected, "{text}");
        }
    }

    #[test]
    fn build_arguments_win_over_defaults() {
        assert_eq!(
            references("ARG B=debian\nFROM $B", &[("B", "evil.example/x")]),
            ["evil.example/x"]
        );
        // One that no ARG declares has no effect.
        assert!(references("FROM $B", &[("B", "x")])[0].starts_with('?'));
    }

    #[test]
    fn what_cannot_be_known_says_so() {
        for text in ["FROM ${A", "FROM ${A#b}", "FROM $A", "FROM"] {
            assert!(references(text, &[])[0].starts_with('?'), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[FROMARGCPY${}:=\\\\`# \n<\"a-c-]{0,80}") {
            fetched(&text, &BTreeMap::new());
        }
    }
}
