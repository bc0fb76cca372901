//! Attacks, each by what it must not achieve.

mod handed_on;
mod host_git;
mod policy;
mod socket;
mod token_hunt;
