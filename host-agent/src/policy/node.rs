//! A parsed document that remembers its lines: what JSONC and YAML have in common.

use serde_json::{Map, Number, Value};

/// Keys of one object: more is an attack on whoever compares them.
const MAX_MEMBERS: usize = 2000;

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Line in its file, from 1.
    pub line: u32,
    /// The value.
    pub data: Data,
}

/// The value of a [`Node`].
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Node>),
    /// An object; names are unique.
    Map(Vec<Member>),
}

/// One entry of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Line of the name.
    pub line: u32,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// The entry `name` of an object.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members().iter().find(|member| member.name == name)
    }

    /// The value of entry `name` of an object.
    pub fn value(&self, name: &str) -> Option<&Node> {
        self.member(name).map(|member| &member.value)
    }

    /// Entries of an object, in order; none for anything else.
    pub fn members(&self) -> &[Member] {
        match &self.data {
            Data::Map(members) => members,
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_) => &[],
        }
    }

    /// Elements of an array.
    pub fn list(&self) -> Option<&[Node]> {
        match &self.data {
            Data::List(elements) => Some(elements),
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::Map(_) => None,
        }
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::List(_) | Data::Map(_) => None,
        }
    }

    /// A string, number or boolean as text, the way a shell or an environment shows it.
    pub fn scalar(&self) -> Option<String> {
        match &self.data {
            Data::Text(text) => Some(text.clone()),
            Data::Number(number) => Some(number.to_string()),
            Data::Bool(value) => Some(value.to_string()),
            Data::Null | Data::List(_) | Data::Map(_) => None,
        }
    }

    /// A boolean.
    pub fn bool(&self) -> Option<bool> {
        match self.data {
            Data::Bool(value) => Some(value),
            Data::Null | Data::Number(_) | Data::Text(_) | Data::List(_) | Data::Map(_) => None,
        }
    }

    /// Whether it is an object.
    pub fn is_map(&self) -> bool {
        matches!(self.data, Data::Map(_))
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }

    /// Whether there is nothing in it: `null`, or an empty string, array or object.
    pub fn is_empty(&self) -> bool {
        match &self.data {
            Data::Null => true,
            Data::Text(text) => text.is_empty(),
            Data::List(list) => list.is_empty(),
            Data::Map(members) => members.is_empty(),
            Data::Bool(_) | Data::Number(_) => false,
        }
    }

    /// The same value with every string put through `change`.
    pub fn map_text(&self, change: &mut dyn FnMut(&str, u32) -> String) -> Self {
        let data = match &self.data {
            Data::Text(text) => Data::Text(change(text, self.line)),
            Data::List(list) => Data::List(list.iter().map(|node| node.map_text(change)).collect()),
            Data::Map(members) => Data::Map(
                members
                    .iter()
                    .map(|member| Member {
                        name: member.name.clone(),
                        line: member.line,
                        value: member.value.map_text(change),
                    })
                    .collect(),
            ),
            Data::Null | Data::Bool(_) | Data::Number(_) => self.data.clone(),
        };
        Self { line: self.line, data }
    }

    /// The value without its lines.
    pub fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(number) => Value::Number(number.clone()),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(list) => Value::Array(list.iter().map(Self::to_json).collect()),
            Data::Map(members) => {
                let pairs = members.iter().map(|one| (one.name.clone(), one.value.to_json()));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }

    /// A JSON value as a node; every line is `line`.
    pub fn from_json(value: &Value, line: u32) -> Self {
        let data = match value {
            Value::Null => Data::Null,
            Value::Bool(value) => Data::Bool(*value),
            Value::Number(number) => Data::Number(number.clone()),
            Value::String(text) => Data::Text(text.clone()),
            Value::Array(list) => {
                Data::List(list.iter().map(|value| Self::from_json(value, line)).collect())
            }
            Value::Object(map) => Data::Map(
                map.iter()
                    .map(|(name, value)| Member {
                        name: name.clone(),
                        line,
                        value: Self::from_json(value, line),
                    })
                    .collect(),
            ),
        };
        Self { line, data }
    }
}

/// Why a text is not a document that the policy can judge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Flaw {
    /// Where, from 1.
    pub line: u32,
    /// What is wrong.
    pub what: String,
    /// It could be read in two ways, so it is refused rather than broken.
    pub ambiguous: bool,
}

impl Flaw {
    /// The text does not parse.
    pub fn broken(line: u32, what: impl Into<String>) -> Self {
        Self { line, what: what.into(), ambiguous: false }
    }

    /// Two readers could understand the text differently.
    pub fn ambiguous(line: u32, what: impl Into<String>) -> Self {
        Self { line, what: what.into(), ambiguous: true }
    }
}

/// Adds an entry to an object under construction.
///
/// # Errors
/// When the name is taken: one reader keeps the first, another the last.
pub fn push_unique(members: &mut Vec<Member>, member: Member) -> Result<(), Flaw> {
    if members.len() >= MAX_MEMBERS {
        return Err(Flaw::broken(member.line, "too many keys in one object"));
    }
    if members.iter().any(|known| known.name == member.name) {
        let what = format!("the key {:?} stands here a second time", member.name);
        return Err(Flaw::ambiguous(member.line, what));
    }
    members.push(member);
    Ok(())
}
