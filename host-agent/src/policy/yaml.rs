//! YAML as Compose files use it: one document, core schema, anchors and merge keys.
//!
//! What is checked is also what is used: the sanitised document is written out as JSON, so a
//! difference between this reader and Compose's cannot hide anything. Tags of Compose's own
//! (`!reset`, `!override`) are refused.

use std::collections::HashMap;
use std::str::FromStr as _;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::Number;

use super::jsonc::MAX_DEPTH;
use super::node::{Data, Flaw, Member, Node, push_unique};

/// Nodes in a document with its aliases expanded: more is an attack, not a configuration.
const MAX_NODES: usize = 50_000;

/// Parses `text`; an empty document is `null`.
///
/// # Errors
/// With the line, when it is not YAML, has a key twice, or uses a tag.
pub fn parse(text: &str) -> Result<Node, Flaw> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader =
        Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), left: MAX_NODES };
    let mut document = None;
    loop {
        let (event, line) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            event if document.is_none() => document = Some(reader.node(event, line, MAX_DEPTH)?),
            _ => return Err(Flaw::ambiguous(line, "a second YAML document in one file")),
        }
    }
    Ok(document.unwrap_or(Node { line: 1, data: Data::Null }))
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    left: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, u32), Flaw> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, line_of(&span))),
            Some(Err(error)) => {
                Err(Flaw::broken(number(error.marker().line()), error.info().to_owned()))
            }
            None => Ok((Event::StreamEnd, 1)),
        }
    }

    fn node(&mut self, event: Event<'a>, line: u32, depth: usize) -> Result<Node, Flaw> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Flaw::broken(line, "nested too deeply"));
        };
        self.spend(1, line)?;
        let (anchor, data) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, scalar(&text, style, tag.as_deref(), line)?)
            }
            Event::SequenceStart(anchor, tag) => {
                only_core(tag.as_deref(), line)?;
                (anchor, Data::List(self.sequence(depth)?))
            }
            Event::MappingStart(anchor, tag) => {
                only_core(tag.as_deref(), line)?;
                (anchor, Data::Map(self.mapping(depth)?))
            }
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let node = known.ok_or_else(|| Flaw::broken(line, "an alias of itself"))?;
                self.spend(count(&node), line)?;
                if depth_of(&node) > depth {
                    return Err(Flaw::broken(line, "nested too deeply"));
                }
                (0, node.data)
            }
            _ => return Err(Flaw::broken(line, "a value is missing")),
        };
        let node = Node { line, data };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn spend(&mut self, nodes: usize, line: u32) -> Result<(), Flaw> {
        let left = self.left.checked_sub(nodes);
        self.left = left.ok_or_else(|| Flaw::broken(line, "too large with its aliases"))?;
        Ok(())
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Node>, Flaw> {
        let mut elements = vec![];
        loop {
            let (event, line) = self.next()?;
            match event {
                Event::SequenceEnd => return Ok(elements),
                event => elements.push(self.node(event, line, depth)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<Member>, Flaw> {
        let (mut members, mut merged) = (vec![], vec![]);
        loop {
            let (event, line) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let plain = matches!(event, Event::Scalar(_, ScalarStyle::Plain, _, _));
            let key = self.node(event, line, depth)?;
            let name = key.scalar().ok_or_else(|| Flaw::broken(line, "a key is not a word"))?;
            let (event, value_line) = self.next()?;
            let value = self.node(event, value_line, depth)?;
            if plain && name == "<<" {
                merge_sources(value, &mut merged)?;
            } else {
                push_unique(&mut members, Member { name, line, value })?;
            }
        }
        for member in merged {
            // Keys written here win over merged ones, earlier sources over later ones.
            if !members.iter().any(|known| known.name == member.name) {
                members.push(member);
            }
        }
        Ok(members)
    }
}

fn merge_sources(value: Node, merged: &mut Vec<Member>) -> Result<(), Flaw> {
    let line = value.line;
    match value.data {
        Data::Map(members) => merged.extend(members),
        Data::List(sources) => {
            for source in sources {
                merge_sources(source, merged)?;
            }
        }
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => {
            return Err(Flaw::broken(line, "`<<` merges a mapping only"));
        }
    }
    Ok(())
}

fn count(node: &Node) -> usize {
    let children: usize = match &node.data {
        Data::List(list) => list.iter().map(count).sum(),
        Data::Map(members) => members.iter().map(|member| count(&member.value)).sum(),
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => 0,
    };
    children + 1
}

fn depth_of(node: &Node) -> usize {
    let deepest = match &node.data {
        Data::List(list) => list.iter().map(depth_of).max(),
        Data::Map(members) => members.iter().map(|member| depth_of(&member.value)).max(),
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => None,
    };
    deepest.unwrap_or(0) + 1
}

fn line_of(span: &Span) -> u32 {
    number(span.start.line())
}

fn number(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

fn only_core(tag: Option<&Tag>, line: u32) -> Result<(), Flaw> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => {
            Err(Flaw::ambiguous(line, format!("the tag {tag} is not one that the policy knows")))
        }
        Some(_) | None => Ok(()),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, line: u32) -> Result<Data, Flaw> {
    only_core(tag, line)?;
    let text_wanted = tag.is_some_and(|tag| tag.suffix == "str");
    if style != ScalarStyle::Plain || text_wanted {
        return Ok(Data::Text(text.to_owned()));
    }
    Ok(plain(text))
}

/// YAML 1.2 core schema.
fn plain(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "true" | "True" | "TRUE" => return Data::Bool(true),
        "false" | "False" | "FALSE" => return Data::Bool(false),
        _ => {}
    }
    let radix = |prefix, radix| {
        text.strip_prefix(prefix).and_then(|digits| u64::from_str_radix(digits, radix).ok())
    };
    if let Some(value) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Data::Number(value.into());
    }
    // JSON's numbers and the core schema's agree but for signs, leading zeros and bare points;
    // those stay text, which Compose converts where it wants a number.
    let looks_numeric = text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    match Number::from_str(text) {
        Ok(number) if looks_numeric => Data::Number(number),
        Ok(_) | Err(_) => Data::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn compose_files_read_as_compose_reads_them() {
        let text = "x-base: &base\n  restart: always\n  a: 1\nservices:\n  db:\n    <<: *base\n    \
                    a: 2\n    b: yes\n    ports: [\"22:22\", 8080]\n    d: ~\n    e: 1.50\n    f: 007\n";
        let node = parse(text).expect("YAML");
        let db = node.value("services").and_then(|services| services.value("db")).expect("db");
        assert_eq!(
            db.to_json(),
            json!({"restart": "always", "a": 2, "b": "yes", "ports": ["22:22", 8080], "d": null,
                   "e": 1.5, "f": "007"})
        );
        assert_eq!(db.member("b").map(|member| member.line), Some(8));
    }

    #[test]
    fn two_readings_are_refused() {
        for text in ["a: 1\na: 2", "a: !reset null", "a: !override [b]", "a: 1\n---\nb: 2"] {
            assert!(parse(text).expect_err(text).ambiguous, "{text}");
        }
    }

    #[test]
    fn laughs_and_loops_end() {
        let mut text = String::from("a0: &a0 [x]\n");
        for level in 1..40 {
            let previous = level - 1;
            text += &format!("a{level}: &a{level} [*a{previous}, *a{previous}, *a{previous}]\n");
        }
        assert!(parse(&text).is_err());
        assert!(parse("a: &a [*a]").is_err());
        assert!(parse(&"[".repeat(10_000)).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[\\[\\]{}\",:&*!|>#~<a-c0-9 \n\t'-]{0,80}") {
            let _ = parse(&text);
        }
    }
}
