//! Attacks, each by what it must not achieve.

mod attempts;
mod host_git;
mod policy;
mod policy_corpus;
mod socket;
mod token_hunt;
