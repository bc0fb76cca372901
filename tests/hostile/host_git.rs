//! The host runs nothing that a drone's tree tells git to run.

use hatchery_tests::{Repo, World};

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
