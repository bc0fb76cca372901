//! Short files, one concern each: median 120 lines, p90 300, none over 500 (tests not counted).

use super::{root, sources, without_tests};

/// Longest file, in lines without its unit tests.
const LONGEST: usize = 500;

#[test]
fn files_are_short() {
    for package in ["host-agent/src", "host-agent/forge/src", "drone-agent", "tests"] {
        let mut lengths: Vec<(usize, String)> = sources(package)
            .into_iter()
            .map(|path| {
                let text = std::fs::read_to_string(&path).expect("a source");
                let shown =
                    path.strip_prefix(root()).expect("below the root").display().to_string();
                (without_tests(&text).lines().count(), shown)
            })
            .collect();
        lengths.sort();
        let long: Vec<_> = lengths.iter().filter(|(lines, _)| *lines > LONGEST).collect();
        assert!(long.is_empty(), "files over {LONGEST} lines: {long:?}");
        let at = |share: usize| lengths.get(lengths.len() * share / 100).map_or(0, |(n, _)| *n);
        assert!(at(50) <= 200, "{package}: the median file has {} lines", at(50));
        assert!(at(90) <= 350, "{package}: the 90th percentile is {} lines", at(90));
    }
}

#[test]
fn nothing_is_called_utils() {
    for package in ["host-agent", "drone-agent", "tests"] {
        for path in sources(package) {
            let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
            let vague = ["utils", "util", "common", "helpers", "misc", "manager"];
            assert!(
                name.as_deref().is_none_or(|name| !vague.contains(&name)),
                "{} says nothing about what is in it",
                path.display()
            );
        }
    }
}
