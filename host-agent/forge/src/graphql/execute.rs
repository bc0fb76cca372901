//! Applying a selection to what resolvers give.

use std::sync::{Mutex, PoisonError};

use async_graphql_parser::{
    Positioned,
    types::{Directive, ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet},
};
use async_graphql_value::{ConstValue, Name};
use futures_util::{FutureExt as _, future::BoxFuture};
use serde_json::{Map, Value, json};

use super::{
    Context,
    object::{Args, Object, Out},
    root,
    schema::Schema,
};

/// Runs an operation that was found good.
pub async fn run(
    context: &Context<'_>,
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    variables: Args,
) -> Value {
    let errors = Mutex::new(Vec::new());
    let execution = Execution { context, document, variables, errors };
    let data = match root(operation) {
        Some(root) => {
            execution.object(&root, vec![&operation.selection_set.node], Vec::new()).await
        }
        None => Value::Null,
    };
    let errors = execution.errors.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut answer = json!({"data": data});
    if !errors.is_empty() {
        answer["errors"] = Value::Array(errors);
    }
    answer
}

struct Execution<'a> {
    context: &'a Context<'a>,
    document: &'a ExecutableDocument,
    variables: Args,
    errors: Mutex<Vec<Value>>,
}

/// Fields to answer under one key: the same field, selected in several places.
type Selected<'a> = Vec<(&'a str, Vec<&'a Field>)>;

impl<'a> Execution<'a> {
    fn object<'b>(
        &'b self,
        object: &'b Object,
        sets: Vec<&'b SelectionSet>,
        path: Vec<Value>,
    ) -> BoxFuture<'b, Value> {
        async move {
            let mut selected = Selected::new();
            for set in sets {
                self.collect(object.type_name, set, &mut selected);
            }
            let mut answer = Map::new();
            for (key, fields) in selected {
                let mut path = path.clone();
                path.push(json!(key));
                answer.insert(key.to_owned(), self.field(object, &fields, path).await);
            }
            Value::Object(answer)
        }
        .boxed()
    }

    fn collect<'b>(&'b self, on: &str, set: &'b SelectionSet, into: &mut Selected<'b>) {
        let schema = Schema::of_github();
        for selection in &set.items {
            if !self.included(selection.node.directives()) {
                continue;
            }
            match &selection.node {
                Selection::Field(field) => {
                    let (key, field) = (field.node.response_key().node.as_str(), &field.node);
                    match into.iter_mut().find(|(known, _)| *known == key) {
                        Some((_, fields)) => fields.push(field),
                        None => into.push((key, vec![field])),
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    if condition.is_none_or(|only| schema.is_a(on, &only.node.on.node)) {
                        self.collect(on, &fragment.node.selection_set.node, into);
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = self.document.fragments.get(&spread.node.fragment_name.node);
                    let fits = fragment.filter(|fragment| {
                        schema.is_a(on, &fragment.node.type_condition.node.on.node)
                    });
                    if let Some(fragment) = fits {
                        self.collect(on, &fragment.node.selection_set.node, into);
                    }
                }
            }
        }
    }

    /// By `@include(if:)` and `@skip(if:)`.
    fn included(&self, directives: &[Positioned<Directive>]) -> bool {
        directives.iter().all(|directive| {
            let condition = directive.node.get_argument("if");
            let truth = condition.is_some_and(|value| self.value(&value.node) == true);
            match directive.node.name.node.as_str() {
                "include" => truth,
                "skip" => !truth,
                _ => true,
            }
        })
    }

    /// A value of the query, variables put in.
    fn value(&self, value: &async_graphql_value::Value) -> Value {
        let variable = |name: Name| {
            let value = self.variables.get(name.as_str()).cloned().unwrap_or_default();
            ConstValue::from_json(value)
        };
        let value = value.clone().into_const_with(variable);
        value.and_then(ConstValue::into_json).unwrap_or_default()
    }

    async fn field(&self, object: &Object, fields: &[&Field], path: Vec<Value>) -> Value {
        let Some(first) = fields.first() else { return Value::Null };
        let name = first.name.node.as_str();
        if name == "__typename" {
            return json!(object.type_name);
        }
        let arguments = first.arguments.iter();
        let args: Args = arguments
            .map(|(name, value)| (name.node.to_string(), self.value(&value.node)))
            .collect();
        match self.context.resolve(object, name, &args).await {
            Ok(out) => {
                let sets = fields.iter().map(|field| &field.selection_set.node).collect();
                self.complete(out, sets, path).await
            }
            Err(error) => {
                let error = json!({"type": error.kind, "path": path, "message": error.message});
                self.errors.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                Value::Null
            }
        }
    }

    fn complete<'b>(
        &'b self,
        out: Out,
        sets: Vec<&'b SelectionSet>,
        path: Vec<Value>,
    ) -> BoxFuture<'b, Value> {
        async move {
            match out {
                Out::Leaf(value) => value,
                Out::Object(object) => self.object(&object, sets, path).await,
                Out::List(items) => {
                    let mut answers = Vec::with_capacity(items.len());
                    for (index, item) in items.into_iter().enumerate() {
                        let mut path = path.clone();
                        path.push(json!(index));
                        answers.push(self.complete(item, sets.clone(), path).await);
                    }
                    Value::Array(answers)
                }
            }
        }
        .boxed()
    }
}
