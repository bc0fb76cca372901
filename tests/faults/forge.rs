//! A forge that does not know, does not answer, or does not like us.

use std::time::Duration;

use hatchery_tests::{HostAgent, Inventory, Repo, World, host_agent, inventory, wait_until};
use serde_json::{Value, json};

/// A spawn that fails with this code, says all of this, and leaves nothing.
fn fails(agent: &HostAgent, repo: &Repo, code: i32, says: &[&str]) {
    let run = agent.hatchery(&["spawn", &repo.name()]);
    run.code(code).complains("error:").complains("\nhint: ");
    for text in says {
        run.complains(text);
    }
    inventory::assert_nothing_left(agent, repo);
}

#[test]
fn a_repository_that_the_app_does_not_see_is_not_found() {
    let world = World::shared();
    let agent = world.agent();
    let minerals = "We require more minerals.";
    let run = agent.hatchery(&["spawn", "nobody/nothing"]);
    run.code(3).complains(minerals).complains("nobody/nothing").complains("\nhint: ");
    assert!(!Inventory::of(agent).mentions("nobody-nothing"), "{}", run.report());
    let stranger = Repo::describe("stranger").on_dev_image().permissions(None).create(&world);
    let page = "/apps/hatchery/installations/new/permissions?suggested_target_id=";
    fails(agent, &stranger, 3, &[minerals, &stranger.name(), "install the App", page]);
}

#[test]
fn what_is_no_repository_is_wrong_usage() {
    let world = World::shared();
    let agent = world.agent();
    for text in ["acme", "acme/..", "acme/we%62", "acme/web/more/still", "https://elsewhere.test/a"]
    {
        let run = agent.hatchery(&["spawn", text]);
        run.code(2).complains("error:").complains("\nhint: ");
        assert!(!Inventory::of(agent).mentions("acme-"), "{}", run.report());
    }
    let run = agent.hatchery(&["spawn", "elsewhere.test/acme/web"]);
    run.code(2).complains("elsewhere.test").complains("\nhint: ");
}

#[test]
fn a_suspended_app_says_so() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("suspended").on_dev_image().create(&world);
    let body = json!({
        "account": repo.owner(), "permissions": hatchery_tests::repo::usual_permissions(), "suspended": true,
    });
    world.forge.admin("POST", "/installations", &body);
    fails(agent, &repo, 8, &["suspended"]);
}

#[test]
fn a_forge_in_trouble_is_named_and_forgiven() {
    let world = World::shared();
    let agent = world.agent();
    let cases = [
        ("f-500", json!({"kind": "status", "status": 500})),
        ("f-cut", json!({"kind": "cut"})),
        ("f-slow", json!({"kind": "delay", "milliseconds": 60_000})),
    ];
    for (label, fault) in cases {
        let repo = Repo::describe(label).on_dev_image().create(&world);
        let fault = world.forge.fault(&format!("/repos/{}", repo.name()), &fault);
        fails(agent, &repo, 8, &[hatchery_tests::forge::HOST]);
        drop(fault);
        agent.spawn(&repo);
    }
}

#[test]
fn a_rate_limit_is_kept_without_asking_again() {
    let world = World::shared();
    let cases = [
        ("f-limit", json!({"kind": "rate_limit", "retry_after": 600})),
        ("f-quota", json!({"kind": "rate_limit", "reset_seconds": 600})),
    ];
    for (label, fault) in cases {
        let agent = world.own_agent("");
        let repo = Repo::describe(label).on_dev_image().create(&world);
        let path = format!("/repos/{}", repo.name());
        let fault = world.forge.fault(&path, &fault);
        fails(&agent, &repo, 8, &["limits the rate", "try again"]);
        drop(fault);
        let asked = world.forge.calls(&path).len();
        fails(&agent, &repo, 8, &["limits the rate"]);
        assert_eq!(world.forge.calls(&path).len(), asked, "going on while limited may ban the App");
    }
}

#[test]
fn a_clone_that_the_forge_does_not_serve_is_its_trouble() {
    let world = World::shared();
    let agent = world.agent();
    let cases = [
        ("f-git-500", json!({"kind": "status", "status": 500}), "500"),
        ("f-git-cut", json!({"kind": "cut_after", "bytes": 100}), ""),
        ("f-git-401", json!({"kind": "bad_credentials"}), ""),
    ];
    for (label, fault, says) in cases {
        let repo = Repo::describe(label).on_dev_image().create(&world);
        let fault = world.forge.fault(&format!("/{}", repo.name()), &fault);
        fails(agent, &repo, 8, &[hatchery_tests::forge::HOST, says]);
        drop(fault);
        agent.spawn(&repo);
    }
}

#[test]
fn a_drone_says_why_it_gets_no_token() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("f-no-token").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    drone.sh("echo 1 >>README.md; git commit -qam 'Change README.md'").ok();
    let fault = world.forge.fault(&repo.mint_path(), &json!({"kind": "status", "status": 502}));
    // The one that is cached is refused; from then on another is needed.
    repo.end_tokens();
    drone.sh("git push -q").code(128).complains("Authentication failed");
    let push = drone.sh("git push -q");
    push.code(128).complains(hatchery_tests::forge::HOST).complains("hint: ");
    assert!(!push.stderr.contains("could not read Username"), "{}", push.report());
    drop(fault);
    wait_until("the forge to be asked again", Duration::from_secs(60), || {
        (drone.sh("git push -q").code == 0).then_some(())
    });
    assert_eq!(repo.tip("main"), drone.sh("git rev-parse HEAD").ok());
}

#[test]
fn a_mint_that_fails_once_is_tried_again_and_one_that_never_works_is_reported() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("mint").on_dev_image().create(&world);
    let fault = world.forge.fault(&repo.mint_path(), &json!({"kind": "status", "status": 503}));
    fails(agent, &repo, 8, &[hatchery_tests::forge::HOST]);
    drop(fault);
    agent.spawn(&repo);
}

#[test]
fn a_forge_that_is_down_is_unreachable_and_a_live_token_still_serves() {
    let world = World::shared();
    let api = format!("https://{}:9/api/v3", hatchery_tests::forge::HOST);
    let agent = world.own_agent(&format!("[[forge]]\n{}", host_agent::forge_table(&world, &api)));
    let repo = Repo::describe("down").on_dev_image().create(&world);
    fails(&agent, &repo, 8, &[hatchery_tests::forge::HOST]);
    let up = world.agent();
    let drone = up.spawn(&repo);
    let first = drone.sh("drone-agent token | sha256sum").ok().to_owned();
    let _fault = world.forge.fault(&repo.mint_path(), &json!({"kind": "status", "status": 502}));
    assert_eq!(drone.sh("drone-agent token | sha256sum").ok(), first);
    drone.push_change("README.md", "while it is down");
}

#[test]
fn a_wrong_app_key_is_a_matter_of_configuration() {
    let world = World::shared();
    let table = host_agent::forge_table(&world, "");
    let other = world.other_app_key();
    let wrong = [
        table.replace(
            &world.forge.app_key_file().display().to_string(),
            &other.display().to_string(),
        ),
        table.replace(&world.forge.client_id(), "Iv23liSomebodyElse"),
    ];
    for (label, table) in ["wrong-key", "wrong-id"].into_iter().zip(wrong) {
        let agent = world.own_agent(&format!("[[forge]]\n{table}"));
        let repo = Repo::describe(label).on_dev_image().create(&world);
        fails(&agent, &repo, 8, &["private_key_file"]);
    }
}

#[test]
fn a_clock_that_is_off_is_corrected() {
    let world = World::alone();
    let agent = world.own_agent("");
    for offset in [-600, 600] {
        world.forge.admin("PUT", "/clock", &json!({"offset_seconds": offset}));
        let repo = Repo::describe(&format!("clock{}", offset / 600)).on_dev_image().create(&world);
        let run = agent.hatchery(&["spawn", &repo.name()]);
        world.forge.admin("PUT", "/clock", &json!({"offset_seconds": 0}));
        let drone = agent.drone(run.ok());
        drone.sh("git fetch -q").ok();
    }
}

#[test]
fn a_surplus_in_what_was_minted_is_refused_and_revoked() {
    let world = World::alone();
    let agent = world.own_agent("");
    for kind in ["widen_mint", "widen_permissions"] {
        let permissions =
            json!({"contents": "write", "metadata": "read", "administration": "write"});
        let repo = Repo::describe(&kind.replace('_', "-"))
            .on_dev_image()
            .permissions(Some(permissions))
            .create(&world);
        let fault = world.forge.fault("", &json!({"kind": kind}));
        let run = agent.hatchery(&["spawn", &repo.name()]);
        drop(fault);
        run.code(8).complains("error:").complains("more than").complains("\nhint: ");
        inventory::assert_nothing_left(&agent, &repo);
        let live = world.forge.admin("GET", "/tokens", &Value::Null);
        let installation = repo.installation();
        let of_ours = |token: &&Value| token["installation_id"].as_u64() == Some(installation);
        let left = live["tokens"].as_array().expect("tokens").iter().find(of_ours);
        assert_eq!(left, None, "{kind}: it is revoked");
    }
}
