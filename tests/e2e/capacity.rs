//! A full machine takes no further drone, and says which limit it was.

use hatchery_tests::{HostAgent, Repo, World, inventory};

fn refuses(agent: &HostAgent, repo: &Repo, key: &str) {
    let run = agent.hatchery(&["spawn", &repo.name()]);
    run.code(5).complains("Spawn more overlords. Insufficient vespene gas.").complains(key);
    inventory::assert_nothing_left(agent, repo);
}

#[test]
fn running_drones_count_and_burrowed_ones_do_not() {
    let world = World::alone();
    let limits =
        "[limits]\nmax_drones = 1\nfree_memory_floor = \"1MiB\"\nfree_disk_floor = \"1MiB\"";
    let agent = world.own_agent(limits);
    let [one, two] =
        ["full-one", "full-two"].map(|label| Repo::describe(label).on_dev_image().create(&world));
    let first = agent.spawn(&one);
    refuses(&agent, &two, "max_drones");
    agent.hatchery(&["burrow", first.name()]).ok();
    let _second = agent.spawn(&two);
    let run = agent.hatchery(&["unburrow", first.name()]);
    run.code(5).complains("max_drones");
}

#[test]
fn memory_and_disk_have_floors() {
    let world = World::shared();
    for (label, key) in [("floor-m", "free_memory_floor"), ("floor-d", "free_disk_floor")] {
        let agent = world.own_agent(&format!("[limits]\nmax_drones = 0\n{key} = \"4096TiB\""));
        let repo = Repo::describe(label).on_dev_image().create(&world);
        refuses(&agent, &repo, key);
    }
}

#[test]
fn limits_are_as_configured_or_asked_for() {
    let world = World::shared();
    let agent = world.agent();
    let repo = Repo::describe("limits").on_dev_image().create(&world);
    let drone = agent.spawn_with(&repo, &["--memory", "512MiB", "--cpus", "0.5"]);
    let limits = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}";
    assert_eq!(drone.inspect(limits), format!("{} 500000000 4096", 512u64 << 20));
}
