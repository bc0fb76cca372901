//! Who may import whom (ARCHITECTURE.md, "Layers").

use super::{root, sources, without_tests};

/// Module of `host-agent` -> modules of `host-agent` that it may name.
const ALLOWED: &[(&str, &[&str])] = &[
    ("secret", &[]),
    ("records", &[]),
    ("config", &[]),
    ("policy", &["config", "lifecycle::failure", "lifecycle::Failure", "lifecycle::{Failure"]),
    ("credentials", &["config", "records", "secret"]),
    ("drone_api", &["config", "credentials", "records", "secret"]),
    ("lifecycle", &["config", "credentials", "policy", "records", "secret"]),
    ("control", &["config", "credentials", "lifecycle", "records"]),
    ("adapters", &["config", "credentials", "lifecycle", "policy", "records", "secret"]),
    (
        "cli",
        &[
            "cli",
            "config",
            "control",
            "doctor",
            "lifecycle",
            "policy",
            "policy_check",
            "records",
            "serve",
        ],
    ),
    ("policy_check", &["adapters", "config", "lifecycle", "policy"]),
    ("doctor", &["adapters", "config", "control", "credentials", "lifecycle"]),
    (
        "serve",
        &["adapters", "config", "control", "credentials", "drone_api", "lifecycle", "records"],
    ),
];

/// Where the adapters' own words must not show.
const FOREIGN: &[(&str, &str)] = &[
    ("lifecycle", "bollard"),
    ("credentials", "bollard"),
    ("policy", "bollard"),
    ("policy", "tokio"),
    ("lifecycle", "http::"),
    ("credentials", "http::"),
    ("drone-agent/src", "tokio"),
];

#[test]
fn imports_go_one_way_only() {
    let mut wrong = Vec::new();
    for path in sources("host-agent/src") {
        let relative = path.strip_prefix(root().join("host-agent/src")).expect("below").to_owned();
        let module = relative.components().next().expect("a name").as_os_str().to_string_lossy();
        let module = module.trim_end_matches(".rs").to_owned();
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == module) else {
            continue; // lib.rs and main.rs
        };
        let text = std::fs::read_to_string(&path).expect("a source");
        for (number, line) in without_tests(&text).lines().enumerate() {
            for named in named_modules(line) {
                let fine = named == module
                    || allowed.iter().any(|path| line.contains(&format!("crate::{path}")));
                if !fine {
                    wrong.push(format!("{}:{}: {}", relative.display(), number + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the layers:\n{}", wrong.join("\n"));
}

/// The top-level modules that a line names as `crate::module`.
fn named_modules(line: &str) -> Vec<String> {
    if line.trim_start().starts_with("//") {
        return vec![];
    }
    line.split("crate::")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .filter(|name: &String| ALLOWED.iter().any(|(module, _)| module == name))
        .collect()
}

#[test]
fn adapters_words_stay_in_adapters() {
    let mut wrong = Vec::new();
    for (folder, word) in FOREIGN {
        let folder = match *folder {
            path if path.contains('/') => path.to_owned(),
            module => format!("host-agent/src/{module}"),
        };
        for path in sources(&folder) {
            let text = std::fs::read_to_string(&path).expect("a source");
            for (number, line) in without_tests(&text).lines().enumerate() {
                let code = line.trim_start();
                if code.starts_with("use ") && code.contains(word) && names(code, word) {
                    wrong.push(format!("{}:{}: {code}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "words of another layer:\n{}", wrong.join("\n"));
}

/// Whether a `use` line takes from the crate `word` itself.
fn names(line: &str, word: &str) -> bool {
    let crate_name = word.trim_end_matches("::");
    line.trim_start_matches("pub ").starts_with(&format!("use {crate_name}::"))
}

#[test]
fn the_stand_in_for_github_shares_nothing_with_us() {
    let manifest =
        std::fs::read_to_string(root().join("host-agent/forge/Cargo.toml")).expect("the manifest");
    for ours in ["hatchery-protocol", "host-agent", "drone-agent"] {
        assert!(!manifest.contains(ours), "local-forge must not depend on {ours}");
    }
}
