//! What a `devcontainer.json`, and all that it names, may ask of the host.
//!
//! The repository comes from whoever can push to it. Each thing that it asks for is allowed (what
//! is confined to the drone), stripped with a notice (what is needless here), or refused with
//! file, line, reason and the `[[policy]]` key that would permit it. Options and keys of Compose that
//! are not known are refused; unknown keys of devcontainer.json are left out of what is staged.
//!
//! Pure: no network, no processes, never async, nothing of Docker's. It reads only the staged copy
//! of the checkout, through one careful reader (`checkout`). Call it off the async runtime's workers.
//!
//! In the order of a spawn:
//! 1. [`check_text`]: pass (a), over the text alone. Its [`Plan`] says what to stage and build.
//! 2. [`check_feature`] and [`check_requests`]: pass (b), over what registries say of features;
//!    [`Plan::pin`] names what was judged by its digest.
//! 3. [`check_metadata`]: pass (c), over the built image's `devcontainer.metadata` label. Its
//!    [`Effective`] is the label of the final image and all that create needs.
//! 4. [`deviations`]: the created container against what was allowed.
//!
//! Passes end in [`Review::accept`], which gives the outcome and notices, or the failure.

mod build;
mod check;
mod checkout;
mod compose;
mod dockerfile;
mod feature;
mod finding;
mod inspect;
mod jsonc;
mod keys;
mod ledger;
mod locate;
mod metadata;
mod mount;
mod node;
mod plan;
mod privilege;
mod published;
mod quantity;
mod reference;
mod report;
mod run_args;
mod run_options;
mod scope;
mod text;
mod variables;
mod workspace;
mod yaml;

#[cfg(test)]
mod tests;

pub use check::{Examined, check_text, examine, find_configuration};
pub use finding::{Accepted, Finding, Permit, Review, Verdict, refusals_as_failure};
pub use inspect::{Allowed, Observed, ObservedMount, deviations};
pub use ledger::Place;
pub use metadata::{Effective, Hooks, check_metadata};
pub use plan::{
    Compose, FeatureUse, Form, Mount, PinnedImage, Pins, Plan, Reference, RunSettings, Service,
    StagedFile, Ulimit, Workspace,
};
pub use published::{check_feature, check_requests};
pub use reference::{digest_of, is_named, without_version};
pub use report::Report;
pub use scope::{LOCAL_ENV, Scope, local_env};
pub use variables::devcontainer_id;
