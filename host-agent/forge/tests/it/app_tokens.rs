//! The App's JWT, installations, minting and revoking: statuses and bodies as GitHub's.

use http::StatusCode;
use local_forge::{InstallationChange, Level, LocalForge, RepositoryChange};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::support::{acme, permissions, start};

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

#[tokio::test]
async fn a_jwt_is_checked_claim_by_claim() {
    let forge = start().await;
    let cases = [
        (json!({"exp": now() + 660}), "'Expiration time' claim ('exp') is too far in the future"),
        (json!({"exp": now() - 1}), "'Expiration time' claim ('exp') must be a numeric value"),
        (json!({"exp": "soon"}), "'Expiration time' claim ('exp') must be a numeric value"),
        (json!({"iat": now() + 30}), "'Issued at' claim ('iat') must be an Integer"),
        (json!({"iss": "Iv23somebodyelse"}), "A JSON web token could not be decoded"),
        (json!({"iss": null}), "Missing 'issuer' claim ('iss')"),
    ];
    for (claims, message) in cases {
        let reply = forge.get("/app").bearer(&forge.jwt_with(&claims)).send().await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{claims}");
        assert!(reply.message().starts_with(message), "{claims}: {}", reply.message());
        assert_eq!(reply.body["status"], "401");
        assert_eq!(reply.body["documentation_url"], "https://docs.github.com/rest");
    }
    for issuer in [json!(forge.app_client_id()), json!(forge.app_id())] {
        let reply = forge.get("/app").bearer(&forge.jwt_with(&json!({"iss": issuer}))).send().await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
        assert_eq!(reply.body["slug"], "hatchery");
    }
}

#[tokio::test]
async fn a_jwt_of_another_key_is_refused() {
    let forge = start().await;
    let mut jwt = forge.jwt();
    let last = jwt.pop().unwrap();
    jwt.push(if last == 'A' { 'Q' } else { 'A' });
    let reply = forge.get("/app").bearer(&jwt).send().await;
    assert_eq!(reply.message(), "A JSON web token could not be decoded");
    let token = forge.mint(&["web"], json!({"contents": "read"})).await;
    let reply = forge.get("/app").bearer(&token).send().await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_forges_clock_counts() {
    let forge = start().await;
    forge.set_clock_offset(-120);
    let reply = forge.get("/app").bearer(&forge.jwt()).send().await;
    assert!(reply.message().starts_with("'Issued at'"), "{}", reply.text);
    let date = forge.get("/app").send().await.header("date").to_owned();
    assert!(date.ends_with(" GMT"), "{date}");
}

#[tokio::test]
async fn headers_that_github_demands() {
    let forge = start().await;
    let reply = forge.get("/app").without("user-agent").bearer(&forge.jwt()).send().await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert!(reply.text.contains("administrative rules"));
    let version = "x-github-api-version";
    let reply = forge.get("/app").header(version, "2021-01-01").bearer(&forge.jwt()).send().await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let reply = forge.get("/app").header(version, "2022-11-28").bearer(&forge.jwt()).send().await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(!reply.header("x-github-request-id").is_empty());
    assert_eq!(reply.header("x-ratelimit-limit"), "5000");
}

#[tokio::test]
async fn installations_are_found_by_repository_and_account() {
    let forge = start().await;
    let id = forge.installation();
    for path in [
        "/repos/acme/web/installation",
        "/repos/ACME/Web/installation",
        "/orgs/acme/installation",
        "/users/acme/installation",
        "/api/v3/users/acme/installation",
    ] {
        let reply = forge.get(path).bearer(&forge.jwt()).send().await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
        assert_eq!(reply.body["id"], id, "{path}");
    }
    for path in [
        "/repos/acme/secret/installation",
        "/repos/acme/nothing/installation",
        "/repos/octo/open/installation",
        "/users/octo/installation",
    ] {
        let reply = forge.get(path).bearer(&forge.jwt()).send().await;
        assert_eq!((reply.status, reply.message()), (StatusCode::NOT_FOUND, "Not Found"), "{path}");
    }
}

#[tokio::test]
async fn a_renamed_repository_redirects_until_its_name_is_taken() {
    let forge = start().await;
    let id = forge.repo_id("acme", "web");
    let change = RepositoryChange { name: Some("site".into()), ..Default::default() };
    forge.change_repository("acme", "web", &change).unwrap();
    let reply = forge.get("/api/v3/repos/acme/web/installation").bearer(&forge.jwt()).send().await;
    assert_eq!(reply.status, StatusCode::MOVED_PERMANENTLY);
    let location = reply.header("location");
    assert!(location.ends_with(&format!("/api/v3/repositories/{id}/installation")), "{location}");
    let path = format!("/repositories/{id}/installation");
    let reply = forge.get(&path).bearer(&forge.jwt()).send().await;
    assert_eq!(reply.body["id"], forge.installation());
    forge.create_repository(&crate::support::repository("acme", "web")).await.unwrap();
    let reply = forge.get("/repos/acme/web/installation").bearer(&forge.jwt()).send().await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND, "the new one was not chosen");
}

#[tokio::test]
async fn a_mint_answers_what_was_asked_for() {
    let forge = start().await;
    let web = forge.repo_id("acme", "web");
    let reply =
        forge.mint_raw(json!({"repository_ids": [web], "permissions": {"contents": "read"}})).await;
    assert_eq!(reply.status, StatusCode::CREATED);
    assert_eq!(reply.body["permissions"], json!({"contents": "read", "metadata": "read"}));
    assert_eq!(reply.body["repository_selection"], "selected");
    assert_eq!(reply.body["repositories"][0]["id"], web);
    assert_eq!(reply.body["repositories"][0]["full_name"], "acme/web");
    let token = reply.body["token"].as_str().unwrap();
    assert!(token.len() > 500 && token.contains('-'), "{}", token.len());
    let reply = forge.mint_raw(json!({"repositories": ["api"]})).await;
    assert_eq!(reply.body["repositories"][0]["full_name"], "acme/api");
    assert_eq!(reply.body["permissions"]["pull_requests"], "write");
    let reply = forge.mint_raw(json!({"repository_ids": []})).await;
    assert_eq!(reply.body["repositories"], Value::Null, "an empty list means all");
    assert_eq!(forge.mints(), 3);
}

#[tokio::test]
async fn the_token_form_can_be_forced() {
    let forge = start().await;
    let path = format!("/app/installations/{}/access_tokens", forge.installation());
    for (forced, length) in [("disabled", 40..41), ("enabled", 500..560)] {
        let call = forge.post(&path, json!({})).bearer(&forge.jwt());
        let reply = call.header("x-github-stateless-s2s-token", forced).send().await;
        let token = reply.body["token"].as_str().unwrap();
        assert!(length.contains(&token.len()), "{forced}: {}", token.len());
    }
}

#[tokio::test]
async fn a_mint_beyond_the_installation_is_refused_whole() {
    let forge = start().await;
    let (web, secret) = (forge.repo_id("acme", "web"), forge.repo_id("acme", "secret"));
    let no_repo = "There is at least one repository that does not exist or is not accessible";
    let many: Vec<u64> = (0..501).collect();
    let cases = [
        (json!({"repository_ids": [web, secret]}), no_repo),
        (json!({"repositories": ["web", "acme/api"]}), no_repo),
        (json!({"repositories": ["open"]}), no_repo),
        (json!({"permissions": {"workflows": "write"}}), "The permissions requested are not"),
        (json!({"permissions": {"rule": "read"}}), "The permissions requested are not"),
        (json!({"permissions": {"checks": "write"}}), "The level of access for permissions"),
        (json!({"permissions": {"contents": "own"}}), "Invalid request."),
        (json!({"repository_ids": many}), "Invalid request."),
        (json!({"repository_ids": "1"}), "Invalid request."),
    ];
    for (body, message) in cases {
        let reply = forge.mint_raw(body.clone()).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert!(reply.message().starts_with(message), "{body}: {}", reply.message());
        assert_eq!(reply.body["status"], "422");
    }
    assert_eq!(forge.mints(), 0);
}

#[tokio::test]
async fn a_suspended_or_unknown_installation_mints_nothing() {
    let forge = start().await;
    let token = forge.mint(&["web"], json!({"contents": "read"})).await;
    let suspend = InstallationChange { suspended: Some(true), ..Default::default() };
    forge.change_installation(forge.installation(), &suspend).unwrap();
    let reply = forge.mint_raw(json!({})).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert!(reply.message().starts_with("This installation has been suspended"));
    let reply = forge.get("/repos/acme/web").bearer(&token).send().await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    let path = "/app/installations/9/access_tokens";
    let reply = forge.post(path, json!({})).bearer(&forge.jwt()).send().await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_token_ends_by_revocation_and_by_the_clock() {
    let forge = start().await;
    let first = forge.mint(&["web"], json!({"contents": "read"})).await;
    let second = forge.mint(&["web"], json!({"contents": "read"})).await;
    let repo = |token: &str| forge.get("/repos/acme/web").bearer(token).send();
    assert_eq!(repo(&first).await.status, StatusCode::OK);
    let reply = forge.get("/installation/token").method("DELETE").bearer(&first).send().await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    let reply = repo(&first).await;
    assert_eq!((reply.status, reply.message()), (StatusCode::UNAUTHORIZED, "Bad credentials"));
    forge.advance_clock(3590);
    assert_eq!(repo(&second).await.status, StatusCode::OK);
    forge.advance_clock(11);
    assert_eq!(repo(&second).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_test_can_shorten_a_life_and_end_it() {
    let forge = start().await;
    let change = InstallationChange { token_seconds: Some(60), ..Default::default() };
    forge.change_installation(forge.installation(), &change).unwrap();
    let token = forge.mint(&["web"], json!({"contents": "read"})).await;
    let repo = || forge.get("/repos/acme/web").bearer(&token).send();
    forge.advance_clock(55);
    assert_eq!(repo().await.status, StatusCode::OK);
    let sha256 = forge.state(|state| state.tokens.last().unwrap().sha256.clone());
    forge.end_token(&sha256).unwrap();
    assert_eq!(repo().await.status, StatusCode::UNAUTHORIZED);
    forge.end_token(&sha256).unwrap_err();
    let token = forge.mint(&["web"], json!({"contents": "read"})).await;
    forge.advance_clock(61);
    let reply = forge.get("/repos/acme/web").bearer(&token).send().await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_reaches_its_repositories_only() {
    let forge = start().await;
    let token = forge.mint(&["web"], json!({"contents": "read"})).await;
    for (path, status) in [
        ("/repos/acme/web", StatusCode::OK),
        ("/repos/acme/api", StatusCode::NOT_FOUND),
        ("/repos/acme/secret", StatusCode::NOT_FOUND),
        ("/repos/octo/open", StatusCode::OK),
        ("/user", StatusCode::FORBIDDEN),
    ] {
        let reply = forge.get(path).bearer(&token).send().await;
        assert_eq!(reply.status, status, "{path}");
    }
    let bot = forge.get("/users/hatchery%5Bbot%5D").bearer(&token).send().await;
    assert_eq!(bot.body["type"], "Bot");
    assert_ne!(bot.body["id"], forge.app_id());
}

#[tokio::test]
async fn keys_are_served_as_lines() {
    let forge = start().await;
    forge.set_keys("octo", vec!["ssh-ed25519 AAAA".into(), "ssh-ed25519 BBBB".into()]).unwrap();
    let reply = forge.get("/octo.keys").send().await;
    assert_eq!(
        (reply.status, reply.text.as_str()),
        (StatusCode::OK, "ssh-ed25519 AAAA\nssh-ed25519 BBBB\n")
    );
    let reply = forge.get("/acme.keys").send().await;
    assert_eq!((reply.status, reply.text.as_str()), (StatusCode::OK, ""));
    assert_eq!(forge.get("/nobody.keys").send().await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_second_start_knows_everything() {
    let forge = start().await;
    let (id, web) = (forge.installation(), forge.repo_id("acme", "web"));
    let token = forge.mint(&["web"], json!({"contents": "read"})).await;
    let ca = forge.ca_pem().to_owned();
    let crate::support::Forge { running, dir } = forge;
    running.shutdown().await;
    let text = std::fs::read_to_string(dir.path().join("state.json")).unwrap();
    assert!(!text.contains(&token), "the state holds a token");
    let listen = "127.0.0.1:0".parse().unwrap();
    let builder = acme(LocalForge::builder(dir.path()).listen(listen));
    let forge = crate::support::Forge { running: builder.start().await.unwrap(), dir };
    assert_eq!((forge.installation(), forge.repo_id("acme", "web")), (id, web));
    assert_eq!(forge.ca_pem(), ca);
    let reply = forge.get("/repos/acme/web").bearer(&token).send().await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    let change = InstallationChange {
        permissions: Some(permissions(&[("contents", Level::Read)])),
        ..Default::default()
    };
    forge.change_installation(id, &change).unwrap();
    let reply = forge.mint_raw(json!({"permissions": {"contents": "write"}})).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
}
