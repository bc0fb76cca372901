//! `${...}` of devcontainer.json: what the host side substitutes before anything is judged.

use std::collections::BTreeMap;

use hatchery_protocol::DroneName;
use sha2::{Digest as _, Sha256};

/// Stands for the checkout's directory in a mount's source. Lexically an ordinary absolute path,
/// so `..` behind it is judged like any other; nothing is ever opened under this name.
pub const CHECKOUT: &str = "/hatchery-checkout";

/// Values for substitution.
#[derive(Debug, Clone)]
pub struct Variables {
    named: BTreeMap<&'static str, String>,
    local_env: BTreeMap<String, String>,
}

impl Variables {
    /// For a drone whose clone is at `clone` and whose workspace folder is `folder`, both in the
    /// container. `${localWorkspaceFolder}` is the clone too: a path of the server means nothing
    /// to what runs in the drone. See [`Variables::for_mounts`].
    pub fn new(
        drone: &DroneName,
        repo: &str,
        clone: &str,
        folder: &str,
        local_env: &BTreeMap<String, String>,
    ) -> Self {
        let base = folder.rsplit('/').next().unwrap_or(folder);
        let named = BTreeMap::from([
            ("localWorkspaceFolder", clone.to_owned()),
            ("localWorkspaceFolderBasename", repo.to_owned()),
            ("containerWorkspaceFolder", folder.to_owned()),
            ("containerWorkspaceFolderBasename", base.to_owned()),
            ("devcontainerId", devcontainer_id(drone)),
        ]);
        Self { named, local_env: local_env.clone() }
    }

    /// The same, with `${localWorkspaceFolder}` as [`CHECKOUT`].
    #[must_use]
    pub fn for_mounts(&self) -> Self {
        let mut variables = self.clone();
        variables.named.insert("localWorkspaceFolder", CHECKOUT.to_owned());
        variables
    }

    /// Substitutes; `${containerEnv:X}` and what is unknown (a shell's own `${X}`) stay. `unset`
    /// hears the name of each variable of the server that has no value here and no default.
    pub fn substitute(&self, text: &str, unset: &mut dyn FnMut(&str)) -> String {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            result.push_str(before);
            let Some((inside, behind)) = after.split_once('}') else {
                result.push_str("${");
                rest = after;
                continue;
            };
            match self.value(inside, unset) {
                Some(value) => result.push_str(&value),
                None => {
                    result.push_str("${");
                    result.push_str(inside);
                    result.push('}');
                }
            }
            rest = behind;
        }
        result.push_str(rest);
        result
    }

    /// Whether `text` says the same when what came of it is substituted again, as the reference CLI
    /// does with the text that is staged: a default can be half of another variable.
    pub fn is_stable(&self, text: &str) -> bool {
        let once = self.substitute(text, &mut |_| {});
        self.substitute(&once, &mut |_| {}) == once
    }

    fn value(&self, inside: &str, unset: &mut dyn FnMut(&str)) -> Option<String> {
        let (kind, argument) = match inside.split_once(':') {
            Some((kind, argument)) => (kind, Some(argument)),
            None => (inside, None),
        };
        if let ("env" | "localEnv", Some(argument)) = (kind, argument) {
            let (name, default) = match argument.split_once(':') {
                Some((name, default)) => (name, Some(default)),
                None => (argument, None),
            };
            let value = self.local_env.get(name).map(String::as_str).or(default);
            if value.is_none() {
                unset(name);
            }
            return Some(value.unwrap_or_default().to_owned());
        }
        self.named.get(kind).cloned()
    }
}

/// The specification's `devcontainerId`: SHA-256 of the id labels as JSON, sorted by name, in base
/// 32 with the digits `0`-`9a`-`v`, 52 of them. Our one id label is `hatchery.drone`.
pub fn devcontainer_id(drone: &DroneName) -> String {
    let labels = serde_json::json!({ "hatchery.drone": drone.as_str() }).to_string();
    let hash = Sha256::digest(labels.as_bytes());
    // 256 bits are 51 digits and one bit: read from the end, five bits a digit.
    let mut digits = Vec::with_capacity(52);
    let (mut pending, mut bits) = (0_u32, 0_u32);
    for byte in hash.iter().rev() {
        pending |= u32::from(*byte) << bits;
        bits += 8;
        while bits >= 5 {
            digits.push(pending & 31);
            pending >>= 5;
            bits -= 5;
        }
    }
    digits.push(pending);
    digits.iter().rev().filter_map(|digit| char::from_digit(*digit, 32)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variables() -> Variables {
        let env = BTreeMap::from([("TZ".to_owned(), "UTC".to_owned())]);
        let drone = "acme-web".parse().expect("a name");
        Variables::new(&drone, "web", "/workspaces/web", "/workspaces/web/app", &env)
    }

    #[test]
    fn each_variable_has_its_value() {
        let table = [
            ("${localWorkspaceFolder}/x", "/workspaces/web/x"),
            ("${localWorkspaceFolderBasename}", "web"),
            ("${containerWorkspaceFolder}", "/workspaces/web/app"),
            ("${containerWorkspaceFolderBasename}", "app"),
            ("${localEnv:TZ}", "UTC"),
            ("${env:TZ:none}", "UTC"),
            ("${localEnv:HOME}/.ssh", "/.ssh"),
            ("${localEnv:HOME:/root}", "/root"),
            ("${localEnv:URL:http://x/y}", "http://x/y"),
            ("${containerEnv:PATH}:/x", "${containerEnv:PATH}:/x"),
            ("${HOME} $X ${", "${HOME} $X ${"),
        ];
        for (text, expected) in table {
            assert_eq!(variables().substitute(text, &mut |_| {}), expected, "{text}");
        }
        let mount = variables().for_mounts();
        assert_eq!(
            mount.substitute("${localWorkspaceFolder}/..", &mut |_| {}),
            "/hatchery-checkout/.."
        );
    }

    #[test]
    fn a_variable_does_not_make_another() {
        for text in ["${localEnv:X:$}{localEnv:HOME}", "${localEnv:A:${localEnv:B}}"] {
            assert!(!variables().is_stable(text), "{text}");
        }
        for text in ["${localEnv:X:$}{HOME}", "${containerEnv:PATH}:${localEnv:X:y}", "$${x}"] {
            assert!(variables().is_stable(text), "{text}");
        }
    }

    #[test]
    fn a_variable_of_the_server_without_a_value_is_reported() {
        let mut unset = vec![];
        variables().substitute("${localEnv:SECRET} ${localEnv:OTHER:x}", &mut |name| {
            unset.push(name.to_owned());
        });
        assert_eq!(unset, ["SECRET"]);
    }

    #[test]
    fn the_id_is_what_the_reference_cli_computes() {
        // node -e 'BigInt("0x"+sha256(JSON.stringify({"hatchery.drone":"acme-web"}))).toString(32).padStart(52,"0")'
        let id = devcontainer_id(&"acme-web".parse().expect("a name"));
        assert_eq!(id, "110g7csuitdp0lft384vqremcljuaau3ed0nfpc5k0k9p2gsnliv");
    }

    proptest! {
        #[test]
        fn substitution_never_panics(text in "[${}:a-z/é]{0,40}") {
            variables().substitute(&text, &mut |_| {});
        }
    }
}
