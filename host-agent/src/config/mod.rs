//! Configuration: TOML, raw -> valid, every error reported at once with file, line, key and what
//! is expected there.
//!
//! [`raw`] hands out what the file says, key by key; [`tables`] makes the checked structs of
//! [`valid`] from it; [`values`] parses the texts in it; [`paths`] says where things lie; [`pattern`]
//! says which repositories a rule is for; [`reload`] takes over a file that was read again.

pub mod env;
mod forge_table;
mod live;
mod load;
mod paths;
mod pattern;
mod raw;
mod reload;
mod secret_file;
mod tables;
mod valid;
mod values;

pub use live::Live;
pub(crate) use load::parse;
pub use load::{ConfigError, load};
pub use paths::Locations;
pub use pattern::matches_repository;
pub use raw::Problem;
pub use reload::Changes;
pub use tables::{DEFAULT_PERMISSIONS, DEFAULT_REGISTRIES, usual_programs};
pub use valid::*;
pub use values::{format_duration, format_size, parse_duration, parse_size};
