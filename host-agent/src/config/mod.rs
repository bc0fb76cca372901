//! Configuration: TOML, raw -> valid, every error reported at once with file, line, key and what
//! is expected there.
//!
//! [`raw`] hands out what the file says, key by key; [`tables`] makes the checked structs of
//! [`valid`] from it; [`values`] parses the texts in it; [`paths`] says where things lie.

pub mod env;
mod forge_table;
mod load;
mod paths;
mod raw;
mod secret_file;
mod tables;
mod valid;
mod values;

pub use load::{ConfigError, load};
pub use paths::Locations;
pub use raw::Problem;
pub use tables::DEFAULT_PERMISSIONS;
pub use valid::*;
pub use values::{format_size, parse_size};
