//! Faults, the gate, and the admin socket.

use http::{Method, StatusCode};
use local_forge::{
    AdminClient, AdminError, FaultKind, FaultSpec, LocalForge, RunningForge, ServeOptions,
    StartError,
};
use serde_json::json;

use crate::support::{start, stderr};

#[tokio::test]
async fn faults_strike_where_they_should() {
    let forge = start().await;
    let status = FaultKind::Status { status: 502, message: None };
    forge.add_fault(FaultSpec::everywhere(status).on("/app").times(1));
    let app = || forge.get("/api/v3/app").bearer(&forge.jwt()).send();
    assert_eq!(app().await.status, StatusCode::BAD_GATEWAY);
    assert_eq!(app().await.status, StatusCode::OK);
    let limit = FaultKind::RateLimit { retry_after: None, reset_seconds: 60, status: 403 };
    forge.add_fault(FaultSpec::everywhere(limit).times(1));
    let reply = app().await;
    assert_eq!(reply.header("x-ratelimit-remaining"), "0");
    forge.add_fault(FaultSpec::everywhere(FaultKind::Cut).times(1));
    assert!(forge.get("/app").bearer(&forge.jwt()).exchange().await.is_err());
    forge.add_fault(FaultSpec::everywhere(FaultKind::CutAfter { bytes: 10 }).times(1));
    assert!(forge.get("/app").bearer(&forge.jwt()).exchange().await.is_err());
    assert_eq!(app().await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_mint_can_be_made_too_wide() {
    let forge = start().await;
    forge.add_fault(FaultSpec::everywhere(FaultKind::WidenPermissions).times(1));
    let web = forge.repo_id("acme", "web");
    let body = json!({"repository_ids": [web], "permissions": {"contents": "read"}});
    let reply = forge.mint_raw(body.clone()).await;
    assert_eq!(reply.body["permissions"]["contents"], "write");
    forge.add_fault(FaultSpec::everywhere(FaultKind::WidenMint).times(1));
    let reply = forge.mint_raw(body.clone()).await;
    assert!(reply.body["repositories"].is_null());
    let reply = forge.mint_raw(body).await;
    assert_eq!(reply.body["permissions"]["contents"], "read");
}

#[tokio::test]
async fn the_gate_holds_mints_up() {
    let forge = start().await;
    let gate = forge.hold_mint();
    let (reply, ()) = tokio::join!(forge.mint_raw(json!({})), async {
        gate.arrived().await;
        assert_eq!(forge.mints(), 0);
        gate.open();
    });
    assert_eq!(reply.status, StatusCode::CREATED);
}

#[tokio::test]
async fn another_process_steers_it_by_the_admin_socket() {
    let forge = start().await;
    let admin = AdminClient::new(forge.dir.path());
    let spec = json!({"owner": "zerg", "name": "hive", "files": {"a.txt": "a\n",
        "run.sh": {"content": "#!/bin/sh\n", "executable": true}}});
    let made = admin.call(Method::POST, "/repositories", &spec).await.unwrap();
    assert_eq!(made["id"], forge.repo_id("zerg", "hive"));
    let spec = json!({"account": "zerg", "permissions": {"contents": "write"}});
    admin.call(Method::POST, "/installations", &spec).await.unwrap();
    let fault = json!({"path": "/app", "fault": {"kind": "status", "status": 500}});
    admin.call(Method::POST, "/faults", &fault).await.unwrap();
    assert_eq!(forge.get("/app").bearer(&forge.jwt()).send().await.status.as_u16(), 500);
    admin.call(Method::DELETE, "/faults", &()).await.unwrap();
    admin.call(Method::PUT, "/clock", &json!({"offset_seconds": 30})).await.unwrap();
    forge.mint(&["web"], json!({"contents": "read"})).await;
    let tokens = admin.call(Method::GET, "/tokens", &()).await.unwrap();
    assert_eq!(tokens["tokens"].as_array().unwrap().len(), 1);
    let calls = admin.call(Method::GET, "/calls", &()).await.unwrap();
    assert_eq!(calls["mints"], 1);
    let state = admin.call(Method::GET, "/state", &()).await.unwrap();
    assert_eq!(state["installations"].as_array().unwrap().len(), 2);
    let refused = admin.call(Method::POST, "/accounts", &json!({"name": "x"})).await;
    assert!(matches!(refused, Err(AdminError::Refused { .. })), "{refused:?}");
    let refused = admin.call(Method::PATCH, "/repositories/a/b", &json!({})).await.unwrap_err();
    assert!(refused.to_string().contains("404"), "{refused}");
}

#[tokio::test]
async fn two_forges_do_not_share_a_data_directory() {
    let forge = start().await;
    let listen = "127.0.0.1:0".parse().unwrap();
    let second = LocalForge::builder(forge.dir.path()).listen(listen).start().await;
    assert!(matches!(second, Err(StartError::DataDir { .. })), "{second:?}");
    assert!(forge.admin_socket().exists(), "the second took the socket of the first away");
}

#[tokio::test]
async fn a_token_can_be_refused_for_a_while() {
    let forge = start().await;
    let token = forge.mint(&["web"], json!({"contents": "read"})).await;
    forge.add_fault(FaultSpec::everywhere(FaultKind::BadCredentials).times(1).on("/repos"));
    let repo = || forge.get("/repos/acme/web").bearer(&token).send();
    assert_eq!(repo().await.message(), "Bad credentials");
    assert_eq!(repo().await.status, StatusCode::OK);
    forge.add_fault(FaultSpec::everywhere(FaultKind::BadCredentials).on("/acme/web.git"));
    let url = format!("{}/acme/web.git", forge.url());
    let output = forge.git(forge.dir.path(), Some(&token), &["ls-remote", &url]).await;
    assert!(stderr(&output).contains("Authentication failed"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_shutdown_answers_the_call_under_way() {
    let forge = start().await;
    let path = format!("/app/installations/{}/access_tokens", forge.installation());
    let (addr, jwt, client) = (forge.addr(), forge.jwt(), forge.client());
    let gate = forge.hold_mint();
    let mint = client.call("POST", &path, Some(json!({}))).bearer(&jwt);
    let mint = tokio::spawn(mint.send());
    gate.arrived().await;
    let stop = tokio::spawn(forge.running.shutdown());
    while tokio::net::TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    gate.open();
    assert_eq!(mint.await.unwrap().status, StatusCode::CREATED);
    stop.await.unwrap();
}

#[tokio::test]
async fn it_serves_until_told_to_end_and_only_here() {
    let dir = tempfile::tempdir().unwrap();
    let options = |listen: &str| ServeOptions {
        data_dir: dir.path().to_owned(),
        listen: Some(listen.parse().unwrap()),
        repositories: vec![crate::support::repository("acme", "web")],
        ..ServeOptions::default()
    };
    let never = std::future::pending::<()>;
    let refused = local_forge::serve(options("0.0.0.0:0"), |_| {}, never()).await;
    assert!(refused.unwrap_err().to_string().contains("loopback and private"));
    let (told, until) = tokio::sync::oneshot::channel::<()>();
    let ready = |forge: &RunningForge| {
        assert!(forge.git_dir("acme", "web").is_some_and(|dir| dir.exists()));
        told.send(()).unwrap();
    };
    let until = async { until.await.unwrap() };
    local_forge::serve(options("127.0.0.1:0"), ready, until).await.unwrap();
    assert!(!dir.path().join("admin.sock").exists());
}

#[tokio::test]
async fn a_cut_connection_fails_git() {
    let forge = start().await;
    let token = forge.mint(&["web"], json!({"contents": "read"})).await;
    forge.add_fault(FaultSpec::everywhere(FaultKind::Cut).on("/acme/web.git"));
    let url = format!("{}/acme/web.git", forge.url());
    let output = forge.git(forge.dir.path(), Some(&token), &["ls-remote", &url]).await;
    assert!(!output.status.success());
    assert!(stderr(&output).contains("unable to access"), "{}", stderr(&output));
}
