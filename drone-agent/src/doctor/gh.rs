//! Whether `gh` is the wrapper, and has a real one behind it.

use std::env;
use std::path::PathBuf;

use crate::gh::program;

use super::Finding;

pub(super) fn examine() -> Vec<Finding> {
    let path = env::var_os("PATH").unwrap_or_default();
    let own = program::own_file();
    judge(program::find(&path, None), program::find(&path, own), own)
}

/// Judges the `first` gh in PATH and the `real` one.
fn judge(first: Option<PathBuf>, real: Option<PathBuf>, own: Option<(u64, u64)>) -> Vec<Finding> {
    let Some(real) = real else {
        return vec![Finding::odd(
            "there is no GitHub CLI in PATH",
            "add it to the image if it is wanted, for example with the feature github-cli",
        )];
    };
    match first {
        Some(first) if program::file_id(&first) == own => {
            vec![Finding::fine(format!("gh is the wrapper, in front of {}", real.display()))]
        }
        _ => vec![Finding::wrong(
            format!("{} comes before the wrapper in PATH and gets no token", real.display()),
            format!("put {} first in PATH", hatchery_protocol::paths::WRAPPERS_DIR),
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::super::Gravity;
    use super::*;

    #[test]
    fn the_order_in_path_is_judged() {
        let dir = tempfile::tempdir().expect("a directory");
        let (wrapper, real) = (dir.path().join("wrapper"), dir.path().join("gh"));
        for file in [&wrapper, &real] {
            std::fs::write(file, "").expect("written");
        }
        let own = program::file_id(&wrapper);
        let gravity =
            |first: &PathBuf| judge(Some(first.clone()), Some(real.clone()), own)[0].gravity;
        assert_eq!(gravity(&wrapper), Gravity::Fine);
        assert_eq!(gravity(&real), Gravity::Wrong);
        assert_eq!(judge(Some(wrapper), None, own)[0].gravity, Gravity::Odd);
    }
}
