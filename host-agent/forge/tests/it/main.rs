//! The forge from outside: over TLS on loopback, by a plain HTTP client, the real git and the real
//! gh.

mod app_tokens;
mod faults;
mod git;
mod support;
