//! Whether a query fits the schema: a field, argument, fragment or variable that does not exist is
//! refused in GitHub's words before anything is done.

use std::collections::BTreeSet;

use async_graphql_parser::types::{
    ExecutableDocument, Field, FieldDefinition, OperationDefinition, Selection, SelectionSet,
};
use serde_json::{Value, json};

use super::{
    object::Args,
    root,
    schema::{Schema, named},
};

/// Selections within selections that a query may have; fragments count.
const MOST_LEVELS: usize = 40;

/// All that is wrong with an operation; nothing, for a good one.
pub fn check(document: &ExecutableDocument, operation: &OperationDefinition) -> Vec<Value> {
    let Some(root) = root(operation) else {
        return vec![json!({"message": "Schema is not configured for subscriptions"})];
    };
    let schema = Schema::of_github();
    let mut walk = Walk { schema, document, path: Vec::new(), errors: Vec::new(), levels: 0 };
    for variable in &operation.variable_definitions {
        let ty = named(&variable.node.var_type.node);
        if !schema.knows(ty) {
            let name = &variable.node.name.node;
            walk.error(
                format!("{ty} isn't a defined input type (on ${name})"),
                "variableRequiresValidType",
            );
        }
    }
    walk.set(root.type_name, &operation.selection_set.node);
    walk.errors
}

struct Walk<'a> {
    schema: &'a Schema,
    document: &'a ExecutableDocument,
    path: Vec<String>,
    errors: Vec<Value>,
    levels: usize,
}

impl Walk<'_> {
    fn error(&mut self, message: String, code: &str) {
        let path = self.path.clone();
        self.errors.push(json!({"message": message, "path": path, "extensions": {"code": code}}));
    }

    fn set(&mut self, type_name: &str, set: &SelectionSet) {
        if self.levels == MOST_LEVELS {
            self.error("Query is nested too deeply".to_owned(), "nestingTooDeep");
            return;
        }
        self.levels += 1;
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => self.field(type_name, &field.node),
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let on = condition.map_or(type_name, |condition| &condition.node.on.node);
                    self.condition(on, &fragment.node.selection_set.node);
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    match self.document.fragments.get(name) {
                        Some(fragment) => {
                            let on = &fragment.node.type_condition.node.on.node;
                            self.condition(on, &fragment.node.selection_set.node);
                        }
                        None => self.error(
                            format!("Fragment {name} was used, but not defined"),
                            "useAndDefineFragment",
                        ),
                    }
                }
            }
        }
        self.levels -= 1;
    }

    fn condition(&mut self, on: &str, set: &SelectionSet) {
        if self.schema.is_composite(on) {
            self.set(on, set);
        } else {
            self.error(
                format!("No such type {on}, so it can't be a fragment condition"),
                "undefinedType",
            );
        }
    }

    fn field(&mut self, type_name: &str, field: &Field) {
        let name = field.name.node.as_str();
        self.path.push(name.to_owned());
        match self.schema.field(type_name, name) {
            _ if name == "__typename" => {}
            Some(definition) => {
                self.arguments(field, definition);
                self.sub_selection(field, definition);
            }
            None => {
                self.error(
                    format!("Field '{name}' doesn't exist on type '{type_name}'"),
                    "undefinedField",
                );
            }
        }
        self.path.pop();
    }

    fn arguments(&mut self, field: &Field, definition: &FieldDefinition) {
        let name = &field.name.node;
        for (argument, _) in &field.arguments {
            let argument = &argument.node;
            if definition.arguments.iter().all(|known| known.node.name.node != *argument) {
                self.error(
                    format!("Field '{name}' doesn't accept argument '{argument}'"),
                    "argumentNotAccepted",
                );
            }
        }
        for required in &definition.arguments {
            let required = &required.node;
            if !required.ty.node.nullable && field.get_argument(&required.name.node).is_none() {
                let argument = &required.name.node;
                self.error(
                    format!("Field '{name}' is missing required arguments: {argument}"),
                    "missingRequiredArguments",
                );
            }
        }
    }

    fn sub_selection(&mut self, field: &Field, definition: &FieldDefinition) {
        let name = &field.name.node;
        let ty = named(&definition.ty.node).to_owned();
        let selected = !field.selection_set.node.items.is_empty();
        match (self.schema.is_composite(&ty), selected) {
            (true, true) => self.set(&ty, &field.selection_set.node),
            (true, false) => {
                self.error(format!("Field must have selections (field '{name}' returns {ty} but has no selections.)"), "selectionMismatch");
            }
            (false, true) => {
                self.error(
                    format!("Selections can't be made on scalars (field '{name}' returns {ty})"),
                    "selectionMismatch",
                );
            }
            (false, false) => {}
        }
    }
}

/// The variables of an operation, defaults put in.
///
/// # Errors
/// For a variable that is required and missing, and for fields its input type has not.
pub fn variables(operation: &OperationDefinition, given: &Value) -> Result<Args, Vec<Value>> {
    let (mut variables, mut errors) = (Args::new(), Vec::new());
    for definition in &operation.variable_definitions {
        let (name, ty) = (definition.node.name.node.as_str(), &definition.node.var_type.node);
        let value = match given.get(name) {
            Some(value) => value.clone(),
            None => match definition.node.default_value() {
                Some(default) => default.clone().into_json().unwrap_or_default(),
                None => Value::Null,
            },
        };
        if value.is_null() && !ty.nullable {
            errors.push(invalid(name, &ty.to_string(), "Expected value to not be null"));
        } else if let Some(wrong) = wrong_input(named(ty), &value) {
            errors.push(invalid(name, &ty.to_string(), &wrong));
        }
        variables.insert(name.to_owned(), value);
    }
    if errors.is_empty() { Ok(variables) } else { Err(errors) }
}

fn invalid(name: &str, ty: &str, problem: &str) -> Value {
    let message = format!("Variable ${name} of type {ty} was provided invalid value ({problem})");
    json!({"message": message, "extensions": {"problems": [{"explanation": problem}]}})
}

/// What an input object or enumeration has that its type has not, or lacks that it must have.
fn wrong_input(ty: &str, value: &Value) -> Option<String> {
    let schema = Schema::of_github();
    let values = schema.enum_values(ty);
    if let (false, Value::String(given)) = (values.is_empty(), value) {
        let known = values.contains(&given.as_str());
        return (!known).then(|| format!("Expected {given:?} to be one of: {}", values.join(", ")));
    }
    let Value::Object(given) = value else { return None };
    let known: BTreeSet<&str> =
        schema.input_fields(ty).map(|field| field.name.node.as_str()).collect();
    if let Some(extra) = given.keys().find(|name| !known.contains(name.as_str())) {
        return Some(format!("Field is not defined on {ty}: {extra}"));
    }
    let mut fields = schema.input_fields(ty);
    fields.find_map(|field| {
        let name = field.name.node.as_str();
        match given.get(name).unwrap_or(&Value::Null) {
            Value::Null if !field.ty.node.nullable => Some(format!("{name} must not be null")),
            value => wrong_input(named(&field.ty.node), value),
        }
    })
}

#[cfg(test)]
mod tests {
    use async_graphql_parser::parse_query;

    use super::*;

    fn errors(query: &str) -> Vec<String> {
        let document = parse_query(query).unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        let errors = check(&document, &operation.node);
        errors.iter().map(|error| error["message"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_good_query_passes() {
        let query = "query($o: String!) { repository(owner: $o, name: \"web\") { ...r } } \
            fragment r on Repository { id owner { login ... on User { name } } __typename }";
        assert_eq!(errors(query), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_exist_is_named() {
        for (query, message) in [
            ("{ viewer { nope } }", "Field 'nope' doesn't exist on type 'User'"),
            ("{ viewer(a: 1) { login } }", "Field 'viewer' doesn't accept argument 'a'"),
            (
                "{ repository(owner: \"a\") { id } }",
                "Field 'repository' is missing required arguments: name",
            ),
            (
                "{ viewer }",
                "Field must have selections (field 'viewer' returns User but has no selections.)",
            ),
            (
                "{ viewer { login { x } } }",
                "Selections can't be made on scalars (field 'login' returns String)",
            ),
            ("{ viewer { ...f } }", "Fragment f was used, but not defined"),
            (
                "{ viewer { ... on Nobody { id } } }",
                "No such type Nobody, so it can't be a fragment condition",
            ),
            ("query($a: Nope) { viewer { login } }", "Nope isn't a defined input type (on $a)"),
        ] {
            assert_eq!(errors(query), [message], "{query}");
        }
    }

    #[test]
    fn endless_fragments_end() {
        let query = "{ viewer { ...f } } fragment f on Actor { ...f }";
        assert_eq!(errors(query), ["Query is nested too deeply"]);
    }

    #[test]
    fn variables_are_checked() {
        let query =
            "mutation($input: AddCommentInput!) { addComment(input: $input) { clientMutationId } }";
        let document = parse_query(query).unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        let check = |given: Value| variables(&operation.node, &given).is_ok();
        assert!(check(json!({"input": {"subjectId": "I_1_1", "body": "x"}})));
        assert!(!check(json!({})));
        assert!(!check(json!({"input": {"subjectId": "I_1_1"}})));
        assert!(!check(json!({"input": {"subjectId": "I_1_1", "body": "x", "more": 1}})));
    }
}
