//! What resolvers give back, before the selection is applied.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::reply::Refusal;

/// Arguments of a field, variables put in.
pub type Args = serde_json::Map<String, Value>;

/// A value that a selection is still to be applied to.
#[derive(Debug, Clone)]
pub enum Out {
    /// A scalar, an enum value, or null.
    Leaf(Value),
    /// An object.
    Object(Object),
    /// A list.
    List(Vec<Out>),
}

impl Out {
    /// Null.
    pub fn null() -> Self {
        Self::Leaf(Value::Null)
    }

    /// A scalar or an enum value.
    pub fn leaf(value: impl Into<Value>) -> Self {
        Self::Leaf(value.into())
    }

    /// An object that its resolver knows by where it is.
    pub fn object(type_name: &'static str, source: Source) -> Self {
        Self::Object(Object { type_name, source })
    }

    /// An object whose fields are all here.
    pub fn fields<const N: usize>(
        type_name: &'static str,
        fields: [(&'static str, Self); N],
    ) -> Self {
        Self::object(type_name, Source::Fields(fields.into_iter().collect()))
    }

    /// The object, or null.
    pub fn or_null(found: Option<Self>) -> Self {
        found.unwrap_or_else(Self::null)
    }
}

/// An object and its type.
#[derive(Debug, Clone)]
pub struct Object {
    /// Name in the schema.
    pub type_name: &'static str,
    /// Where its fields come from.
    pub source: Source,
}

/// Where an object's fields come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// The query's root.
    Query,
    /// A mutation's root.
    Mutation,
    /// An account, by id.
    Account(u64),
    /// A repository, by id.
    Repository(u64),
    /// A pull request, by repository and number.
    Pull(u64, u64),
    /// An issue, by repository and number.
    Issue(u64, u64),
    /// A commit, by repository and object name.
    Commit(u64, String),
    /// A type of the schema, by name.
    Type(String),
    /// Fields that are here already; one that is not is null.
    Fields(BTreeMap<&'static str, Out>),
}

/// A field that could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// `NOT_FOUND`, `FORBIDDEN`, `UNPROCESSABLE`.
    pub kind: &'static str,
    /// What GitHub says.
    pub message: String,
}

impl FieldError {
    /// Something that is not there, or that the caller may not see.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { kind: "NOT_FOUND", message: message.into() }
    }

    /// Something GitHub does not do.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self { kind: "UNPROCESSABLE", message: message.into() }
    }
}

impl From<Refusal> for FieldError {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.errors.as_ref().and_then(|errors| {
            let first = &errors[0];
            match first["message"].as_str() {
                Some("") | None => first["field"].as_str().map(|field| format!("{field} invalid")),
                Some(message) => Some(message.to_owned()),
            }
        });
        let kind = match refusal.status.as_u16() {
            401 | 403 => "FORBIDDEN",
            404 => "NOT_FOUND",
            _ => "UNPROCESSABLE",
        };
        Self { kind, message: detail.unwrap_or(refusal.message) }
    }
}

/// One page of a connection, by `first`, `last` and `after`.
pub fn connection(type_name: &'static str, nodes: Vec<Out>, args: &Args) -> Out {
    connection_with(type_name, nodes, args, BTreeMap::new())
}

/// The same, with further fields.
pub fn connection_with(
    type_name: &'static str,
    nodes: Vec<Out>,
    args: &Args,
    mut fields: BTreeMap<&'static str, Out>,
) -> Out {
    let total = nodes.len();
    let number =
        |name| args.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let start = args.get("after").and_then(Value::as_str).and_then(from_cursor).unwrap_or(0);
    let start = start.min(total);
    let end = number("first").map_or(total, |first| start.saturating_add(first).min(total));
    let start = number("last").map_or(start, |last| start.max(end.saturating_sub(last)));
    let page: Vec<Out> = nodes.into_iter().skip(start).take(end - start).collect();
    let cursor = |index: usize| if page.is_empty() { Value::Null } else { json!(to_cursor(index)) };
    let page_info = Out::fields(
        "PageInfo",
        [
            ("startCursor", Out::leaf(cursor(start + 1))),
            ("endCursor", Out::leaf(cursor(end))),
            ("hasNextPage", Out::leaf(end < total)),
            ("hasPreviousPage", Out::leaf(start > 0)),
        ],
    );
    fields.insert("pageInfo", page_info);
    fields.insert("totalCount", Out::leaf(total));
    fields.insert("nodes", Out::List(page));
    Out::object(type_name, Source::Fields(fields))
}

fn to_cursor(index: usize) -> String {
    format!("cursor:v1:{index}")
}

fn from_cursor(cursor: &str) -> Option<usize> {
    cursor.strip_prefix("cursor:v1:")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(args: Value) -> (Vec<u64>, Value, bool) {
        let nodes = (1..=5_u64).map(Out::leaf).collect();
        let Value::Object(args) = args else { panic!("arguments are an object") };
        let Out::Object(Object { source: Source::Fields(mut fields), .. }) =
            connection("LabelConnection", nodes, &args)
        else {
            panic!("a connection is an object")
        };
        let Some(Out::List(nodes)) = fields.remove("nodes") else { panic!("no nodes") };
        let Some(Out::Object(Object { source: Source::Fields(info), .. })) =
            fields.remove("pageInfo")
        else {
            panic!("no page info")
        };
        let value = |out: &Out| match out {
            Out::Leaf(value) => value.clone(),
            _ => Value::Null,
        };
        let numbers = nodes.iter().filter_map(|node| value(node).as_u64()).collect();
        (numbers, value(&info["endCursor"]), value(&info["hasNextPage"]) == true)
    }

    #[test]
    fn pages_follow_each_other() {
        let (first, cursor, more) = page(json!({"first": 3}));
        assert_eq!((first, more), (vec![1, 2, 3], true));
        let (rest, _, more) = page(json!({"first": 3, "after": cursor}));
        assert_eq!((rest, more), (vec![4, 5], false));
        assert_eq!(page(json!({"last": 1})).0, [5]);
        assert_eq!(page(json!({"first": 3, "after": "cursor:v1:99"})).0, Vec::<u64>::new());
    }
}
