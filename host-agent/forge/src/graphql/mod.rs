//! GraphQL: a query is parsed, checked against the schema, and its selected fields are resolved
//! over the same state that REST serves.

mod commit;
mod execute;
mod ids;
mod issue;
mod mutation;
mod object;
mod pull;
mod query;
mod repository;
mod schema;
mod search;
mod validate;

use std::sync::Arc;

use async_graphql_parser::{
    parse_query,
    types::{ExecutableDocument, OperationDefinition, OperationType},
};
use serde_json::{Value, json};

use crate::{
    forge::Forge,
    model::{Repository, State},
    permissions::Level,
    reply::{self, Answer, Refusal},
    request::Request,
};
use object::{Args, FieldError, Object, Out, Source};

/// What every resolver works with.
struct Context<'a> {
    forge: &'a Forge,
    request: &'a Request,
}

impl Context<'_> {
    /// Looks at a repository if the caller holds `permission` for it.
    fn with_repo<T>(
        &self,
        id: u64,
        (permission, level): (&str, Level),
        look: impl FnOnce(&State, &Repository) -> T,
    ) -> Result<T, FieldError> {
        let found = self.forge.with_repo(id, |state, repo| {
            self.request.caller.may(state, repo, permission, level)?;
            Ok(look(state, repo))
        });
        Ok(found.and_then(|result| result)?)
    }

    /// Whether the caller may know of a repository.
    fn sees(&self, state: &State, repo: &Repository) -> bool {
        self.request.caller.may(state, repo, "metadata", Level::Read).is_ok()
    }

    /// Resolves one field of an object.
    async fn resolve(&self, object: &Object, field: &str, args: &Args) -> Result<Out, FieldError> {
        match &object.source {
            Source::Query => query::root(self, field, args).await,
            Source::Mutation => mutation::root(self, field, args).await,
            Source::Account(id) => query::account(self, *id, field),
            Source::Repository(id) => repository::resolve(self, *id, field, args).await,
            Source::Pull(repo, number) => pull::resolve(self, (*repo, *number), field, args).await,
            Source::Issue(repo, number) => issue::resolve(self, (*repo, *number), field, args),
            Source::Commit(repo, sha) => commit::resolve(self, (*repo, sha), field, args).await,
            Source::Type(name) => Ok(query::introspect(name, field)),
            Source::Fields(fields) => Ok(Out::or_null(fields.get(field).cloned())),
        }
    }
}

/// Answers a GraphQL call.
///
/// # Errors
/// 401 without an installation token, 400 for a body that is no query.
pub async fn answer(forge: &Arc<Forge>, request: &Request) -> Answer {
    if request.caller.token()?.is_none() {
        return Err(Refusal::new(
            http::StatusCode::UNAUTHORIZED,
            "This endpoint requires you to be authenticated.",
        ));
    }
    let body = request.json()?;
    let text = body["query"].as_str().ok_or_else(|| {
        Refusal::new(http::StatusCode::BAD_REQUEST, "A query attribute must be specified")
    })?;
    let document = match parse_query(text) {
        Ok(document) => document,
        Err(error) => return reply::ok(&refused(vec![json!({"message": error.to_string()})])),
    };
    let Some(operation) = operation(&document, body["operationName"].as_str()) else {
        return reply::ok(&refused(vec![json!({"message": "No operation with that name"})]));
    };
    let mut errors = validate::check(&document, operation);
    let variables = match validate::variables(operation, &body["variables"]) {
        Ok(variables) => variables,
        Err(wrong) => {
            errors.extend(wrong);
            Args::new()
        }
    };
    if !errors.is_empty() {
        return reply::ok(&refused(errors));
    }
    let context = Context { forge, request };
    reply::ok(&execute::run(&context, &document, operation, variables).await)
}

fn refused(errors: Vec<Value>) -> Value {
    json!({"errors": errors})
}

fn operation<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Option<&'a OperationDefinition> {
    let mut operations = document.operations.iter();
    let wanted = name.filter(|name| !name.is_empty());
    operations
        .find(|(known, _)| match (wanted, known) {
            (Some(wanted), Some(known)) => *known == wanted,
            (Some(_) | None, None) | (None, Some(_)) => true,
        })
        .map(|(_, operation)| &operation.node)
}

/// Root object of an operation; this forge knows no subscriptions.
fn root(operation: &OperationDefinition) -> Option<Object> {
    match operation.ty {
        OperationType::Query => Some(Object { type_name: "Query", source: Source::Query }),
        OperationType::Mutation => Some(Object { type_name: "Mutation", source: Source::Mutation }),
        OperationType::Subscription => None,
    }
}
