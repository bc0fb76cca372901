//! git works in a drone, for whoever runs it and wherever: no login, no key, an author.

use hatchery_tests::{Repo, World, bed, forge};
use serde_json::json;

const HOOK: &str = "#!/bin/sh\nset -eu\ngit checkout -q -b from-hook\nid -un >hook.txt\n\
                    git add hook.txt\ngit commit -qm 'From a hook'\ngit push -q origin from-hook\n\
                    git checkout -q main\n";

#[test]
fn clone_commit_push_and_fetch_work_for_the_remote_user() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("git").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let commit = drone.push_change("README.md", "from exec");
    assert_eq!(repo.tip("main"), commit);
    let author = repo.git(&["log", "-1", "--format=%an <%ae>", "main"]).ok().to_owned();
    assert!(author.starts_with("hatchery[bot] <"), "{author}");
    assert!(
        author.ends_with(&format!("+hatchery[bot]@users.noreply.{}>", forge::HOST)),
        "{author}"
    );
    // A second clone, a subprocess of a subprocess, and every spelling of the address.
    let host = forge::HOST;
    for url in [
        repo.url(),
        format!("{}.git", repo.url()),
        format!("git@{host}:{}.git", repo.name()),
        format!("ssh://git@{host}/{}", repo.name()),
    ] {
        let script = format!(
            "rm -rf /tmp/again; sh -c 'bash -c \"git clone -q {url} /tmp/again\"'; \
             git -C /tmp/again rev-parse HEAD"
        );
        assert_eq!(drone.sh(&script).ok(), commit, "{url}");
    }
    let pushed = drone
        .sh("cd /tmp/again && echo 2 >>README.md && git commit -qam Again && git push -q && \
         cd - >/dev/null && git fetch -q && git rev-parse origin/main");
    assert_eq!(pushed.ok(), repo.tip("main"));
}

#[test]
fn history_is_whole() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("history").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    drone.push_change("README.md", "second");
    drone.slay(&[]).ok();
    let drone = agent.spawn(&repo);
    assert_eq!(drone.sh("git rev-list --count HEAD").ok(), "2");
    assert_eq!(drone.sh("git rev-parse --is-shallow-repository").ok(), "false");
}

#[test]
fn git_is_ready_when_hooks_run() {
    let world = World::shared();
    let agent = world.agent();
    for (label, key) in [("hook-create", "onCreateCommand"), ("hook-post", "postCreateCommand")] {
        let repo = Repo::describe(label)
            .program("hook.sh", HOOK)
            .on_dev_image_with(json!({key: "./hook.sh"}))
            .create(&world);
        let drone = agent.spawn(&repo);
        assert_eq!(repo.git(&["show", "from-hook:hook.txt"]).ok(), "dev", "{key}");
        assert_eq!(drone.sh("git status --porcelain").ok(), "", "{key}");
    }
}

#[test]
fn hooks_have_their_variables_and_run_in_order() {
    let world = World::shared();
    let agent = world.agent();
    let write =
        |name: &str| format!("echo {name} $WHERE $FROM ${{containerWorkspaceFolder}} >>/tmp/order");
    let repo = Repo::describe("hooks")
        .on_dev_image_with(json!({
            "containerEnv": {"WHERE": "${containerWorkspaceFolderBasename}"},
            "remoteEnv": {"FROM": "${containerEnv:WHERE}-remote"},
            "onCreateCommand": write("create"),
            "updateContentCommand": write("update"),
            "postCreateCommand": write("post"),
            "postStartCommand": {"one": write("start")},
        }))
        .create(&world);
    let drone = agent.spawn(&repo);
    let line = |name: &str| format!("{name} web web-remote {}", repo.workspace());
    let order = ["create", "update", "post", "start"].map(line).join("\n");
    assert_eq!(drone.sh("cat /tmp/order").ok(), order);
    assert_eq!(drone.sh("echo $WHERE $FROM").ok(), "web web-remote");
}

#[test]
fn a_granted_submodule_is_there_and_another_is_a_notice() {
    let world = World::shared();
    let agent = world.agent();
    let part = Repo::describe("module").named("part").on_dev_image().create(&world);
    let scratch = tempfile::tempdir().expect("a directory");
    let setup = format!(
        "git init -q -b main . && mkdir .devcontainer && \
         printf '{{\"image\": \"{image}\"}}' >.devcontainer/devcontainer.json && \
         printf '[submodule \"part\"]\\n\\tpath = part\\n\\turl = {url}\\n' >.gitmodules && \
         git add . && git update-index --add --cacheinfo 160000,{tip},part && \
         git -c user.name=a -c user.email=a@b commit -qm First",
        image = bed::setting("HATCHERY_TEST_IMAGE_DEV"),
        url = part.url(),
        tip = part.tip("main"),
    );
    let mut shell = std::process::Command::new("sh");
    hatchery_tests::Run::of(shell.args(["-euc", &setup]).current_dir(scratch.path())).ok();
    let whole =
        Repo::describe("module").beside(&part).from_directory(scratch.path()).create(&world);
    let run = agent.hatchery(&["spawn", &whole.name()]);
    let drone = agent.drone(run.ok());
    let connect = format!("hatchery repo connect {} {}", whole.drone(), part.name());
    run.complains("notice:").complains(&connect);
    agent.hatchery(&["repo", "connect", drone.name(), &part.name()]).ok();
    drone.sh("git submodule update --init --recursive").ok();
    assert_eq!(drone.sh("cat part/README.md").ok(), "# Web");
    assert_eq!(drone.sh("git status --porcelain --ignore-submodules=all").ok(), "");
}

#[test]
fn large_files_are_fetched_and_pushed() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("lfs").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let stored =
        drone.sh("git lfs track '*.bin' >/dev/null; head -c 100000 /dev/urandom >big.bin; \
         git add .gitattributes big.bin; git commit -qm Big; git push -q origin HEAD 2>&1; \
         sha256sum <big.bin");
    let sum = stored.ok().lines().last().expect("a sum").to_owned();
    assert!(repo.git(&["show", "main:big.bin"]).ok().starts_with("version https://git-lfs"));
    drone.slay(&[]).ok();
    let drone = agent.spawn(&repo);
    assert_eq!(drone.sh("sha256sum <big.bin").ok(), sum, "a spawn fetches what LFS holds");
    assert_eq!(drone.sh("git status --porcelain").ok(), "");
}
