//! The house rules that a compiler does not know: layers, file lengths, names.

mod layers;
mod lengths;
mod security;

use std::path::{Path, PathBuf};

/// The checkout that these tests were built from.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's root")
}

/// Every Rust source below `folder`, in a stable order.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder").flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The source without its unit tests, whose imports and lengths are their own affair.
fn without_tests(text: &str) -> &str {
    // The inner one: a file of nothing else.
    ["#[cfg(test)]", "#![cfg(test)]"]
        .iter()
        .fold(text, |text, mark| text.split(mark).next().unwrap_or(text))
}
