//! Attacks, each by what it must not achieve.

mod attempts;
mod handed_on;
mod host_git;
mod policy;
mod policy_corpus;
mod socket;
mod token_hunt;
