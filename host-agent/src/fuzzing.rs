//! What `tests/fuzz` reaches and nobody else: parsers of outside text that are private otherwise.

use std::path::Path;

pub use crate::credentials::cgroup::{CgroupError, container_id};
pub use crate::credentials::grants::{Scope, scope};
pub use crate::drone_api::prompt::plain_get;
pub use crate::drone_api::query::{QueryError, TokenQuery};
pub use crate::drone_api::thorough::reading;

use crate::config::{self, Config, ConfigError, Locations};

/// Parses the text of a configuration file as root would, in an empty environment.
///
/// # Errors
/// With everything that is wrong in it.
pub fn parse_config(text: &str) -> Result<Config, ConfigError> {
    let locations = Locations { root: true, variable: &|_| None, executable: None };
    config::parse(text, Path::new("/etc/hatchery/config.toml"), &locations)
}
