//! The real gh, which takes the forge for an Enterprise host: on port 443, the only one it knows.

use std::{
    path::Path,
    process::Output,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use local_forge::{
    CheckSpec, InstallationChange, JobSpec, LocalForge, RepositorySpec, RunChange, RunSpec, Step,
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Forge, acme, finish, stderr, stdout};

/// A forge at a loopback address of its own, whose name is the address.
async fn start() -> Forge {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    let last = NEXT.fetch_add(1, Ordering::SeqCst);
    let listen = format!("127.{}.{low}.{last}:443", high | 0x80).parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let builder = acme(LocalForge::builder(dir.path()).listen(listen));
    Forge { running: builder.start().await.unwrap(), dir }
}

/// gh with one token, as the drone's wrapper runs it.
async fn gh(forge: &Forge, token: &str, dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new("gh");
    forge.scrub(&mut command, dir);
    let host = forge.addr().ip().to_string();
    command.env("GH_HOST", &host).env("GH_ENTERPRISE_TOKEN", token);
    command.env("GH_CONFIG_DIR", forge.dir.path().join("gh")).env("GH_NO_UPDATE_NOTIFIER", "1");
    command.env("NO_COLOR", "1").env("GH_PROMPT_DISABLED", "1").args(args);
    finish(command).await
}

struct Session {
    forge: Forge,
    token: String,
    clone: std::path::PathBuf,
}

impl Session {
    /// A clone of `acme/web` with a pushed branch `topic` one commit ahead.
    async fn start() -> Self {
        let forge = start().await;
        let permissions = json!({"actions": "write", "checks": "read", "contents": "write",
            "issues": "write", "pull_requests": "write", "statuses": "read"});
        let token = forge.mint(&["web"], permissions).await;
        let clone = forge.clone_of("web", &token).await;
        let session = Self { forge, token, clone };
        session.git(&["switch", "-qc", "topic"]).await;
        session.forge.commit(&session.clone, "topic.txt", "topic\n").await;
        session.git(&["push", "-q", "-u", "origin", "topic"]).await;
        session
    }

    async fn git(&self, args: &[&str]) {
        let output = self.forge.git(&self.clone, Some(&self.token), args).await;
        assert!(output.status.success(), "git {args:?}: {}", stderr(&output));
    }

    async fn run(&self, args: &[&str]) -> Output {
        gh(&self.forge, &self.token, &self.clone, args).await
    }

    /// Standard output of a gh that must succeed.
    async fn gh(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert!(output.status.success(), "gh {args:?}: {}{}", stderr(&output), stdout(&output));
        stdout(&output)
    }

    async fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.gh(args).await).unwrap()
    }

    async fn create(&self) {
        let args = [
            "pr", "create", "--title", "Topic", "--body", "Text", "--base", "main", "--head",
            "topic",
        ];
        let url = self.gh(&args).await;
        assert!(url.trim().ends_with("/acme/web/pull/1"), "{url}");
    }
}

#[tokio::test]
async fn repo_view_and_api() {
    let session = Session::start().await;
    let text = session.gh(&["repo", "view"]).await;
    assert!(text.contains("acme/web") && text.contains("# web"), "{text}");
    let fields = "name,owner,defaultBranchRef,isPrivate,viewerPermission,url";
    let repo = session.json(&["repo", "view", "acme/web", "--json", fields]).await;
    assert_eq!(repo["defaultBranchRef"]["name"], "main");
    assert_eq!(repo["viewerPermission"], "WRITE");
    assert_eq!(
        session.gh(&["api", "repos/{owner}/{repo}", "--jq", ".full_name"]).await,
        "acme/web\n"
    );
    let query = "query={viewer{login databaseId}}";
    let login = session.gh(&["api", "graphql", "-f", query, "--jq", ".data.viewer.login"]).await;
    assert_eq!(login, "hatchery[bot]\n");
    let output = session.run(&["repo", "view", "acme/api"]).await;
    assert!(stderr(&output).contains("Could not resolve to a Repository"), "{}", stderr(&output));
    let output = session.run(&["api", "user"]).await;
    assert!(stderr(&output).contains("not accessible by integration"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_pull_request_from_start_to_merge() {
    let session = Session::start().await;
    session.create().await;
    let again =
        session.run(&["pr", "create", "--title", "T", "--body", "", "--head", "topic"]).await;
    assert!(stderr(&again).contains("already exists"), "{}", stderr(&again));
    assert!(session.gh(&["pr", "list"]).await.contains("Topic"));
    assert!(session.gh(&["pr", "list", "--author", "@me"]).await.contains("Topic"));
    assert!(!session.gh(&["pr", "list", "--label", "bug"]).await.contains("Topic"));
    let view = session.gh(&["pr", "view", "1"]).await;
    assert!(view.contains("Topic") && view.contains("OPEN"), "{view}");
    assert!(session.gh(&["pr", "view"]).await.contains("Text"), "found by the branch");
    session.gh(&["pr", "comment", "1", "--body", "A remark"]).await;
    assert!(session.gh(&["pr", "view", "1", "--comments"]).await.contains("A remark"));
    session.gh(&["pr", "review", "1", "--comment", "--body", "Looks fine"]).await;
    let own = session.run(&["pr", "review", "1", "--approve"]).await;
    assert!(stderr(&own).contains("Can not approve your own"), "{}", stderr(&own));
    session.gh(&["pr", "ready", "1", "--undo"]).await;
    assert_eq!(session.json(&["pr", "view", "1", "--json", "isDraft"]).await["isDraft"], true);
    session.gh(&["pr", "ready", "1"]).await;
    session.gh(&["pr", "close", "1"]).await;
    session.gh(&["pr", "reopen", "1"]).await;
    assert!(session.gh(&["pr", "diff", "1"]).await.contains("+topic"));
    session.gh(&["pr", "merge", "1", "--merge"]).await;
    let fields = "state,mergeCommit,commits,files,reviews,comments,mergedBy,additions";
    let pull = session.json(&["pr", "view", "1", "--json", fields]).await;
    assert_eq!(pull["state"], "MERGED");
    assert_eq!(pull["reviews"][0]["state"], "COMMENTED");
    assert_eq!(pull["files"][0]["path"], "topic.txt");
    session.git(&["fetch", "-q"]).await;
    session.git(&["merge-base", "--is-ancestor", "topic", "origin/main"]).await;
}

#[tokio::test]
async fn each_way_to_merge_and_a_conflict() {
    let session = Session::start().await;
    for (number, method) in [("1", "--squash"), ("2", "--rebase")] {
        let branch = format!("branch{number}");
        session.git(&["switch", "-qc", &branch, "origin/main"]).await;
        session.forge.commit(&session.clone, &format!("{number}.txt"), "x\n").await;
        session.forge.commit(&session.clone, &format!("{number}.txt"), "y\n").await;
        session.git(&["push", "-q", "origin", &branch]).await;
        session.gh(&["pr", "create", "--fill", "--head", &branch]).await;
        session.gh(&["pr", "merge", number, method]).await;
    }
    session.git(&["fetch", "-q"]).await;
    let args = ["log", "--format=%s", "origin/main"];
    let log = stdout(&session.forge.git(&session.clone, None, &args).await);
    assert_eq!(log.lines().count(), 1 + 1 + 2, "{log}");
    session.git(&["switch", "-qc", "clash", "topic"]).await;
    session.forge.commit(&session.clone, "1.txt", "z\n").await;
    session.git(&["push", "-q", "origin", "clash"]).await;
    session.gh(&["pr", "create", "--fill", "--head", "clash"]).await;
    let output = session.run(&["pr", "merge", "3", "--merge"]).await;
    assert!(!output.status.success());
    assert!(stderr(&output).contains("not mergeable"), "{}", stderr(&output));
}

fn failed_run() -> RunSpec {
    let step = |name: &str, conclusion: &str, log: &str| Step {
        name: name.into(),
        conclusion: Some(conclusion.into()),
        log: log.into(),
    };
    let job = |name: &str, conclusion: &str| JobSpec {
        name: name.into(),
        status: None,
        conclusion: Some(conclusion.into()),
        steps: vec![step("Build", "success", "compiling\n"), step("Test", conclusion, "1 test\n")],
    };
    RunSpec {
        workflow: "CI".into(),
        branch: "topic".into(),
        status: "completed".into(),
        conclusion: Some("failure".into()),
        event: "push".into(),
        jobs: vec![job("lint", "success"), job("test", "failure")],
    }
}

#[tokio::test]
async fn checks_of_a_pull_request() {
    let session = Session::start().await;
    session.create().await;
    let check = |name: &str, conclusion: &str| CheckSpec {
        commit: "topic".into(),
        name: name.into(),
        status: "completed".into(),
        conclusion: Some(conclusion.into()),
    };
    session.forge.put_check("acme", "web", &check("extern", "success")).await.unwrap();
    assert!(session.gh(&["pr", "checks", "1"]).await.contains("extern\tpass"));
    session.forge.put_run("acme", "web", &failed_run()).await.unwrap();
    let output = session.run(&["pr", "checks", "1"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stdout(&output).contains("test\tfail"), "{}", stdout(&output));
}

#[tokio::test]
async fn runs_are_seen_rerun_and_watched() {
    let session = Session::start().await;
    let id = session.forge.put_run("acme", "web", &failed_run()).await.unwrap();
    let text = id.to_string();
    assert!(session.gh(&["run", "list"]).await.contains("CI"));
    let view = session.gh(&["run", "view", &text]).await;
    assert!(view.contains("test") && view.contains("lint"), "{view}");
    let log = session.gh(&["run", "view", &text, "--log-failed"]).await;
    assert!(log.contains("test\tTest\t") && log.contains("1 test"), "{log}");
    assert!(!log.contains("compiling"), "{log}");
    session.gh(&["run", "rerun", &text, "--failed"]).await;
    let jobs = format!("/repos/acme/web/actions/runs/{id}/jobs");
    let before = session.forge.count("GET", &jobs);
    let finish = async {
        // Once the watch asked for the jobs it has seen the run queued.
        while session.forge.count("GET", &jobs) == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (status, conclusion) = (Some("completed".into()), Some("success".into()));
        let change = RunChange { status, conclusion };
        session.forge.change_run("acme", "web", id, &change).unwrap();
    };
    let watch = ["run", "watch", text.as_str(), "--exit-status", "--interval", "1"];
    let (output, ()) = tokio::join!(session.run(&watch), finish);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

#[tokio::test]
async fn issues_are_created_and_listed() {
    let session = Session::start().await;
    let url = session.gh(&["issue", "create", "--title", "Broken", "--body", "It is"]).await;
    assert!(url.trim().ends_with("/acme/web/issues/1"), "{url}");
    assert!(session.gh(&["issue", "list"]).await.contains("Broken"));
    assert!(session.gh(&["issue", "view", "1"]).await.contains("It is"));
    session.gh(&["issue", "comment", "1", "--body", "Indeed"]).await;
    session.gh(&["issue", "close", "1"]).await;
    assert!(!session.gh(&["issue", "list"]).await.contains("Broken"));
    let label = ["issue", "create", "--title", "L", "--body", "", "--label", "bug"];
    session.gh(&label).await;
    let issues = session.json(&["issue", "list", "--json", "labels,number"]).await;
    assert_eq!(issues[0]["labels"][0]["name"], "bug");
    let found = session.gh(&["issue", "list", "--label", "bug"]).await;
    assert!(found.contains("L\t") && !found.contains("Broken"), "{found}");
}

#[tokio::test]
async fn permissions_bound_what_gh_can_do() {
    let session = Session::start().await;
    session.create().await;
    let weak = session.forge.mint(&["web"], json!({"contents": "read"})).await;
    for args in [
        &["pr", "create", "--title", "T", "--body", "", "--head", "topic", "--base", "main"][..],
        &["pr", "list"],
        &["issue", "create", "--title", "T", "--body", ""],
        &["run", "list"],
    ] {
        let output = gh(&session.forge, &weak, &session.clone, args).await;
        let text = stderr(&output);
        assert!(!output.status.success(), "{args:?}");
        assert!(text.contains("Resource not accessible by integration"), "{args:?}: {text}");
    }
}

/// `acme/web` and its fork `acme/fork`, where branches `one`, `two` and `three` are pushed; a token
/// for both, and the fork's clone.
async fn forked() -> (Forge, String, std::path::PathBuf) {
    let forge = start().await;
    let fork = RepositorySpec {
        owner: "acme".into(),
        name: "fork".into(),
        fork_of: Some("acme/web".into()),
        ..RepositorySpec::default()
    };
    forge.create_repository(&fork).await.unwrap();
    let all = InstallationChange { all: true, ..InstallationChange::default() };
    forge.change_installation(forge.installation(), &all).unwrap();
    let write = json!({"contents": "write", "pull_requests": "write"});
    let token = forge.mint(&["web", "fork", "api"], write).await;
    let clone = forge.clone_of("fork", &token).await;
    for branch in ["one", "two", "three"] {
        let switched = forge.git(&clone, None, &["switch", "-qc", branch]).await;
        assert!(switched.status.success(), "{}", stderr(&switched));
        forge.commit(&clone, branch, "x\n").await;
        let pushed = forge.git(&clone, Some(&token), &["push", "-q", "origin", branch]).await;
        assert!(pushed.status.success(), "{}", stderr(&pushed));
    }
    (forge, token, clone)
}

#[tokio::test]
async fn between_repositories_of_one_owner_the_heads_repository_must_be_named() {
    let (forge, token, clone) = forked().await;
    let repo = format!("{}/acme/web", forge.addr().ip());
    let create = ["pr", "create", "-R", &repo, "--title", "T", "--body", "", "--head", "acme:one"];
    let refused = gh(&forge, &token, &clone, &create).await;
    assert!(stderr(&refused).contains("Head ref must be a branch"), "{}", stderr(&refused));
    for (fields, number) in [
        (&["head=acme:one"][..], None),
        (&["head=one", "head_repo=api"], None),
        (&["head=stranger:one", "head_repo=acme/fork"], None),
        (&["head=one", "head_repo=acme/fork"], Some("1\n")),
        (&["head=acme:two", "head_repo=fork"], Some("2\n")),
    ] {
        let mut args = vec!["api", "repos/acme/web/pulls", "--jq", ".number", "-f", "base=main"];
        args.extend(["-f", "title=T"]);
        fields.iter().for_each(|field| args.extend(["-f", field]));
        let output = gh(&forge, &token, &clone, &args).await;
        let made = output.status.success().then(|| stdout(&output));
        assert_eq!(made.as_deref(), number, "{args:?}: {}", stderr(&output));
    }
}

#[tokio::test]
async fn graphql_names_the_heads_repository_by_its_id() {
    let (forge, token, _) = forked().await;
    let ask = |body: Value| forge.post("/graphql", body).bearer(&token).send();
    let query = "{ web: repository(owner: \"acme\", name: \"web\") { id } \
                 fork: repository(owner: \"acme\", name: \"fork\") { id isFork parent { name } } }";
    let found = ask(json!({"query": query})).await.body["data"].clone();
    assert_eq!(found["fork"]["isFork"], true);
    assert_eq!(found["fork"]["parent"]["name"], "web");
    let mutation = "mutation($input: CreatePullRequestInput!) { createPullRequest(input: $input) \
                    { pullRequest { isCrossRepository headRepository { name } } } }";
    let mut input = json!({"repositoryId": found["web"]["id"], "baseRefName": "main",
        "headRefName": "acme:three", "title": "T"});
    let refused = ask(json!({"query": mutation, "variables": {"input": input}})).await;
    let message = refused.body["errors"][0]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("Head ref must be a branch"), "{}", refused.text);
    input["headRepositoryId"] = found["fork"]["id"].clone();
    let made = ask(json!({"query": mutation, "variables": {"input": input}})).await;
    let pull = json!({"isCrossRepository": true, "headRepository": {"name": "fork"}});
    assert_eq!(made.body["data"]["createPullRequest"]["pullRequest"], pull, "{}", made.text);
}
