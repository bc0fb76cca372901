//! x
use crate::report::Failure;
use std::ffi::OsString;
use std::process::ExitCode;
/// # Errors
pub fn run(_: Vec<OsString>) -> Result<ExitCode, Failure> {
    Ok(ExitCode::SUCCESS)
}
