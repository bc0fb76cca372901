//! What each fuzz target does with its input, and what must hold whatever that is.
//!
//! libFuzzer drives these from `fuzz_targets`; `host-agent/tests/fuzz.rs` runs them over the corpora.

mod git;
mod names;
mod policy;
mod request;

pub use git::{git_config, git_credential};
pub use names::{cgroup, config, repo_id};
pub use policy::{policy_compose, policy_devcontainer, policy_dockerfile, policy_label};
pub use request::{request, token_query};

/// The input as text; other input is none of a target's.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}
