//! REST beyond minting: what the real gh leaves untried.

use http::StatusCode;
use local_forge::RepositorySpec;
use serde_json::{Value, json};

use crate::support::{Forge, repository, start};

const ALL: fn() -> Value = || json!({"contents": "write", "pull_requests": "write"});

/// A branch `topic` of `acme/<repo>`, one commit ahead.
async fn push_topic(forge: &Forge, repo: &str, token: &str) {
    let clone = forge.clone_of(repo, token).await;
    forge.commit(&clone, "topic.txt", "topic\n").await;
    let output = forge.git(&clone, Some(token), &["push", "-q", "origin", "HEAD:topic"]).await;
    assert!(output.status.success());
}

#[tokio::test]
async fn a_pull_request_across_a_fork_needs_a_token_for_both() {
    let forge = start().await;
    let fork = RepositorySpec {
        fork_of: Some("acme/web".into()),
        files: [].into(),
        ..repository("acme", "web-fork")
    };
    forge.create_repository(&fork).await.unwrap();
    let all = local_forge::InstallationChange { all: true, ..Default::default() };
    forge.change_installation(forge.installation(), &all).unwrap();
    let both = forge.mint(&["web", "web-fork"], ALL()).await;
    push_topic(&forge, "web-fork", &both).await;
    let body = json!({"title": "T", "head": "topic", "head_repo": "web-fork", "base": "main"});
    let open = |token: &str| forge.post("/repos/acme/web/pulls", body.clone()).bearer(token).send();
    let one = forge.mint(&["web"], ALL()).await;
    assert_eq!(open(&one).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let reply = open(&both).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text);
    assert_eq!(reply.body["head"]["repo"]["full_name"], "acme/web-fork");
    let merge = forge.get("/repos/acme/web/pulls/1/merge").method("PUT").bearer(&one).send().await;
    assert_eq!(merge.body["merged"], true, "{}", merge.text);
    let body = json!({"title": "T", "head": "main", "head_repo": "api", "base": "main"});
    let wide = forge.mint(&["web", "api"], ALL()).await;
    let reply = forge.post("/repos/acme/web/pulls", body).bearer(&wide).send().await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "no fork of it");
}

#[tokio::test]
async fn what_cannot_be_a_pull_request_is_refused() {
    let forge = start().await;
    let token = forge.mint(&["web"], ALL()).await;
    for (body, text) in [
        (json!({"head": "main", "base": "main"}), "title"),
        (json!({"title": "T", "head": "nope", "base": "main"}), "head"),
        (json!({"title": "T", "head": "main", "base": "nope"}), "base"),
        (json!({"title": "T", "head": "main", "base": "main"}), "No commits between main and main"),
    ] {
        let reply = forge.post("/repos/acme/web/pulls", body).bearer(&token).send().await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", reply.text);
        assert_eq!(reply.message(), "Validation Failed");
        assert!(reply.text.contains(text), "{}", reply.text);
    }
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let forge = start().await;
    let token = forge.mint(&["web"], json!({"contents": "read"})).await;
    for (method, path, accepted) in [
        ("GET", "/repos/acme/web/issues", "issues=read"),
        ("POST", "/repos/acme/web/pulls", "pull_requests=write"),
        ("GET", "/repos/acme/web/actions/runs", "actions=read"),
        ("DELETE", "/repos/acme/web/git/refs/heads/main", "contents=write"),
        ("POST", "/repos/acme/web/statuses/main", "statuses=write"),
    ] {
        let reply = forge.post(path, json!({})).method(method).bearer(&token).send().await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(reply.message(), "Resource not accessible by integration", "{path}");
        assert_eq!(reply.header("x-accepted-github-permissions"), accepted, "{path}");
    }
}

#[tokio::test]
async fn contents_and_refs() {
    let forge = start().await;
    let token = forge.mint(&["web"], json!({"contents": "write"})).await;
    push_topic(&forge, "web", &token).await;
    let get = |path: &str| forge.get(path).bearer(&token).send();
    let readme = get("/repos/acme/web/contents/README.md").await;
    assert_eq!(readme.body["content"], "IyB3ZWIK");
    let root = get("/repos/acme/web/contents/?ref=topic").await;
    assert_eq!(root.body.as_array().map(Vec::len), Some(2), "{}", root.text);
    assert_eq!(get("/repos/acme/web/contents/none").await.status, StatusCode::NOT_FOUND);
    let commits = get("/repos/acme/web/commits?sha=topic&per_page=1").await;
    assert_eq!(commits.body[0]["commit"]["message"], "Change");
    let branches = get("/repos/acme/web/branches").await;
    assert_eq!(branches.body[1]["name"], "topic");
    let path = "/repos/acme/web/git/refs/heads/topic";
    let gone = forge.get(path).method("DELETE").bearer(&token).send().await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(get("/repos/acme/web/branches/topic").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn graphql_refuses_what_github_has_not() {
    let forge = start().await;
    let token = forge.mint(&["web"], json!({"contents": "read"})).await;
    let ask = |query: &str| forge.post("/graphql", json!({"query": query})).bearer(&token).send();
    let reply = ask("{ repository(owner: \"acme\", name: \"web\") { nope } }").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(
        reply.body["errors"][0]["message"],
        "Field 'nope' doesn't exist on type 'Repository'"
    );
    let reply =
        ask("{ a: repository(owner: \"acme\", name: \"api\") { id } viewer { login } }").await;
    assert_eq!(reply.body["errors"][0]["type"], "NOT_FOUND");
    assert_eq!(reply.body["errors"][0]["path"], json!(["a"]));
    assert_eq!(reply.body["data"]["viewer"]["login"], "hatchery[bot]");
    let issues =
        "{ repository(owner: \"acme\", name: \"web\") { issues(first: 1) { totalCount } } }";
    assert_eq!(ask(issues).await.body["errors"][0]["type"], "FORBIDDEN");
    let reply = forge.post("/graphql", json!({"query": "{ viewer { login } }"})).send().await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
}
