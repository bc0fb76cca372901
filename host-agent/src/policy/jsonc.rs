//! JSONC as the devcontainer specification means it: JSON with comments, trailing commas and a
//! byte order mark. Nothing looser: the reference CLI's own parser takes a truncated file and
//! silently loses keys.

use jsonc_parser::ast;
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::node::{Data, Flaw, Member, Node, push_unique};

/// Deeper than this nobody nests; a limit keeps recursion over a document from exhausting a stack.
pub const MAX_DEPTH: usize = 64;

const STRICT: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Parses `text`.
///
/// # Errors
/// With the line, when it is not JSONC, or an object has a key twice.
pub fn parse(text: &str) -> Result<Node, Flaw> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parsed = parse_to_ast(text, &CollectOptions::default(), &STRICT)
        .map_err(|error| Flaw::broken(number(error.line_display()), error.kind().to_string()))?;
    let value = parsed.value.ok_or_else(|| Flaw::broken(1, "the file is empty"))?;
    let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    let lines = Lines(newlines.map(|(at, _)| at).collect());
    convert(&value, &lines, MAX_DEPTH)
}

/// Offsets of all newlines.
struct Lines(Vec<usize>);

impl Lines {
    fn of(&self, offset: usize) -> u32 {
        number(self.0.partition_point(|newline| *newline < offset) + 1)
    }
}

fn number(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

fn convert(value: &ast::Value<'_>, lines: &Lines, depth: usize) -> Result<Node, Flaw> {
    let line = lines.of(value.start());
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Flaw::broken(line, "nested too deeply"));
    };
    let data = match value {
        ast::Value::NullKeyword(_) => Data::Null,
        ast::Value::BooleanLit(literal) => Data::Bool(literal.value),
        ast::Value::StringLit(literal) => Data::Text(literal.value.clone().into_owned()),
        ast::Value::NumberLit(literal) => Data::Number(
            serde_json::from_str(literal.value)
                .map_err(|_| Flaw::broken(line, format!("{} is not a number", literal.value)))?,
        ),
        ast::Value::Array(array) => Data::List(
            array
                .elements
                .iter()
                .map(|element| convert(element, lines, depth))
                .collect::<Result<_, _>>()?,
        ),
        ast::Value::Object(object) => {
            let mut members = Vec::with_capacity(object.properties.len());
            for property in &object.properties {
                let member = Member {
                    name: property.name.as_str().to_owned(),
                    line: lines.of(property.start()),
                    value: convert(&property.value, lines, depth)?,
                };
                push_unique(&mut members, member)?;
            }
            Data::Map(members)
        }
    };
    Ok(Node { line, data })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn comments_trailing_commas_and_a_byte_order_mark_are_jsonc() {
        let node = parse("\u{feff}// a\n{\n  \"a\": [1, 2,], /* b */\n  \"c\": \"\\u00e9\",\n}\n");
        let node = node.expect("JSONC");
        assert_eq!(node.to_json(), serde_json::json!({"a": [1, 2], "c": "é"}));
        assert_eq!(node.member("c").map(|member| member.line), Some(4));
    }

    #[test]
    fn what_is_not_jsonc_is_an_error_with_its_line() {
        let table = [
            ("", 1),
            ("{\"image\": \"x\", \"postCreateCommand\": ", 1),
            ("{\"image\": \"x\"", 1),
            ("{\n'a': 1}", 2),
            ("{\na: 1}", 2),
            ("{\"a\": 1 \"b\": 2}", 1),
            ("{} {}", 1),
            ("{\"a\": 0x10}", 1),
            ("/* open", 1),
        ];
        for (text, line) in table {
            let flaw = parse(text).expect_err(text);
            assert_eq!((flaw.line, flaw.ambiguous), (line, false), "{text:?}: {flaw}");
        }
    }

    #[test]
    fn a_key_twice_is_ambiguous_also_when_escaped() {
        for text in ["{\"a\": 1,\n\"a\": 2}", "{\"a\": 1,\n\"\\u0061\": 2}"] {
            let flaw = parse(text).expect_err(text);
            assert_eq!((flaw.line, flaw.ambiguous), (2, true));
        }
    }

    #[test]
    fn deep_nesting_is_an_error_not_a_crash() {
        for depth in [100, 100_000] {
            assert!(parse(&"[".repeat(depth)).is_err());
            assert!(parse(&("[".repeat(depth) + &"]".repeat(depth))).is_err());
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[\\[\\]{}\",:/*0-9a-e\\\\ \n\u{feff}-]{0,80}") {
            let _ = parse(&text);
        }
    }
}
