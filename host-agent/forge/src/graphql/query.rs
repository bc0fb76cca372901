//! The root of queries, accounts, and introspection.

use serde_json::{Value, json};

use super::{
    Context,
    ids::NodeId,
    object::{Args, FieldError, Out, Source},
    repository,
    schema::Schema,
    search,
};
use crate::{
    clock::json_time,
    model::{Account, AccountKind},
    permissions::Level,
};

/// Resolves a field of `Query`.
pub async fn root(context: &Context<'_>, field: &str, args: &Args) -> Result<Out, FieldError> {
    let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default();
    match field {
        "repository" => repository::find(context, text("owner"), text("name")).await,
        "viewer" => Ok(Out::or_null(
            // The schema says that a viewer is a user; the App's is its bot all the same.
            context
                .forge
                .store
                .read(|state| state.bot().map(|bot| Out::object("User", Source::Account(bot.id)))),
        )),
        "user" => by_login(context, text("login"), Some(AccountKind::User), "a User"),
        "organization" => {
            let kind = Some(AccountKind::Organization);
            by_login(context, text("login"), kind, "an Organization")
        }
        "repositoryOwner" => by_login(context, text("login"), None, "a RepositoryOwner"),
        "search" => search::resolve(context, args).await,
        "node" => node(context, text("id")).await,
        "rateLimit" => Ok(rate_limit(context)),
        "__type" => {
            let name = text("name");
            let known = Schema::of_github().knows(name);
            let found = known.then(|| Out::object("__Type", Source::Type(name.to_owned())));
            Ok(Out::or_null(found))
        }
        _ => Ok(Out::null()),
    }
}

fn rate_limit(context: &Context<'_>) -> Out {
    let reset = context.forge.clock.now() + time::Duration::HOUR;
    Out::fields(
        "RateLimit",
        [
            ("cost", Out::leaf(1)),
            ("limit", Out::leaf(5000)),
            ("remaining", Out::leaf(4999)),
            ("used", Out::leaf(1)),
            ("resetAt", Out::leaf(json_time(reset))),
        ],
    )
}

/// The object of an account, of the type that its kind has.
pub fn object(account: &Account) -> Out {
    Out::object(account.kind.as_str(), Source::Account(account.id))
}

fn by_login(
    context: &Context<'_>,
    login: &str,
    kind: Option<AccountKind>,
    what: &str,
) -> Result<Out, FieldError> {
    let found = context.forge.store.read(|state| {
        let account = state.account(login)?;
        let fits = kind.is_none_or(|kind| account.kind == kind) && account.kind != AccountKind::Bot;
        fits.then(|| object(account))
    });
    found.ok_or_else(|| {
        FieldError::not_found(format!("Could not resolve to {what} with the login of '{login}'."))
    })
}

async fn node(context: &Context<'_>, id: &str) -> Result<Out, FieldError> {
    let missing = || {
        FieldError::not_found(format!("Could not resolve to a node with the global id of '{id}'"))
    };
    match NodeId::parse(id).ok_or_else(missing)? {
        NodeId::Repository(repo) => {
            context.with_repo(repo, ("metadata", Level::Read), |_, _| ())?;
            Ok(Out::object("Repository", Source::Repository(repo)))
        }
        NodeId::Pull(repo, number) => repository::pull(context, repo, number).await,
        NodeId::Issue(repo, number) => repository::issue(context, repo, number),
        NodeId::Account(id) => context
            .forge
            .store
            .read(|state| state.accounts.get(&id).map(object))
            .ok_or_else(missing),
        NodeId::Label(..) => Err(missing()),
    }
}

/// Resolves a field of an account.
pub fn account(context: &Context<'_>, id: u64, field: &str) -> Result<Out, FieldError> {
    let found = context.forge.store.read(|state| state.accounts.get(&id).cloned());
    let account = found.ok_or_else(|| FieldError::not_found("The account is gone"))?;
    let page = |suffix: &str| context.request.html_url(&format!("/{}{suffix}", account.login));
    Ok(match field {
        "id" => Out::leaf(NodeId::Account(id).encode()),
        "login" => Out::leaf(account.login),
        "databaseId" => Out::leaf(id),
        "url" => Out::leaf(page("")),
        "avatarUrl" => Out::leaf(page(".png")),
        "name" => Out::leaf(account.login),
        "email" => Out::leaf(""),
        _ => Out::null(),
    })
}

/// Resolves a field of a type of the schema.
pub fn introspect(name: &str, field: &str) -> Out {
    let schema = Schema::of_github();
    let named = |names: Vec<&str>| {
        let items = names.into_iter();
        Out::List(items.map(|name| Out::fields("__Field", [("name", Out::leaf(name))])).collect())
    };
    match field {
        "name" => Out::leaf(name),
        "kind" => Out::leaf(schema.kind(name)),
        "fields" if schema.kind(name) == "OBJECT" || schema.kind(name) == "INTERFACE" => {
            named(schema.fields(name).map(|field| field.name.node.as_str()).collect())
        }
        "inputFields" if schema.kind(name) == "INPUT_OBJECT" => {
            named(schema.input_fields(name).map(|field| field.name.node.as_str()).collect())
        }
        "enumValues" if schema.kind(name) == "ENUM" => named(schema.enum_values(name)),
        _ => Out::Leaf(json!(null)),
    }
}
