//! Pass (a): the text alone. Finds the configuration and gives each of its keys a verdict.

use std::path::Path;

use super::finding::Review;
use super::plan::Plan;
use super::scope::Scope;
use crate::lifecycle::Failure;

/// Finds the configuration in the checkout at `root`: `.devcontainer/devcontainer.json`,
/// `.devcontainer.json`, then `.devcontainer/<folder>/devcontainer.json`; or the one `chosen`
/// (`--devcontainer`). `None`: the repository has none.
///
/// # Errors
/// `Usage` when several compete or the chosen one is missing, `Refused` when it lies outside.
pub fn find_configuration(root: &Path, chosen: Option<&str>) -> Result<Option<String>, Failure> {
    let _ = (root, chosen);
    unimplemented!()
}

/// Reads the configuration and everything it names in the checkout at `root`, and plans what is
/// left of it. `is_local` says whether an image reference exists on the engine: those are always
/// allowed.
///
/// # Errors
/// `Usage` when the configuration is missing, ambiguous, broken or names no image; `Refused` comes
/// from [`Review::accept`].
pub fn check_text(
    root: &Path,
    chosen: Option<&str>,
    scope: &Scope<'_>,
    is_local: &dyn Fn(&str) -> bool,
) -> Result<Review<Plan>, Failure> {
    let _ = (root, chosen, scope, is_local);
    unimplemented!()
}
