//! adapters.

pub mod github;
