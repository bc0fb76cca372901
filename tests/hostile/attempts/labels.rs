//! An image that says it is another drone.

use hatchery_tests::{Repo, bed};
use serde_json::json;

use super::report::Report;
use super::scene::Scene;

const KIND: &str = "an image that says it is another drone";

/// A repository whose image carries the victim's labels.
pub fn spoofer(scene: &Scene<'_>) -> Repo {
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let (victim, foreign) = (scene.victim.name(), scene.foreign.name());
    let seal = scene.victim.inspect("{{index .Config.Labels \"hatchery.seal\"}}");
    let dockerfile = format!(
        "FROM {image}\nLABEL hatchery.managed=true hatchery.drone={victim} hatchery.repo={foreign} \
         hatchery.repo_id={} hatchery.forge=forge.hatchery.test hatchery.seal={seal} \
         hatchery.user=root devcontainer.local_folder=/ com.docker.compose.project=hatchery-{victim}\n\
         ENV HATCHERY_DRONE={victim} HATCHERY_STATE_DIR=/\n",
        scene.foreign.id(),
    );
    Repo::describe("gone")
        .file(".devcontainer/Dockerfile", &dockerfile)
        .devcontainer(&json!({"build": {"dockerfile": "Dockerfile"}}))
        .create(scene.world)
}

/// Spawns it, looks at who it is taken for, and slays it; returns a token that it had.
pub fn attempt(scene: &Scene<'_>, repo: &Repo, report: &mut Report) -> String {
    let drone = scene.agent.spawn(repo);
    let (victim, id) = (scene.victim.name(), scene.victim.container());
    let filter = format!("label=hatchery.drone={victim}");
    let found = scene.world.bed.docker(&["ps", "-aq", "--no-trunc", "--filter", &filter]);
    let seen = |what: bool, told: &str| what.then(|| told.to_owned());
    report.add(KIND, "by the engine's labels", seen(found.ok() != id, found.ok()));
    let project = format!("label=com.docker.compose.project=hatchery-{victim}");
    let found = scene.world.bed.docker(&["ps", "-aq", "--filter", &project]);
    report.add(KIND, "as a service of its project", seen(!found.ok().is_empty(), found.ok()));
    let status = scene.victim.status();
    let moved = status["container_id"] != id.as_str() || status["repo"] != scene.foreign.name();
    report.add(KIND, "by the host agent", seen(moved, &status.to_string()));
    let own = drone.status()["repo"] != repo.name().as_str();
    report.add(KIND, "for its own repository", seen(own, &drone.status().to_string()));
    let ask = "curl -s --unix-socket /run/drone-agent/agent.sock http://localhost/v1/identity";
    let told = drone.root_sh(ask);
    report.add(KIND, "at its socket", seen(told.ok().contains(victim), told.ok()));
    let token = drone.sh("drone-agent token").ok().to_owned();
    drone.slay(&["--force"]).ok();
    let alive = scene.victim.status()["state"] != "running";
    report.add(KIND, "when it is slain", seen(alive, "the victim does not run any more"));
    token
}
