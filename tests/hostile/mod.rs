//! Attacks, each by what it must not achieve.

mod attempts;
mod floods;
mod handed_on;
mod host_git;
mod hygiene;
mod policy;
mod policy_corpus;
mod policy_dry_run;
mod socket;
mod token_hunt;
