//! Which devcontainer.json counts.

use std::path::Path;

use rustix::fs::FileType;

use super::checkout::{Checkout, Kind, ReadError, resolve};
use crate::lifecycle::{Failure, FailureKind};

const FOLDER: &str = ".devcontainer";
const NAME: &str = "devcontainer.json";

/// Opens the staged checkout.
///
/// # Errors
/// `Failed` when it is not there: the caller's own fault.
pub fn open_checkout(root: &Path) -> Result<Checkout, Failure> {
    Checkout::open(root).map_err(|error| {
        Failure::new(FailureKind::Failed, format!("cannot open the checkout at {}", root.display()))
            .caused_by(&error)
    })
}

/// Why no configuration was chosen.
#[derive(Debug)]
pub enum NotLocated {
    /// This path leads out of the repository.
    Leaves(String),
    /// Several compete, the chosen one is missing, or it cannot be looked at.
    Usage(Failure),
}

impl From<NotLocated> for Failure {
    fn from(reason: NotLocated) -> Self {
        match reason {
            NotLocated::Leaves(path) => {
                Self::new(FailureKind::Refused, format!("{path:?} leads out of the repository"))
            }
            NotLocated::Usage(failure) => failure,
        }
    }
}

/// Finds the configuration, relative to the checkout; `None`: the repository has none.
///
/// # Errors
/// When several compete, the chosen one is missing, or one leads outside.
pub fn locate(checkout: &Checkout, chosen: Option<&str>) -> Result<Option<String>, NotLocated> {
    if let Some(chosen) = chosen {
        return locate_chosen(checkout, chosen).map(Some);
    }
    let mut found = vec![];
    for path in [format!("{FOLDER}/{NAME}"), format!(".{NAME}")] {
        if is_there(checkout, &path)? {
            found.push(path);
        }
    }
    // The specification takes the first of these two; only folders compete.
    found.truncate(1);
    if found.is_empty() {
        for folder in folders(checkout)? {
            let path = format!("{FOLDER}/{folder}/{NAME}");
            if is_there(checkout, &path)? {
                found.push(path);
            }
        }
    }
    match found.len() {
        0 | 1 => Ok(found.pop()),
        _ => Err(NotLocated::Usage(
            Failure::new(
                FailureKind::Usage,
                "the repository has several devcontainer configurations",
            )
            .details(found)
            .hint("choose one: --devcontainer <path>"),
        )),
    }
}

fn locate_chosen(checkout: &Checkout, chosen: &str) -> Result<String, NotLocated> {
    let path = resolve("", chosen).ok_or_else(|| NotLocated::Leaves(chosen.to_owned()))?;
    // A file, or a folder by its path or by its name below `.devcontainer`.
    let folders = [format!("{path}/{NAME}"), format!("{FOLDER}/{path}/{NAME}")];
    for candidate in std::iter::once(path).chain(folders) {
        if is_there(checkout, &candidate)? {
            return Ok(candidate);
        }
    }
    let message = format!("the repository has no devcontainer configuration {chosen:?}");
    Err(NotLocated::Usage(Failure::new(FailureKind::Usage, message).hint(
        "name the file relative to the repository's root, as .devcontainer/api/devcontainer.json",
    )))
}

fn folders(checkout: &Checkout) -> Result<Vec<String>, NotLocated> {
    match checkout.entries(FOLDER) {
        Ok(entries) => Ok(entries
            .into_iter()
            .filter(|(_, kind)| matches!(kind, FileType::Directory | FileType::Symlink))
            .map(|(name, _)| name)
            .collect()),
        Err(ReadError::Missing(_)) => Ok(vec![]),
        Err(error) => Err(not_located(error)),
    }
}

fn is_there(checkout: &Checkout, path: &str) -> Result<bool, NotLocated> {
    match checkout.kind(path) {
        Ok(Kind::File) => Ok(true),
        Ok(Kind::Directory) | Err(ReadError::Missing(_)) => Ok(false),
        Err(error) => Err(not_located(error)),
    }
}

fn not_located(error: ReadError) -> NotLocated {
    match error {
        ReadError::Leaves(path) => NotLocated::Leaves(path),
        ReadError::Missing(_) | ReadError::Unfit { .. } => {
            NotLocated::Usage(Failure::new(FailureKind::Usage, error.to_string()))
        }
    }
}
