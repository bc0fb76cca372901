//! The binary as git, gh's callers and the container's start call it: real git, a real socket with
//! a small host agent behind it, and a script in the place of gh that shows what it was given.

mod boot;
mod credential;
mod gh;
mod hook;
mod host;
mod lookup;
