//! Configuration: TOML, raw -> valid, every error reported at once with file, line, key and what
//! is expected there.

mod valid;

pub use valid::*;
