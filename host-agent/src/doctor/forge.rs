//! The App of each forge: its key on disk, and what the forge says to it.

use std::os::unix::fs::PermissionsExt as _;

use super::Check;
use crate::adapters::github::GitHub;
use crate::config::{Config, ForgeConfig};
use crate::credentials::{ForgeError, permissions};

/// Others may do nothing with a key.
const OTHERS: u32 = 0o077;

/// Looks at `forge` of `config`, which is the whole configuration that it stands in.
pub(super) async fn examine(config: Option<&Config>, forge: &ForgeConfig) -> Vec<Check> {
    let mut checks = vec![key(forge)];
    if let Some(config) = config {
        let alone = Config { forges: vec![forge.clone()], ..config.clone() };
        checks.push(app(&alone, forge).await);
    }
    checks
}

/// Whoever can read the key is the App on every installation.
fn key(forge: &ForgeConfig) -> Check {
    const NAME: &str = "app key";
    let path = forge.app.private_key_file.display();
    let mode = match std::fs::metadata(&forge.app.private_key_file) {
        Ok(metadata) => metadata.permissions().mode() & 0o777,
        Err(error) => {
            let hint = "set `private_key_file`, or hand the file to the user of the host agent";
            return Check::fail(NAME, format!("cannot look at {path}: {error}"), hint);
        }
    };
    if mode & OTHERS == 0 {
        Check::ok(NAME, format!("{path} is this user's alone"))
    } else {
        let found =
            format!("{path} has mode {mode:04o}: others than its owner get at the App's key");
        Check::fail(NAME, found, format!("chmod 600 {path}"))
    }
}

async fn app(config: &Config, forge: &ForgeConfig) -> Check {
    const NAME: &str = "app";
    let host = &forge.host;
    let github = match GitHub::load(config) {
        Ok(github) => github,
        Err(error) => {
            let hint = "make a key on the App's page (README.md, step 2)";
            return Check::fail(NAME, format!("{host}: {}", chain(&error)), hint);
        }
    };
    match github.own_app(host).await {
        Ok(own) => {
            let wanted = &config.drone.permissions;
            let held = permissions::lowest(wanted, &own.permissions);
            let missing = wanted.iter().filter(|(name, level)| held.get(*name) != Some(*level));
            let missing: Vec<_> = missing.map(|(name, level)| format!("{name}={level}")).collect();
            if missing.is_empty() {
                return Check::ok(NAME, format!("{host} knows the App {}", own.slug));
            }
            let found = format!(
                "{host} knows the App {}, which lacks {}: drones go without",
                own.slug,
                missing.join(" ")
            );
            let hint = "add them on the App's page under *Permissions*; each owner accepts them";
            Check::warn(NAME, found, hint)
        }
        Err(error) => {
            let hint = match error {
                ForgeError::BadApp { .. } => "compare client id and key with the App's page",
                _ => "see `api_url`, `address`, `ca_file` and the network",
            };
            Check::fail(NAME, error.to_string(), hint)
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;
    use crate::adapters::github::rig::{permissions, rig};
    use crate::config::DroneDefaults;
    use crate::doctor::Verdict;

    #[tokio::test]
    async fn an_app_that_its_forge_knows_is_well() {
        let rig = rig().await;
        let forge = &rig.config.forges[0];
        let mut config = Config::clone(&rig.config);
        let mut drone = DroneDefaults::clone(&config.drone);
        drone.permissions = permissions(&[("contents", "write"), ("issues", "read")]);
        config.drone = drone.clone().into();
        let checks = examine(Some(&config), forge).await;
        let shown: Vec<_> = checks.iter().map(|check| (check.name, check.verdict)).collect();
        assert_eq!(shown, [("app key", Verdict::Ok), ("app", Verdict::Ok)], "{checks:?}");
        drone.permissions.insert("secrets".to_owned(), "write".to_owned());
        config.drone = drone.into();
        let check = app(&config, forge).await;
        assert_eq!(check.verdict, Verdict::Warn);
        assert!(check.message.contains("secrets=write"), "{}", check.message);
    }

    #[tokio::test]
    async fn a_wrong_id_and_a_silent_forge_are_told_apart() {
        let rig = rig().await;
        let mut wrong = rig.config.forges[0].clone();
        wrong.app.issuer = "Iv-nobody".to_owned();
        let config = Config { forges: vec![wrong.clone()], ..Config::clone(&rig.config) };
        let check = app(&config, &wrong).await;
        assert_eq!(check.verdict, Verdict::Fail);
        assert!(check.hint.is_some_and(|hint| hint.contains("client id")), "{}", check.message);
        let mut silent = rig.config.forges[0].clone();
        silent.api_url = "https://forge.test:1".to_owned();
        let config = Config { forges: vec![silent.clone()], ..Config::clone(&rig.config) };
        let check = app(&config, &silent).await;
        assert!(check.hint.is_some_and(|hint| hint.contains("api_url")), "{}", check.message);
    }

    #[tokio::test]
    async fn a_key_that_others_read_is_a_failure() {
        let rig = rig().await;
        let forge = &rig.config.forges[0];
        for (mode, verdict) in [
            (0o600, Verdict::Ok),
            (0o400, Verdict::Ok),
            (0o640, Verdict::Fail),
            (0o604, Verdict::Fail),
        ] {
            let permissions = Permissions::from_mode(mode);
            std::fs::set_permissions(&forge.app.private_key_file, permissions).expect("set");
            assert_eq!(key(forge).verdict, verdict, "{mode:o}");
        }
        let mut nowhere = forge.clone();
        nowhere.app.private_key_file = "/nonexistent/app.pem".into();
        assert_eq!(key(&nowhere).verdict, Verdict::Fail);
    }
}
