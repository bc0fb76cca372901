//! The real gh works in a drone without a login, and shows no token.

use hatchery_tests::{Repo, World};
use serde_json::json;

#[test]
fn a_pull_request_goes_from_create_to_merge() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("gh").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    drone.sh("git checkout -q -b feature; echo 1 >>README.md; git commit -qam One; git push -q -u origin feature").ok();
    let created = drone.sh("gh pr create --title 'A change' --body 'What and why'");
    let url = created.ok().to_owned();
    assert!(url.ends_with(&format!("{}/pull/1", repo.name())), "{}", created.report());
    let listed = drone.sh("gh pr list --json number,title --jq '.[] | \"\\(.number) \\(.title)\"'");
    assert_eq!(listed.ok(), "1 A change");
    assert!(drone.sh("gh pr view 1").ok().contains("What and why"));
    let check = json!({"commit": "feature", "name": "build", "conclusion": "success"});
    let path = format!("/repositories/{}/checks", repo.name());
    world.forge.admin("POST", &path, &check);
    assert!(drone.sh("gh pr checks 1").ok().contains("build"));
    drone.sh("gh pr merge 1 --merge").ok();
    assert_eq!(repo.git(&["show", "main:README.md"]).ok(), "# Web\n1");
}

#[test]
fn a_failed_run_shows_its_log() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("gh-run").on_dev_image().create(&world);
    let steps =
        json!([{"name": "compile", "conclusion": "failure", "log": "error: it does not compile"}]);
    let run = json!({
        "workflow": "ci", "branch": "main", "conclusion": "failure",
        "jobs": [{"name": "build", "steps": steps}],
    });
    let path = format!("/repositories/{}/runs", repo.name());
    let id = world.forge.admin("POST", &path, &run)["id"].to_string();
    let drone = agent.spawn(&repo);
    assert!(drone.sh("gh run list").ok().contains("ci"));
    let log = drone.sh(&format!("gh run view {id} --log-failed"));
    assert!(log.ok().contains("it does not compile"), "{}", log.report());
}

#[test]
fn gh_works_in_hooks_and_without_a_login_shell() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("gh-hook")
        .on_dev_image_with(
            json!({"postCreateCommand": "gh repo view --json name --jq .name >/tmp/seen"}),
        )
        .create(&world);
    let drone = agent.spawn(&repo);
    assert_eq!(drone.sh("cat /tmp/seen").ok(), "web");
    assert_eq!(drone.exec(&["gh", "repo", "view", "--json", "name", "--jq", ".name"]).ok(), "web");
    let elsewhere = format!("cd / && gh repo view {} --json name --jq .name", repo.name());
    assert_eq!(drone.sh(&elsewhere).ok(), "web");
}

#[test]
fn no_command_shows_or_stores_a_token() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("gh-auth").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let status = drone.sh("gh auth status 2>&1");
    assert!(!status.ok().contains("ghs_"), "{}", status.report());
    for refused in ["login", "logout", "refresh", "setup-git"] {
        let run = drone.sh(&format!("gh auth {refused} </dev/null"));
        assert_ne!(run.code, 0, "gh auth {refused}");
        run.complains("hint:");
    }
    let left = drone.sh("grep -rls ghs_ ~ /etc /tmp 2>/dev/null || true");
    assert_eq!(left.ok(), "", "files with a token");
    assert_eq!(drone.sh("env | grep -c ghs_ || true").ok(), "0");
    assert_eq!(
        drone.sh("git config --global --list 2>/dev/null | grep -c helper || true").ok(),
        "0"
    );
}

#[test]
fn exit_codes_and_input_pass_through() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("gh-pass").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    drone.sh("printf 'It is broken' | gh issue create --title Broken --body-file -").ok();
    assert!(drone.sh("gh issue list").ok().contains("Broken"));
    assert_eq!(drone.sh("gh pr view 99").code, 1);
    assert_eq!(drone.sh("gh api repos/{owner}/{repo} --jq .full_name").ok(), repo.name());
}

#[test]
fn a_pull_request_spans_two_granted_repositories_of_one_installation() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("gh-two").on_dev_image().create(&world);
    let fork = Repo::describe("gh-two").beside(&repo).named("fork").fork_of(&repo).create(&world);
    let drone = agent.spawn(&repo);
    let push = format!(
        "git remote add fork {url}; git checkout -q -b fix; echo 1 >>README.md; git commit -qam Fix",
        url = fork.url()
    );
    drone.sh(&push).ok();
    let refused = drone.sh("git push -q -u fork fix");
    assert_ne!(refused.code, 0, "the fork is not granted yet");
    let line = format!("hatchery repo connect {} {}", drone.name(), fork.name());
    refused.complains(&line);
    agent.hatchery(&["repo", "connect", drone.name(), &fork.name()]).ok();
    drone.sh("git push -q -u fork fix").ok();
    // No version of gh can name a fork of the base's owner as the head, and GitHub refuses what it
    // sends instead. What it can do is said before it runs.
    let create = format!("gh pr create --repo {} --title 'From a fork' --body x", repo.name());
    let refused = drone.sh(&create);
    assert_ne!(refused.code, 0, "{}", refused.report());
    let api = format!("gh api repos/{}/pulls -f head_repo={}", repo.name(), fork.name());
    refused.complains("Head ref must be a branch").complains(&api);
    let text = "-f head=fix -f base=main -f title='From a fork' -f body=x";
    assert_eq!(drone.sh(&format!("{api} {text} --jq .number")).ok(), "1");
    let query = "--json isCrossRepository,headRefName --jq '.isCrossRepository, .headRefName'";
    assert_eq!(drone.sh(&format!("gh pr view 1 {query}")).ok(), "true\nfix");
    drone.sh("gh pr merge 1 --merge").ok();
    assert_eq!(repo.git(&["show", "main:README.md"]).ok(), "# Web\n1");
    let both = [repo.name(), fork.name()];
    let spans = agent.audit().into_iter().any(|line| {
        let opens = line["repository"].as_str().unwrap_or_default().split(',');
        line["event"] == "token"
            && opens.filter(|name| both.iter().any(|it| it == name)).count() == 2
    });
    assert!(spans, "no token for both in {:#?}", agent.audit());
}

#[test]
fn a_pull_request_across_two_installations_says_that_no_token_spans_them() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("gh-base").on_dev_image().create(&world);
    let fork = Repo::describe("gh-fork").fork_of(&repo).create(&world);
    let drone = agent.spawn(&repo);
    agent.hatchery(&["repo", "connect", drone.name(), &fork.name()]).ok();
    let push = format!(
        "git remote add fork {}; git checkout -q -b fix; echo 1 >>README.md; git commit -qam Fix; \
         git push -q -u fork fix",
        fork.url()
    );
    drone.sh(&push).ok();
    let created = drone.sh(&format!(
        "gh pr create --repo {} --head {}:fix --title x --body x",
        repo.name(),
        fork.owner()
    ));
    assert_ne!(created.code, 0);
    created.complains("no token spans two installations").complains("hint:");
}
