//! The schema as a table: what exists, and what introspection tells of it.

use std::{collections::HashMap, sync::LazyLock};

use async_graphql_parser::{
    parse_schema,
    types::{
        BaseType, FieldDefinition, InputValueDefinition, Type, TypeDefinition, TypeKind,
        TypeSystemDefinition,
    },
};

/// All that a query can name.
#[derive(Debug)]
pub struct Schema {
    types: HashMap<String, TypeDefinition>,
}

/// Scalars that GraphQL has by itself.
const BUILT_IN: &[&str] = &["Boolean", "Float", "ID", "Int", "String"];

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let document = parse_schema(include_str!("schema.graphql"))
        .expect("the schema is part of the program, and a test parses it");
    let types = document.definitions.into_iter().filter_map(|definition| match definition {
        TypeSystemDefinition::Type(definition) => {
            Some((definition.node.name.node.to_string(), definition.node))
        }
        TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
    });
    Schema { types: types.collect() }
});

impl Schema {
    /// The one there is.
    pub fn of_github() -> &'static Self {
        &SCHEMA
    }

    /// A type by name.
    pub fn find(&self, name: &str) -> Option<&TypeDefinition> {
        self.types.get(name)
    }

    /// True for the name of a type or a built-in scalar.
    pub fn knows(&self, name: &str) -> bool {
        BUILT_IN.contains(&name) || self.types.contains_key(name)
    }

    /// Fields of an object or interface.
    pub fn fields(&self, type_name: &str) -> impl Iterator<Item = &FieldDefinition> {
        let fields = match self.find(type_name).map(|found| &found.kind) {
            Some(TypeKind::Object(object)) => object.fields.as_slice(),
            Some(TypeKind::Interface(interface)) => interface.fields.as_slice(),
            _ => &[],
        };
        fields.iter().map(|field| &field.node)
    }

    /// A field of an object or interface.
    pub fn field(&self, type_name: &str, name: &str) -> Option<&FieldDefinition> {
        self.fields(type_name).find(|field| field.name.node == name)
    }

    /// Fields of an input object; none for anything else.
    pub fn input_fields(&self, type_name: &str) -> impl Iterator<Item = &InputValueDefinition> {
        let fields = match self.find(type_name).map(|found| &found.kind) {
            Some(TypeKind::InputObject(input)) => input.fields.as_slice(),
            _ => &[],
        };
        fields.iter().map(|field| &field.node)
    }

    /// Values of an enumeration; none for anything else.
    pub fn enum_values(&self, type_name: &str) -> Vec<&str> {
        match self.find(type_name).map(|found| &found.kind) {
            Some(TypeKind::Enum(values)) => {
                values.values.iter().map(|value| value.node.value.node.as_str()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// True for a type whose fields a query must select.
    pub fn is_composite(&self, type_name: &str) -> bool {
        matches!(
            self.find(type_name).map(|found| &found.kind),
            Some(TypeKind::Object(_) | TypeKind::Interface(_) | TypeKind::Union(_))
        )
    }

    /// True when an object of type `object` is a `condition`: itself, an interface it implements,
    /// or a union it belongs to.
    pub fn is_a(&self, object: &str, condition: &str) -> bool {
        if object == condition {
            return true;
        }
        let implements = match self.find(object).map(|found| &found.kind) {
            Some(TypeKind::Object(of)) => of.implements.iter().any(|name| name.node == condition),
            _ => false,
        };
        let belongs = match self.find(condition).map(|found| &found.kind) {
            Some(TypeKind::Union(of)) => of.members.iter().any(|name| name.node == object),
            _ => false,
        };
        implements || belongs
    }

    /// The word of introspection for what kind of type this is.
    pub fn kind(&self, type_name: &str) -> &'static str {
        match self.find(type_name).map(|found| &found.kind) {
            None | Some(TypeKind::Scalar) => "SCALAR",
            Some(TypeKind::Object(_)) => "OBJECT",
            Some(TypeKind::Interface(_)) => "INTERFACE",
            Some(TypeKind::Union(_)) => "UNION",
            Some(TypeKind::Enum(_)) => "ENUM",
            Some(TypeKind::InputObject(_)) => "INPUT_OBJECT",
        }
    }
}

/// The named type within lists and non-nulls.
pub fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => named(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_schema_is_defined() {
        let schema = Schema::of_github();
        for name in schema.types.keys() {
            for field in schema.fields(name) {
                assert!(schema.knows(named(&field.ty.node)), "{name}.{}", field.name.node);
                for argument in &field.arguments {
                    assert!(schema.knows(named(&argument.node.ty.node)), "{name}");
                }
            }
            for field in schema.input_fields(name) {
                assert!(schema.knows(named(&field.ty.node)), "{name}.{}", field.name.node);
            }
        }
    }

    #[test]
    fn types_are_told_apart() {
        let schema = Schema::of_github();
        assert!(schema.is_a("Bot", "Actor") && schema.is_a("CheckRun", "StatusCheckRollupContext"));
        assert!(!schema.is_a("Bot", "RepositoryOwner"));
        assert!(schema.is_composite("IssueOrPullRequest") && !schema.is_composite("URI"));
    }
}
