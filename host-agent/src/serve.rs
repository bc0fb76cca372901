//! The composition root: wires adapters, lifecycle, credentials and the two APIs together.

use crate::config::Config;
use crate::lifecycle::Failure;

/// Runs the host agent until it is told to stop.
///
/// # Errors
/// When something that it cannot run without is missing.
pub async fn run(config: Config) -> Result<(), Failure> {
    let _ = config;
    unimplemented!()
}
