//! GraphQL.

use std::sync::Arc;

use crate::{
    forge::Forge,
    reply::{Answer, Refusal},
    request::Request,
};

/// Answers a GraphQL call.
///
/// # Errors
/// 401 without credentials.
pub async fn answer(_forge: &Arc<Forge>, request: &Request) -> Answer {
    request.caller.token()?;
    Err(Refusal::not_found())
}
