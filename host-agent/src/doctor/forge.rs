//! The App of each forge: its key on disk, and what the forge says to it.

use std::os::unix::fs::PermissionsExt as _;

use hatchery_protocol::ForgeHost;
use hatchery_protocol::wire::Permissions;

use super::Check;
use crate::adapters::github::{GitHub, OwnApp};
use crate::config::{Config, ForgeConfig};
use crate::credentials::{ForgeError, permissions};

/// Others may do nothing with a key.
const OTHERS: u32 = 0o077;

/// Looks at `forge` of `config`, which is the whole configuration that it stands in.
pub(super) async fn examine(config: Option<&Config>, forge: &ForgeConfig) -> Vec<Check> {
    let mut checks = vec![key(forge)];
    if let Some(config) = config {
        let alone = Config { forges: vec![forge.clone()], ..config.clone() };
        checks.extend(app(&alone, forge).await);
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

async fn app(config: &Config, forge: &ForgeConfig) -> Vec<Check> {
    const NAME: &str = "app";
    let host = &forge.host;
    let github = match GitHub::load(config) {
        Ok(github) => github,
        Err(error) => {
            let hint = "make a key on the App's page (README.md, step 2)";
            return vec![Check::fail(NAME, format!("{host}: {}", chain(&error)), hint)];
        }
    };
    match github.own_app(host).await {
        Ok(own) => {
            let wanted = &config.drone.permissions;
            let mut checks = vec![asks(host, &own, wanted)];
            let asked = permissions::lowest(wanted, &own.permissions);
            checks.extend(installations(&github, host, &asked).await);
            checks
        }
        Err(error) => {
            let hint = match error {
                ForgeError::BadApp { .. } => "compare client id and key with the App's page",
                _ => "see `api_url`, `address`, `ca_file` and the network",
            };
            vec![Check::fail(NAME, error.to_string(), hint)]
        }
    }
}

/// Whether the App asks its owners for all that drones may do.
fn asks(host: &ForgeHost, own: &OwnApp, wanted: &Permissions) -> Check {
    const NAME: &str = "app";
    let missing = permissions::beyond(wanted, &own.permissions);
    if missing.is_empty() {
        return Check::ok(NAME, format!("{host} knows the App {}", own.slug));
    }
    let found = format!(
        "{host} knows the App {}, which lacks {}: drones go without",
        own.slug,
        permissions::list(&missing)
    );
    let hint = "add them on the App's page under *Permissions*; each owner accepts them";
    Check::warn(NAME, found, hint)
}

/// The installations whose owners did not accept all that the App asks for, or suspended it.
async fn installations(github: &GitHub, host: &ForgeHost, asked: &Permissions) -> Vec<Check> {
    const NAME: &str = "installation";
    let all = match github.own_installations(host).await {
        Ok(all) => all,
        Err(error) => {
            let hint = "try again when the forge answers";
            return vec![Check::warn(NAME, error.to_string(), hint)];
        }
    };
    let checks = all.into_iter().filter_map(|one| {
        let missing = permissions::beyond(asked, &one.permissions);
        let page = one.page.map(|page| format!(": {page}")).unwrap_or_default();
        let warn = |found, hint: &str| Some(Check::warn(NAME, found, format!("{hint}{page}")));
        if one.suspended {
            return warn(format!("{} suspended the App", one.account), "unsuspend it there");
        }
        if missing.is_empty() {
            return None;
        }
        let missing = permissions::list(&missing);
        let found = format!("{} did not accept {missing}: drones there go without", one.account);
        warn(found, "its owner accepts the App's permissions there")
    });
    checks.collect()
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
    use std::fs;

    use local_forge::InstallationChange;

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
        let checks = app(&config, forge).await;
        let [check] = checks.as_slice() else { panic!("{checks:?}") };
        assert_eq!(check.verdict, Verdict::Warn);
        assert!(check.message.contains("secrets=write"), "{}", check.message);
    }

    #[tokio::test]
    async fn an_owner_who_did_not_accept_everything_is_named_with_the_page() {
        let rig = rig().await;
        let mut config = Config::clone(&rig.config);
        let mut drone = DroneDefaults::clone(&config.drone);
        drone.permissions = permissions(&[("contents", "write"), ("issues", "read")]);
        config.drone = drone.into();
        let accepted = [("contents", local_forge::Level::Read)].into_iter().collect();
        let [acme, other] = ["acme", "other"].map(|account| rig.installation(account));
        let fewer = InstallationChange { permissions: Some(accepted), ..Default::default() };
        rig.forge.change_installation(acme, &fewer).expect("changed");
        let suspended = InstallationChange { suspended: Some(true), ..Default::default() };
        rig.forge.change_installation(other, &suspended).expect("changed");
        let checks = app(&config, &rig.config.forges[0]).await;
        let [_, lacks, gone] = checks.as_slice() else { panic!("{checks:?}") };
        assert_eq!((lacks.verdict, gone.verdict), (Verdict::Warn, Verdict::Warn));
        let accepts = "acme did not accept contents=write issues=read";
        assert!(lacks.message.starts_with(accepts), "{}", lacks.message);
        let page = format!("/settings/installations/{acme}");
        assert!(lacks.hint.as_ref().is_some_and(|hint| hint.ends_with(&page)), "{lacks:?}");
        assert!(gone.message.contains("other suspended"), "{}", gone.message);
    }

    #[tokio::test]
    async fn a_wrong_id_and_a_silent_forge_are_told_apart() {
        let rig = rig().await;
        let mut wrong = rig.config.forges[0].clone();
        wrong.app.issuer = "Iv-nobody".to_owned();
        let config = Config { forges: vec![wrong.clone()], ..Config::clone(&rig.config) };
        let check = app(&config, &wrong).await.remove(0);
        assert_eq!(check.verdict, Verdict::Fail);
        assert!(check.hint.is_some_and(|hint| hint.contains("client id")), "{}", check.message);
        let mut silent = rig.config.forges[0].clone();
        silent.api_url = "https://forge.test:1".to_owned();
        let config = Config { forges: vec![silent.clone()], ..Config::clone(&rig.config) };
        let check = app(&config, &silent).await.remove(0);
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
            let permissions = fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&forge.app.private_key_file, permissions).expect("set");
            assert_eq!(key(forge).verdict, verdict, "{mode:o}");
        }
        let mut nowhere = forge.clone();
        nowhere.app.private_key_file = "/nonexistent/app.pem".into();
        assert_eq!(key(&nowhere).verdict, Verdict::Fail);
    }
}
