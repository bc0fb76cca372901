//! The adapter against a real forge over TLS.

use std::time::Duration;

use local_forge::{
    AccountSpec, FaultKind, FaultSpec, InstallationChange, RepositoryChange, RepositorySpec,
};
use time::OffsetDateTime;

use super::GitHub;
use super::rig::{HOST, Rig, permissions, rig};
use crate::credentials::forge::{ForgeError, Installation, InstallationId, MintRequest};
use crate::credentials::{Forge as _, permissions::includes};
use crate::records::ForgeRepoId;

async fn installation(github: &GitHub, rig: &Rig, name: &str) -> Result<Installation, ForgeError> {
    let host = HOST.parse().expect("a host");
    github.installation(&host, rig.id(name), &rig.repo(name).name).await
}

async fn request(rig: &Rig, repositories: &[&str]) -> MintRequest {
    let first = repositories.first().expect("a repository");
    let installation = installation(&rig.github, rig, first).await.expect("installed").id;
    MintRequest {
        host: HOST.parse().expect("a host"),
        installation,
        repositories: repositories.iter().map(|name| rig.id(name)).collect(),
        permissions: permissions(&[("contents", "write")]),
    }
}

#[tokio::test]
async fn a_repository_is_found_with_what_its_installation_has() {
    let rig = rig().await;
    let found = rig.github.repository(&rig.repo("ACME/web")).await.expect("found");
    assert_eq!((found.id, found.name.to_string()), (rig.id("acme/web"), "acme/web".to_owned()));
    assert_eq!(found.default_branch, "main");
    let has = permissions(&[("contents", "write"), ("issues", "read"), ("metadata", "read")]);
    assert_eq!(found.installation_permissions, has);
    assert_eq!(rig.live_tokens(), Vec::<String>::new(), "the token for looking is taken back");
}

#[tokio::test]
async fn what_is_not_there_says_where_the_app_gets_it() {
    let rig = rig().await;
    rig.forge
        .put_account(&AccountSpec {
            login: "stranger".to_owned(),
            id: Some(77),
            ..Default::default()
        })
        .expect("an account");
    let app = format!("{}/apps/hatchery/installations/new", rig.forge.url());
    for (name, has_app, page) in [
        // An account without the App, one that nobody has, and one whose App does not see this.
        ("stranger/web", false, format!("{app}/permissions?suggested_target_id=77")),
        ("nobody/web", false, app.clone()),
        ("acme/nothing", true, format!("{}/settings/installations/", rig.forge.url())),
    ] {
        let error = rig.github.repository(&rig.repo(name)).await.expect_err("not there");
        let ForgeError::NotFound { installed, install_url: Some(url), .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*installed, has_app, "{name}");
        assert!(if has_app { url.starts_with(&page) } else { *url == page }, "{name}: {url}");
    }
    let host = "nowhere.test".parse().expect("a host");
    let elsewhere = hatchery_protocol::RepoId { host, ..rig.repo("a/b") };
    let error = rig.github.repository(&elsewhere).await.expect_err("not configured");
    assert!(matches!(error, ForgeError::NotConfigured { .. }), "{error:?}");
}

#[tokio::test]
async fn a_renamed_repository_is_followed_by_its_id() {
    let rig = rig().await;
    let id = rig.id("acme/web");
    let change = RepositoryChange { name: Some("site".to_owned()), ..Default::default() };
    rig.forge.change_repository("acme", "web", &change).expect("renamed");
    let found = rig.github.repository(&rig.repo("acme/web")).await.expect("followed");
    assert_eq!((found.id, found.name.to_string()), (id, "acme/site".to_owned()));
}

#[tokio::test]
async fn an_installation_is_found_by_id_whatever_has_the_name_now() {
    let rig = rig().await;
    let (id, name) = (rig.id("acme/web"), rig.repo("acme/web").name);
    let host = HOST.parse().expect("a host");
    let of = |account: &str| InstallationId(rig.installation(account));
    let change = RepositoryChange { owner: Some("other".to_owned()), ..Default::default() };
    rig.forge.change_repository("acme", "web", &change).expect("transferred");
    let found = rig.github.installation(&host, id, &name).await.expect("followed");
    assert_eq!(found.id, of("other"));
    let spec = RepositorySpec { owner: "acme".into(), name: "web".into(), ..Default::default() };
    rig.forge.create_repository(&spec).await.expect("another under the old name");
    let found = rig.github.installation(&host, id, &name).await.expect("followed");
    assert_eq!(found.id, of("other"), "and not that of who has the name now");
}

#[tokio::test]
async fn a_token_opens_what_was_asked_for_and_can_be_taken_back() {
    let rig = rig().await;
    let asked = request(&rig, &["acme/web", "acme/api"]).await;
    let minted = rig.github.mint(&asked).await.expect("minted");
    let opened: Vec<ForgeRepoId> = minted.repositories.keys().copied().collect();
    let mut wanted = asked.repositories.clone();
    wanted.sort_unstable();
    assert_eq!(opened, wanted);
    let allowed = permissions(&[("contents", "write"), ("metadata", "read")]);
    assert!(includes(&allowed, &minted.permissions));
    assert!(minted.token.expose().len() > 40, "the stateless form");
    assert_eq!(rig.live_tokens(), [minted.token.sha256()]);
    rig.github.revoke(&asked.host, &minted.token).await.expect("revoked");
    assert_eq!(rig.live_tokens(), Vec::<String>::new());
    rig.github.revoke(&asked.host, &minted.token).await.expect("what is gone counts as revoked");
}

#[tokio::test]
async fn an_answer_wider_than_asked_is_taken_back_and_refused() {
    let rig = rig().await;
    let asked = request(&rig, &["acme/web"]).await;
    for fault in [FaultKind::WidenMint, FaultKind::WidenPermissions] {
        rig.forge.add_fault(FaultSpec::everywhere(fault.clone()).times(1));
        let error = rig.github.mint(&asked).await.expect_err("refused");
        assert!(matches!(error, ForgeError::Surplus { .. }), "{fault:?}: {error:?}");
        assert_eq!(rig.live_tokens(), Vec::<String>::new(), "{fault:?}: taken back");
    }
    let nothing = MintRequest { repositories: vec![], ..asked };
    let mints = rig.forge.mints();
    assert!(rig.github.mint(&nothing).await.is_err());
    assert_eq!(rig.forge.mints(), mints, "an empty list never reaches the forge");
}

#[tokio::test]
async fn a_clock_that_differs_is_corrected_and_the_request_repeated() {
    for offset in [-7200, 7200] {
        let rig = rig().await;
        rig.forge.set_clock_offset(offset);
        let asked = request(&rig, &["acme/web"]).await;
        let minted = rig.github.mint(&asked).await.expect("minted");
        let left = minted.expires_at - OffsetDateTime::now_utc();
        assert!(
            left > Duration::from_secs(3500) && left < Duration::from_secs(3700),
            "{offset}: an hour by our clock, not {left}"
        );
        let refused = rig.forge.calls().iter().filter(|call| call.status == 401).count();
        assert_eq!(refused, 1, "{offset}: learnt once");
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let rig = rig().await;
    let asked = request(&rig, &["acme/web"]).await;
    let over = MintRequest { permissions: permissions(&[("workflows", "write")]), ..asked.clone() };
    let error = rig.github.mint(&over).await.expect_err("not granted");
    assert!(matches!(error, ForgeError::InstallationGone { .. }), "{error:?}");
    let gone = MintRequest { installation: InstallationId(1), ..asked.clone() };
    let error = rig.github.mint(&gone).await.expect_err("no such installation");
    assert!(matches!(error, ForgeError::InstallationGone { .. }), "{error:?}");
    let change = InstallationChange { suspended: Some(true), ..Default::default() };
    rig.forge.change_installation(asked.installation.0, &change).expect("suspended");
    let error = rig.github.mint(&asked).await.expect_err("suspended");
    assert!(matches!(error, ForgeError::Suspended { .. }), "{error:?}");
    let error = installation(&rig.github, &rig, "acme/web").await.expect_err("suspended");
    assert!(matches!(error, ForgeError::Suspended { .. }), "{error:?}");
}

#[tokio::test]
async fn while_the_forge_limits_us_it_is_left_alone() {
    let rig = rig().await;
    let asked = request(&rig, &["acme/web"]).await;
    let limited = FaultKind::RateLimit { retry_after: Some(30), reset_seconds: 60, status: 403 };
    rig.forge.add_fault(FaultSpec::everywhere(limited).times(1));
    rig.forge.clear_calls();
    for _ in 0..2 {
        let error = rig.github.mint(&asked).await.expect_err("limited");
        assert!(matches!(error, ForgeError::RateLimited { .. }), "{error:?}");
    }
    assert_eq!(rig.forge.calls().len(), 1, "the second was not sent");
}

#[tokio::test]
async fn one_accounts_exhausted_limit_stops_no_other() {
    let rig = rig().await;
    let [acme, other] = [request(&rig, &["acme/web"]).await, request(&rig, &["other/tools"]).await];
    let path = format!("/app/installations/{}/", acme.installation.0);
    let primary = FaultKind::RateLimit { retry_after: None, reset_seconds: 60, status: 403 };
    rig.forge.add_fault(FaultSpec::everywhere(primary).on(&path).times(1));
    for asked in [true, false, false] {
        let error = rig.github.mint(&acme).await.expect_err("limited");
        let said = matches!(error, ForgeError::RateLimited { asked: said, .. } if said == asked);
        assert!(said, "{error:?}");
        rig.github.mint(&other).await.expect("its limit is its own");
        installation(&rig.github, &rig, "acme/api").await.expect("the App's is its own too");
    }
    let secondary = FaultKind::RateLimit { retry_after: Some(30), reset_seconds: 60, status: 403 };
    let path = format!("/app/installations/{}/", other.installation.0);
    rig.forge.add_fault(FaultSpec::everywhere(secondary).on(&path).times(1));
    rig.github.mint(&other).await.expect_err("limited");
    rig.forge.clear_calls();
    installation(&rig.github, &rig, "acme/api").await.expect_err("the whole App is");
    assert_eq!(rig.forge.calls().len(), 0);
}

#[tokio::test]
async fn a_forge_in_trouble_is_unreachable_and_leaks_nothing() {
    let rig = rig().await;
    let asked = request(&rig, &["acme/web"]).await;
    let message = Some("oops ghs_verysecret123".to_owned());
    for fault in [
        FaultKind::Status { status: 500, message },
        FaultKind::Cut,
        FaultKind::CutAfter { bytes: 10 },
    ] {
        rig.forge.add_fault(FaultSpec::everywhere(fault.clone()).on("/app/installations").times(1));
        let error = rig.github.mint(&asked).await.expect_err("in trouble");
        assert!(matches!(error, ForgeError::Unreachable { .. }), "{fault:?}: {error:?}");
        assert!(!error.to_string().contains("ghs_"), "{error}");
        rig.forge.clear_faults();
    }
}

#[tokio::test]
async fn another_authority_is_not_believed() {
    let rig = rig().await;
    let other = super::rig::rig().await;
    let mut config = crate::config::Config::clone(&rig.config);
    config.forges[0].ca_file = Some(other.forge.ca_path());
    let github = GitHub::load(&config).expect("loads");
    let error = installation(&github, &rig, "acme/web").await.expect_err("not believed");
    assert!(matches!(error, ForgeError::Unreachable { .. }), "{error:?}");
    assert_eq!(rig.forge.calls().len(), 0);
}

#[tokio::test]
async fn a_wrong_key_is_the_apps_fault() {
    let rig = rig().await;
    let key = rig.directory.path().join("other.pem");
    std::fs::write(&key, local_forge::make_app_key().expect("a key").replace('\n', "\r\n"))
        .expect("write");
    let mut config = crate::config::Config::clone(&rig.config);
    config.forges[0].app.private_key_file = key;
    let github = GitHub::load(&config).expect("CRLF is no hindrance");
    let error = installation(&github, &rig, "acme/web").await.expect_err("refused");
    assert!(matches!(error, ForgeError::BadApp { .. }), "{error:?}");
}

#[tokio::test]
async fn the_bot_is_named_with_its_own_id() {
    let rig = rig().await;
    let bot = rig.github.bot_identity(&HOST.parse().expect("a host")).await.expect("a bot");
    assert_eq!(bot.name, "hatchery[bot]");
    let (id, rest) = bot.email.split_once('+').expect("an id");
    assert!(id.parse::<u64>().is_ok_and(|id| id != rig.forge.app_id()));
    assert_eq!(rest, "hatchery[bot]@users.noreply.forge.test");
}
