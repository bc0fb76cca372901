//! The classic builder leaves things behind that have no name: what is a drone's goes with it, and
//! nothing of anybody else's.

use hatchery_tests::{Inventory, Repo, RepoBuilder, Run, Turn, World, bed, inventory};
use serde_json::json;

/// What an administrator may have on the same engine: an image without a name, a container that
/// failed, and the same from a run of the devcontainer CLI. Removed when dropped.
struct SomebodyElses<'a>(&'a Turn);

const CONTAINER: &str = "somebody-elses";
const FEATURES: &str = "dev_container_feature_content_temp";

impl<'a> SomebodyElses<'a> {
    fn make(world: &'a Turn) -> Self {
        let base = bed::setting("HATCHERY_TEST_IMAGE_BUSYBOX");
        let build = |step: &str, flags: &[&str]| {
            let mut docker = world.bed.command("docker");
            docker.arg("build").args(flags).arg("-");
            Run::with_input(&mut docker, &format!("FROM {base}\n{step}\n")).ok().to_owned()
        };
        build("RUN echo nameless >/it", &[]);
        build("RUN echo features >/it", &["-t", FEATURES]);
        let failed = world.bed.docker(&["run", "--name", CONTAINER, &base, "false"]);
        assert_eq!(failed.code, 1, "{}", failed.report());
        Self(world)
    }
}

impl Drop for SomebodyElses<'_> {
    fn drop(&mut self) {
        let _ = self.0.bed.docker(&["rm", "-f", CONTAINER]);
        let _ = self.0.bed.docker(&["rmi", "-f", FEATURES]);
        let _ = self.0.bed.docker(&["image", "prune", "-f"]);
    }
}

/// A repository whose Dockerfile takes files out of a stage, and then does `step`.
pub(super) fn staged(label: &str, step: &str) -> RepoBuilder {
    let base = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let dockerfile = format!(
        "FROM {base} AS tools\nRUN echo {label} >/tool\nRUN echo 2 >>/tool\n\
         FROM {base}\nCOPY --from=tools /tool /tool\nRUN {step}\n"
    );
    Repo::describe(label)
        .file(".devcontainer/Dockerfile", &dockerfile)
        .devcontainer(&json!({"build": {"dockerfile": "Dockerfile"}, "remoteUser": "dev"}))
}

#[test]
fn the_list_of_images_is_the_one_of_before() {
    let world = World::classic_alone();
    let agent = world.own_agent("");
    let _others = SomebodyElses::make(&world);
    let before = Inventory::of(&agent);
    for described in [Repo::describe("left-image").on_dev_image(), staged("left-stage", "true")] {
        let repo = described.create(&world);
        let drone = agent.spawn(&repo);
        drone.slay(&[]).ok();
        inventory::assert_nothing_left(&agent, &repo);
        inventory::assert_as_before(&before, &agent);
    }
    let failing = staged("left-failed", "echo reason-in-the-log; exit 7").create(&world);
    let run = agent.hatchery(&["spawn", &failing.name()]);
    run.code(9).complains("error:").complains("reason-in-the-log");
    inventory::assert_nothing_left(&agent, &failing);
    inventory::assert_as_before(&before, &agent);
}
