//! Slay loses no work unasked, and leaves nothing.

use hatchery_tests::{Inventory, Repo, RepoBuilder, World, bed, inventory};
use serde_json::json;

/// A drone of each form, the Compose one with a neighbour; all of them built.
fn forms() -> [RepoBuilder; 2] {
    let base = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let built = |label: &str| {
        let text = format!(
            "FROM {base} AS tools\nRUN echo tool >/tool\nFROM {base}\n\
                            COPY --from=tools /tool /tool\nRUN echo {label} >/{label}\n"
        );
        Repo::describe(label).file(".devcontainer/Dockerfile", &text)
    };
    let own = built("slay").devcontainer(&json!({
        "build": {"dockerfile": "Dockerfile"},
        "mounts": ["type=volume,source=cache,target=/cache"],
        "remoteUser": "dev",
    }));
    let service =
        |volumes: &[&str]| json!({"build": ".", "command": "sleep infinity", "volumes": volumes});
    let services = json!({
        "app": service(&["..:/workspaces/web"]), "db": service(&["data:/data", "/anonymous"]),
    });
    let compose = json!({"services": services, "volumes": {"data": {}}});
    let project = built("slay-compose")
        .file(".devcontainer/compose.yaml", &compose.to_string())
        .devcontainer(&json!({
            "dockerComposeFile": "compose.yaml",
            "service": "app",
            "workspaceFolder": "/workspaces/web",
            "remoteUser": "dev",
        }));
    [own, project]
}

#[test]
fn nothing_is_left_of_a_drone() {
    let world = World::alone();
    let agent = world.own_agent("");
    let warm = Repo::describe("slay-warm").on_dev_image().create(&world);
    agent.spawn(&warm).slay(&[]).ok();
    let before = Inventory::of(&agent);
    for form in forms() {
        let repo = form.create(&world);
        let drone = agent.spawn(&repo);
        drone.push_change("README.md", "used");
        assert!(Inventory::of(&agent).mentions(&repo.drone()));
        assert_ne!(repo.tokens(), 0);
        drone.slay(&[]).ok();
        inventory::assert_nothing_left(&agent, &repo);
        inventory::assert_as_before(&before, &agent);
    }
}

#[test]
fn unsaved_work_is_listed_and_not_lost() {
    let world = World::shared();
    let agent = world.agent();
    let cases = [
        ("untracked", "echo 1 >new.txt", "new.txt", "rm new.txt"),
        ("modified", "echo 1 >>README.md", "README.md", "git checkout -q ."),
        ("stash", "echo 1 >>README.md; git stash -q", "stash@{0}", "git stash drop -q"),
        (
            "commit",
            "echo 1 >>README.md; git commit -qam 'Nowhere else'",
            "Nowhere else",
            "git push -q",
        ),
        (
            "branch",
            "git checkout -q -b side; echo 1 >>README.md; git commit -qam 'On a side'; \
             git checkout -q main",
            "On a side",
            "git push -q origin side",
        ),
        (
            "worktree",
            "git worktree add -q ../web.worktrees/x -b x; echo 1 >../web.worktrees/x/w.txt",
            "w.txt",
            "rm ../web.worktrees/x/w.txt",
        ),
    ];
    let repo = Repo::describe("unsaved").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    for (case, work, shown, undo) in cases {
        drone.sh(work).ok();
        let refused = agent.hatchery(&["slay", drone.name()]);
        refused.code(7).complains(shown).complains("--force");
        assert_eq!(agent.state(drone.name()).as_deref(), Some("running"), "{case}");
        drone.sh(undo).ok();
    }
    drone.slay(&[]).ok();
    inventory::assert_nothing_left(agent, &repo);
}

#[test]
fn work_in_a_burrowed_drone_is_seen_and_force_goes_on() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("asleep").on_dev_image().create(&world);
    let drone = agent.spawn(&repo);
    drone.sh("echo 1 >draft.txt").ok();
    agent.hatchery(&["burrow", drone.name()]).ok();
    agent.hatchery(&["slay", drone.name()]).code(7).complains("draft.txt");
    drone.slay(&["--force"]).ok();
    inventory::assert_nothing_left(agent, &repo);
}

#[test]
fn slaying_what_is_not_there_says_so() {
    let world = World::shared();
    let run = world.agent().hatchery(&["slay", "nobody/nothing"]);
    run.code(3).complains("Drone not found.").complains("hint:");
}
