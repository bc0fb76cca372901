//! The real git over TLS, as far as each token reaches.

use local_forge::{InstallationChange, Level, RepositoryChange, RepositorySpec};
use serde_json::json;

use crate::support::{permissions, start, stderr, stdout};

#[tokio::test]
async fn a_writing_token_clones_and_pushes() {
    let forge = start().await;
    let token = forge.mint(&["web"], json!({"contents": "write"})).await;
    let clone = forge.clone_of("web", &token).await;
    // Above http.postBuffer, so that git sends it chunked; and gzip on the way up for a fetch.
    let noise: String =
        (0_u64..200_000).map(|n| format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    forge.commit(&clone, "big.txt", &noise).await;
    let output = forge.git(&clone, Some(&token), &["push", "-q", "origin", "main"]).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let head = stdout(&forge.git(&clone, None, &["rev-parse", "HEAD"]).await);
    let there = forge.git_dir("acme", "web").unwrap();
    let tip = stdout(&forge.git(&there, None, &["rev-parse", "refs/heads/main"]).await);
    assert_eq!(head, tip);
}

#[tokio::test]
async fn refusals_read_as_githubs() {
    let forge = start().await;
    let read = forge.mint(&["web"], json!({"contents": "read"})).await;
    let url = |repo: &str| format!("{}/acme/{repo}.git", forge.url());
    let dir = forge.dir.path();
    let output = forge.git(dir, Some(&read), &["ls-remote", &url("api")]).await;
    assert!(stderr(&output).contains("remote: Repository not found."), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(128));
    let clone = forge.clone_of("web", &read).await;
    forge.commit(&clone, "a.txt", "a").await;
    let output = forge.git(&clone, Some(&read), &["push", "origin", "main"]).await;
    let text = stderr(&output);
    assert!(text.contains("remote: Write access to repository not granted."), "{text}");
    assert!(text.contains("403"), "{text}");
    let output = forge.git(dir, Some("ghs_nonsense"), &["ls-remote", &url("web")]).await;
    assert!(stderr(&output).contains("Authentication failed"), "{}", stderr(&output));
    let output = forge.git(dir, None, &["ls-remote", &url("web")]).await;
    assert!(stderr(&output).contains("could not read Username"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_public_repository_is_read_by_all_and_written_by_none() {
    let forge = start().await;
    let url = format!("{}/octo/open", forge.url());
    let dir = forge.dir.path();
    let output = forge.git(dir, None, &["clone", "-q", &url, "open"]).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let clone = dir.join("open");
    forge.commit(&clone, "a.txt", "a").await;
    let output = forge.git(&clone, None, &["push", "origin", "main"]).await;
    assert!(stderr(&output).contains("could not read Username"), "{}", stderr(&output));
    let token = forge.mint(&["web"], json!({"contents": "write"})).await;
    let output = forge.git(&clone, Some(&token), &["push", "origin", "main"]).await;
    assert!(stderr(&output).contains("403"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_revoked_token_neither_fetches_nor_pushes() {
    let forge = start().await;
    let token = forge.mint(&["web"], json!({"contents": "write"})).await;
    let clone = forge.clone_of("web", &token).await;
    forge.get("/installation/token").method("DELETE").bearer(&token).send().await;
    let output = forge.git(&clone, Some(&token), &["fetch", "origin"]).await;
    assert!(stderr(&output).contains("Authentication failed"), "{}", stderr(&output));
}

#[tokio::test]
async fn workflow_files_need_their_own_permission() {
    let forge = start().await;
    let token = forge.mint(&["web"], json!({"contents": "write"})).await;
    let clone = forge.clone_of("web", &token).await;
    forge.commit(&clone, ".github/workflows/README.md", "hello").await;
    // Taken back in the next commit: every pushed commit is looked at.
    std::fs::remove_file(clone.join(".github/workflows/README.md")).unwrap();
    forge.commit(&clone, "other.txt", "x").await;
    let output = forge.git(&clone, Some(&token), &["push", "origin", "main"]).await;
    let text = stderr(&output);
    assert!(!output.status.success());
    let refusal = "refusing to allow a GitHub App to create or update workflow \
        `.github/workflows/README.md` without `workflows` permission";
    assert!(text.contains(&format!("[remote rejected] main -> main ({refusal})")), "{text}");
    let change = InstallationChange {
        permissions: Some(permissions(&[("contents", Level::Write), ("workflows", Level::Write)])),
        ..Default::default()
    };
    forge.change_installation(forge.installation(), &change).unwrap();
    let token = forge.mint(&["web"], json!({"contents": "write", "workflows": "write"})).await;
    let output = forge.git(&clone, Some(&token), &["push", "origin", "main"]).await;
    assert!(output.status.success(), "{}", stderr(&output));
}

#[tokio::test]
async fn a_renamed_repository_is_found_by_its_old_name() {
    let forge = start().await;
    let token = forge.mint(&["web"], json!({"contents": "write"})).await;
    let clone = forge.clone_of("web", &token).await;
    let change = RepositoryChange { name: Some("site".into()), ..Default::default() };
    forge.change_repository("acme", "web", &change).unwrap();
    forge.commit(&clone, "a.txt", "a").await;
    for args in [&["fetch", "origin"][..], &["push", "origin", "main"]] {
        let output = forge.git(&clone, Some(&token), args).await;
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        let told = stderr(&output).contains("This repository moved. Please use the new location");
        assert_eq!(told, args[0] == "push", "{}", stderr(&output));
    }
    let change = RepositoryChange { name: Some("shut".into()), ..Default::default() };
    forge.change_repository("octo", "open", &change).unwrap();
    let url = format!("{}/octo/open", forge.url());
    let output = forge.git(forge.dir.path(), None, &["ls-remote", &url]).await;
    assert!(stderr(&output).contains("redirecting to"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_directory_seeds_a_repository() {
    let forge = start().await;
    let source = tempfile::tempdir().unwrap();
    std::fs::create_dir(source.path().join("sub")).unwrap();
    std::fs::write(source.path().join("sub/a.txt"), "a\n").unwrap();
    let spec = RepositorySpec {
        owner: "acme".into(),
        name: "seeded".into(),
        directory: Some(source.path().to_owned()),
        ..Default::default()
    };
    forge.create_repository(&spec).await.unwrap();
    let dir = forge.git_dir("acme", "seeded").unwrap();
    let output = forge.git(&dir, None, &["show", "main:sub/a.txt"]).await;
    assert_eq!(stdout(&output), "a\n");
    let git = forge.git(source.path(), None, &["init", "-q", "-b", "trunk"]).await;
    assert!(git.status.success());
    forge.commit(source.path(), "b.txt", "b\n").await;
    let spec = RepositorySpec { name: "imported".into(), ..spec };
    forge.create_repository(&spec).await.unwrap();
    let dir = forge.git_dir("acme", "imported").unwrap();
    let output = forge.git(&dir, None, &["show", "HEAD:b.txt"]).await;
    assert_eq!(stdout(&output), "b\n");
}

#[tokio::test]
async fn lfs_objects_and_submodules_come_along() {
    let forge = start().await;
    let token = forge.mint(&["web", "api"], json!({"contents": "write"})).await;
    let clone = forge.clone_of("web", &token).await;
    let run = async |args: &[&str]| {
        let output = forge.git(&clone, Some(&token), args).await;
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    };
    run(&["lfs", "install", "--local"]).await;
    run(&["lfs", "track", "*.bin"]).await;
    run(&["submodule", "--quiet", "add", "../api.git", "api"]).await;
    forge.commit(&clone, "data.bin", "large\n").await;
    run(&["push", "-q", "origin", "main"]).await;
    let other = forge.dir.path().join("other");
    let text = other.display().to_string();
    let url = format!("{}/acme/web.git", forge.url());
    let args = ["clone", "-q", "--recurse-submodules", &url, &text];
    let output = forge.git(forge.dir.path(), Some(&token), &args).await;
    assert!(output.status.success(), "{}", stderr(&output));
    for args in [&["lfs", "install", "--local"][..], &["lfs", "pull"]] {
        let output = forge.git(&other, Some(&token), args).await;
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert_eq!(std::fs::read_to_string(other.join("data.bin")).unwrap(), "large\n");
    assert!(other.join("api/README.md").exists());
}
