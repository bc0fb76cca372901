//! What a Dockerfile fetches: base images, images that it copies or mounts from, and the frontend
//! that reads it. Its commands run in the build's container and are not judged.
//!
//! A here-document's body is text for BuildKit and instructions for others: both readings count.

mod lines;
mod substitute;

use std::collections::BTreeMap;

use super::finding::Permit;
use lines::{Heredocs, Instruction, flags, instructions};
use substitute::substitute;

/// An image that a Dockerfile names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The reference, variables substituted; `Err`: it cannot be known, with the reason.
    pub reference: Result<String, String>,
    /// Line of the instruction.
    pub line: u32,
    /// `FROM`, `COPY --from`, `RUN --mount`, `syntax`.
    pub instruction: &'static str,
    /// Only the reading that takes here-documents for instructions finds it: probably text.
    pub doubtful: bool,
    /// What is built is made from it; other stages may name what nobody fetches.
    pub needed: bool,
}

/// Something that a Dockerfile's build would do to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Line of the instruction.
    pub line: u32,
    /// What it asks for.
    pub instruction: &'static str,
    /// The key that permits it.
    pub permit: Permit,
    /// Why it is refused otherwise.
    pub reason: &'static str,
}

/// What `text` fetches and asks for when `target`, or its last stage, is built with `args`.
pub fn read(
    text: &str,
    args: &BTreeMap<String, String>,
    target: Option<&str>,
) -> (Vec<Fetched>, Vec<Reach>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let directives = Directives::read(text);
    let reading = |heredocs| {
        let mut reader = Reader::new(args);
        for (reference, line) in &directives.syntax {
            reader.push(reference.clone(), *line, "syntax");
        }
        for instruction in instructions(text, directives.escape, heredocs) {
            reader.instruction(&instruction.text, &instruction);
        }
        reader.mark_needed(target);
        reader
    };
    let (mut buildkit, classic) = (reading(Heredocs::Text), reading(Heredocs::Instructions));
    for mut one in classic.found {
        one.doubtful = true;
        let is_same = |known: &Fetched| {
            (known.line, known.instruction, &known.reference)
                == (one.line, one.instruction, &one.reference)
        };
        if !buildkit.found.iter().any(is_same) {
            buildkit.found.push(one);
        }
    }
    (buildkit.found, buildkit.reaches)
}

/// The comments at the top that configure the parser.
struct Directives {
    syntax: Vec<(Result<String, String>, u32)>,
    escape: char,
}

impl Directives {
    fn read(text: &str) -> Self {
        let mut directives = Self { syntax: vec![], escape: '\\' };
        // A whole file of JSON can name a frontend as well.
        if text.trim_start().starts_with('{') {
            let reason = "a Dockerfile in JSON is not one that the policy knows".to_owned();
            directives.syntax.push((Err(reason), 1));
        }
        for (line, number) in text.lines().zip(1_u32..) {
            let line = line.trim();
            if number == 1 && line.starts_with("#!") {
                continue;
            }
            // BuildKit takes `//` for the syntax directive too, for frontends of other languages.
            let comment = line.strip_prefix('#').or_else(|| line.strip_prefix("//"));
            let Some((name, value)) = comment.and_then(|comment| comment.split_once('=')) else {
                break;
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "syntax" => directives.syntax.push((Ok(value.trim().to_owned()), number)),
                "escape" => directives.escape = value.trim().chars().next().unwrap_or('\\'),
                _ => {}
            }
        }
        directives
    }
}

/// Arguments that BuildKit defines, as far as they can stand in an image's name.
fn platform_arguments() -> BTreeMap<String, String> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut known = BTreeMap::new();
    for side in ["TARGET", "BUILD"] {
        for (name, value) in [
            ("ARCH", arch.to_owned()),
            ("OS", "linux".to_owned()),
            ("PLATFORM", format!("linux/{arch}")),
            ("VARIANT", String::new()),
        ] {
            known.insert(format!("{side}{name}"), value);
        }
    }
    known
}

struct Reader<'a> {
    args: &'a BTreeMap<String, String>,
    known: BTreeMap<String, String>,
    stages: Vec<String>,
    /// The stages that each stage takes something from.
    uses: Vec<Vec<usize>>,
    found: Vec<Fetched>,
    /// The stage that each of `found` stands in; the frontend in none.
    stage_of: Vec<Option<usize>>,
    reaches: Vec<Reach>,
}

impl<'a> Reader<'a> {
    fn new(args: &'a BTreeMap<String, String>) -> Self {
        let known = platform_arguments();
        Self {
            args,
            known,
            stages: vec![],
            uses: vec![],
            found: vec![],
            stage_of: vec![],
            reaches: vec![],
        }
    }

    /// Marks what the target stage is made from.
    fn mark_needed(&mut self, target: Option<&str>) {
        let last = self.stages.len().checked_sub(1);
        let named = target.and_then(|target| self.stage(target));
        let mut open: Vec<usize> = named.or(last).into_iter().collect();
        let mut needed = vec![false; self.stages.len()];
        while let Some(stage) = open.pop() {
            match needed.get_mut(stage) {
                Some(seen) if !*seen => *seen = true,
                Some(_) | None => continue,
            }
            open.extend(self.uses.get(stage).into_iter().flatten());
        }
        for (one, stage) in self.found.iter_mut().zip(&self.stage_of) {
            let is_needed = |stage: usize| needed.get(stage).copied().unwrap_or(true);
            one.needed = stage.is_none_or(is_needed);
        }
    }

    /// The stage called `name`, or with that number; of several the last.
    fn stage(&self, name: &str) -> Option<usize> {
        let name = name.to_ascii_lowercase();
        let named = self.stages.iter().rposition(|known| !name.is_empty() && *known == name);
        named.or_else(|| name.parse().ok().filter(|number| *number < self.stages.len()))
    }

    /// The stage under way takes something from `other`.
    fn takes_from(&mut self, other: Option<usize>) {
        if let (Some(uses), Some(other)) = (self.uses.last_mut(), other) {
            uses.push(other);
        }
    }

    fn push(&mut self, reference: Result<String, String>, line: u32, instruction: &'static str) {
        self.found.push(Fetched { reference, line, instruction, doubtful: false, needed: true });
        self.stage_of.push(self.stages.len().checked_sub(1));
    }

    /// `text` is the instruction `at`, or what stands behind its `ONBUILD`.
    fn instruction(&mut self, text: &str, at: &Instruction) {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match word.to_ascii_uppercase().as_str() {
            "ONBUILD" => self.instruction(rest.trim_start(), at),
            "ARG" if self.stages.is_empty() => self.arguments(rest),
            "FROM" => self.from(rest, at.line),
            _ if self.stages.is_empty() => {
                let reason = format!("{word:?} stands before the first FROM");
                self.push(Err(reason), at.line, "FROM");
            }
            "COPY" | "ADD" => self.copied(rest, at.line),
            "RUN" => self.run(rest, at.line),
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
            let default = default.and_then(|text| substitute(text, &self.known).ok());
            if let Some(value) = self.args.get(name).cloned().or(default) {
                self.known.insert(name.to_owned(), value);
            }
        }
    }

    fn from(&mut self, rest: &str, line: u32) {
        let (_, rest) = flags(rest);
        let mut words = rest.split_whitespace();
        let image = words.next().unwrap_or_default().trim_matches('"').to_owned();
        let stage = match words.next() {
            Some(word) if word.eq_ignore_ascii_case("as") => words.next().unwrap_or_default(),
            Some(_) | None => "",
        };
        let reference = substitute(&image, &self.known);
        let base = reference.as_deref().ok().filter(|name| self.is_stage(name));
        let base = base.and_then(|name| self.stage(name));
        let stage = stage.to_ascii_lowercase();
        self.stages.push(if is_stage_name(&stage) { stage } else { String::new() });
        self.uses.push(base.into_iter().collect());
        if base.is_none() && reference.as_deref() != Ok("scratch") {
            self.push(reference, line, "FROM");
        }
    }

    fn copied(&mut self, rest: &str, line: u32) {
        for flag in flags(rest).0 {
            if let Some(source) = flag.strip_prefix("--from=") {
                self.source(source, line, "COPY --from");
            }
        }
    }

    fn run(&mut self, rest: &str, line: u32) {
        for flag in flags(rest).0 {
            match flag.split_once('=') {
                Some(("--mount", mount)) => self.mounted(mount, line),
                Some(("--network", mode)) if !matches!(mode, "default" | "none") => {
                    self.reaches.push(Reach {
                        line,
                        instruction: "RUN --network",
                        permit: Permit::HostNetwork,
                        reason: "a build on this network reaches the host",
                    });
                }
                Some(("--security", mode)) if mode != "sandbox" => self.reaches.push(Reach {
                    line,
                    instruction: "RUN --security",
                    permit: Permit::Privileged,
                    reason: "a build without confinement owns the host",
                }),
                Some(_) | None => {}
            }
        }
    }

    fn mounted(&mut self, mount: &str, line: u32) {
        for field in mount.split(',') {
            match field.trim_matches('"').split_once('=') {
                Some((key, source)) if key.trim().eq_ignore_ascii_case("from") => {
                    self.source(source, line, "RUN --mount");
                }
                Some(_) | None => {}
            }
        }
    }

    fn source(&mut self, source: &str, line: u32, instruction: &'static str) {
        let source = source.trim_matches(['"', '\'']);
        if source.parse::<usize>().is_ok() || self.is_stage(source) {
            self.takes_from(self.stage(source));
            return;
        }
        let reference = substitute(source, &self.known);
        self.push(reference, line, instruction);
    }

    fn is_stage(&self, name: &str) -> bool {
        !name.is_empty() && self.stages.contains(&name.to_ascii_lowercase())
    }
}

/// Whether BuildKit takes `name` for a stage: never what could be a registry's.
fn is_stage_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn references(text: &str, args: &[(&str, &str)]) -> Vec<String> {
        let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (found, _) = read(text, &args.collect(), None);
        found
            .into_iter()
            .filter(|one| !one.doubtful)
            .map(|one| one.reference.unwrap_or_else(|why| format!("? {why}")))
            .collect()
    }

    #[test]
    fn everything_that_is_fetched_is_found() {
        let table: [(&str, &[&str]); 17] = [
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
            (
                "// syntax = evil.example/f\nFROM a",
                &["evil.example/f", "? \"//\" stands before the first FROM", "a"],
            ),
            ("#!/bin/x\n# syntax=evil.example/f\nFROM a", &["evil.example/f", "a"]),
            ("FR\\\nOM evil.example/x", &["evil.example/x"]),
            ("# escape=`\nFROM `\nevil.example/x", &["evil.example/x"]),
            ("FROM a\nONBUILD COPY --from=evil.example/x a b", &["a", "evil.example/x"]),
            ("FROM scratch\nCOPY --from=0 a b", &[]),
            ("FROM a\nCOPY --chown=\"a b\" --from=evil.example/x a b", &["a", "evil.example/x"]),
            ("FROM a\nCOPY\\\n --from=evil.example/x a b", &["a", "evil.example/x"]),
            ("ARG A=evil.example\nFROM ${B:-${A}/x}", &["evil.example/x"]),
            ("FROM a AS evil.example/x\nFROM evil.example/x", &["a", "evil.example/x"]),
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
        for text in [
            "FROM ${A",
            "FROM ${A#b}",
            "FROM $A",
            "FROM",
            "\n\n{\"syntax\": \"evil.example/x\"}",
            "ENV A=evil.example/x\nFROM $A",
        ] {
            assert!(references(text, &[])[0].starts_with('?'), "{text}");
        }
    }

    #[test]
    fn what_may_be_text_is_found_and_doubted() {
        let text = "FROM a\nRUN <<EOF\nFROM b AS c\nEOF\nFROM c\n";
        let (found, _) = read(text, &BTreeMap::new(), None);
        let found: Vec<_> =
            found.iter().map(|one| (one.reference.as_deref(), one.doubtful)).collect();
        assert_eq!(found, [(Ok("a"), false), (Ok("c"), false), (Ok("b"), true)]);
    }

    #[test]
    fn only_what_the_target_is_made_from_is_needed() {
        let text = "# syntax=f\nFROM a AS one\nFROM b AS two\nCOPY --from=c x y\nFROM d AS dev\n\
                    COPY --from=one x y\nRUN --mount=from=0,target=/x z\nFROM dev\nFROM e AS last";
        let needed = |target| {
            let (found, _) = read(text, &BTreeMap::new(), target);
            let needed = found.into_iter().filter(|one| one.needed);
            needed.filter_map(|one| one.reference.ok()).collect::<Vec<_>>()
        };
        assert_eq!(needed(Some("DEV")), ["f", "a", "d"]);
        assert_eq!(needed(Some("3")), ["f", "a", "d"]);
        assert_eq!(needed(Some("two")), ["f", "b", "c"]);
        assert_eq!(needed(None), ["f", "e"]);
    }

    #[test]
    fn a_build_asks_for_no_more_than_its_own_network() {
        let reaches = |flag: &str| {
            let text = format!("FROM a\nRUN --mount=type=cache,target=/x {flag} make");
            read(&text, &BTreeMap::new(), None).1.first().map(|reach| (reach.line, reach.permit))
        };
        assert_eq!(reaches("--network=host"), Some((2, Permit::HostNetwork)));
        assert_eq!(reaches("--security=insecure"), Some((2, Permit::Privileged)));
        for flag in ["--network=none", "--network=default", "--security=sandbox", ""] {
            assert_eq!(reaches(flag), None, "{flag}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[FROMARGCPY${}:=\\\\`# \n<\"a-c-]{0,80}") {
            read(&text, &BTreeMap::new(), None);
        }
    }
}
