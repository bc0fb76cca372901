//! The fuzz targets on any toolchain: over their corpora, and over what becomes of those when bytes
//! are cut, doubled and swapped, the same in every run. `scripts/fuzz` searches on with libFuzzer.

#[path = "../../tests/fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Bytes that parsers tell apart.
const TELLING: &[u8] = b"\"'{}[]:,$#\\\n =-./@<>%&?0a";

/// Changed inputs tried of each target, at least; every file of its corpus gets as many.
const CHANGES: usize = 1000;

fn folder(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests").join(below)
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = entry.path();
        if entry.file_type().expect("a kind").is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The inputs of a target: its corpus, and for the policy the checked-in configurations too.
fn inputs(name: &str) -> Vec<Vec<u8>> {
    let mut paths = vec![];
    files(&folder("fuzz/corpus").join(name), &mut paths);
    assert!(paths.len() >= 3, "{name} has a corpus of {}", paths.len());
    let ending = match name {
        "policy_devcontainer" => "devcontainer.json",
        "policy_compose" => ".yaml",
        "policy_dockerfile" => "Dockerfile",
        _ => "",
    };
    if !ending.is_empty() {
        let mut fixtures = vec![];
        files(&folder("fixtures/policy"), &mut fixtures);
        fixtures.retain(|path| path.to_string_lossy().ends_with(ending));
        paths.extend(fixtures);
    }
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

/// A number that looks random and is the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or_default() % limit.max(1)
    }
}

/// One change: a byte, a piece cut out, or a piece of another input put in.
fn changed(input: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let (from, length) = (dice.below(bytes.len() + 1), dice.below(24));
    let to = (from + length).min(bytes.len());
    match dice.below(3) {
        0 => {
            if let Some(byte) = bytes.get_mut(from) {
                *byte = TELLING[dice.below(TELLING.len())];
            }
        }
        1 => drop(bytes.drain(from..to)),
        _ => {
            let start = dice.below(other.len());
            let end = (start + dice.below(64)).min(other.len());
            bytes.splice(from..to, other[start..end].iter().copied());
        }
    }
    bytes
}

fn hold(name: &str, target: fn(&[u8])) {
    let inputs = inputs(name);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for input in &inputs {
        target(input);
        let mut bytes = input.clone();
        for _ in 0..CHANGES.div_ceil(inputs.len()) {
            let other = &inputs[dice.below(inputs.len())];
            bytes = changed(&bytes, other, &mut dice);
            target(&bytes);
            if dice.below(8) == 0 {
                bytes.clone_from(input);
            }
        }
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        const TARGETS: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            hold(stringify!($name), targets::$name);
        })*
    };
}

targets!(cgroup config git_config git_credential policy_compose policy_devcontainer
    policy_dockerfile policy_label repo_id request token_query);

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let named = |folder: PathBuf| -> BTreeSet<String> {
        let paths = std::fs::read_dir(folder).expect("a folder").flatten().map(|one| one.path());
        paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
    };
    let expected = TARGETS.iter().map(ToString::to_string).collect();
    assert_eq!(named(folder("fuzz/corpus")), expected);
    assert_eq!(named(folder("fuzz/fuzz_targets")), expected);
}
