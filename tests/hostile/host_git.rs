//! The host runs nothing that a drone's tree tells git to run.

use hatchery_tests::{Repo, Run, World, bed};

#[test]
fn git_settings_of_the_tree_do_not_run_on_the_host() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("fsmonitor").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    let mark = format!("/tmp/hatchery-ran-{}", drone.name());
    drone
        .sh(&format!(
            "printf '#!/bin/sh\\ntouch {mark}\\n' >/workspaces/trap.sh; chmod +x /workspaces/trap.sh; \
             git config core.fsmonitor /workspaces/trap.sh; \
             git config core.sshCommand /workspaces/trap.sh; \
             git config core.hooksPath /workspaces; \
             git config filter.x.clean /workspaces/trap.sh; mkdir -p .git/info; echo '* filter=x' >.git/info/attributes; \
             rm -f {mark}"
        ))
        .ok();
    agent.hatchery(&["burrow", drone.name()]).ok();
    drone.slay(&[]);
    assert!(!std::path::Path::new(&mark).exists(), "the tree's program ran on the host");
}

#[test]
fn a_repositorys_own_settings_and_hooks_do_not_run_while_it_is_cloned() {
    let world = World::shared();
    let agent = world.agent();
    let mark = format!("/tmp/hatchery-cloned-{}", std::process::id());
    let trap = format!("#!/bin/sh\ntouch {mark}\n");
    let repo = Repo::describe("clonetrap")
        .program(".githooks/post-checkout", &trap)
        .file(".gitattributes", "* filter=trap\n")
        .file(".gitconfig", "[filter \"trap\"]\n\tsmudge = .githooks/post-checkout\n")
        .file(".lfsconfig", "[lfs]\n\turl = https://elsewhere.test/lfs\n")
        .on_dev_image()
        .create(&world);
    let _drone = agent.spawn(&repo);
    assert!(!std::path::Path::new(&mark).exists(), "something of the repository ran on the host");
}

/// Makes the build context a git repository of its own, as committed files can: a directory with
/// HEAD, objects and refs is one. git fetches a commit that is missing from where its settings say.
const CONTEXT_IS_A_REPOSITORY: &str = r#"
git init -q -b main .
git init -q --bare -b main .devcontainer
cd .devcontainer
rm -rf hooks info branches description
git --git-dir . hash-object -t tree -w /dev/null
echo 1111111111111111111111111111111111111111 >refs/heads/main
cat >config <<'CONFIG'
[core]
	repositoryformatversion = 1
	bare = false
	worktree = .
[extensions]
	partialClone = origin
[remote "origin"]
	promisor = true
	url = ext::./trap.sh
[protocol "ext"]
	allow = always
CONFIG
printf '#!/bin/sh\ntouch %s\n' "$MARK" >trap.sh
chmod +x trap.sh
printf 'FROM %s\nRUN true\n' "$IMAGE" >Dockerfile
printf '{"build": {"dockerfile": "Dockerfile"}}' >devcontainer.json
cd ..
git add -A .
git -c user.name=a -c user.email=a@b commit -qm First
"#;

#[test]
fn a_build_context_that_is_a_git_repository_runs_nothing_on_the_host() {
    let world = World::shared();
    let agent = world.agent();
    let scratch = tempfile::tempdir().expect("a directory");
    let mark = format!("/tmp/hatchery-built-{}", std::process::id());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-euc", CONTEXT_IS_A_REPOSITORY]).current_dir(scratch.path());
    shell.env("MARK", &mark).env("IMAGE", bed::setting("HATCHERY_TEST_IMAGE_DEV"));
    Run::of(&mut shell).ok();
    // The trap works: git runs it there.
    let context = scratch.path().join(".devcontainer");
    Run::of(
        std::process::Command::new("git")
            .args(["show", "--quiet", "HEAD", "--"])
            .current_dir(context),
    );
    assert!(std::fs::remove_file(&mark).is_ok(), "the trap does not work");
    let repo = Repo::describe("contextrepo").from_directory(scratch.path()).create(&world);
    let _drone = agent.spawn(&repo);
    assert!(!std::path::Path::new(&mark).exists(), "the tree's program ran on the host");
}
