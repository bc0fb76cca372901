//! The forge from outside: over TLS on loopback, by a plain HTTP client, the real git and the real
//! gh.

#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

mod app_tokens;
mod faults;
mod gh;
mod git;
mod rest;
mod support;
