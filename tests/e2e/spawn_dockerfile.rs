//! A repository with a Dockerfile is built from its own checkout.

use hatchery_tests::{Repo, World, bed, inventory};
use serde_json::json;

#[test]
fn a_repository_with_a_dockerfile_is_built_from_its_checkout() {
    let world = World::shared();
    let agent = world.agent();
    let dockerfile = "ARG BASE\nFROM ${BASE}\nARG GREETING\nCOPY greeting.txt /opt/greeting\n\
                      RUN echo \"$GREETING\" >>/opt/greeting\n";
    let repo = Repo::describe("dockerfile")
        .file("greeting.txt", "from the checkout\n")
        .file(".devcontainer/Dockerfile", dockerfile)
        .devcontainer(&json!({
            "build": {
                "dockerfile": "Dockerfile",
                "context": "..",
                "args": {"BASE": bed::setting("HATCHERY_TEST_IMAGE_DEV"), "GREETING": "from an argument"},
            },
            "remoteUser": "dev",
        }))
        .create(&world);
    let drone = agent.spawn(&repo);
    assert_eq!(drone.sh("cat /opt/greeting").ok(), "from the checkout\nfrom an argument");
    assert_eq!(drone.sh("git status --porcelain").ok(), "", "spawning changes no file");
    assert_eq!(drone.sh("drone-agent identity").code, 0);
    drone.slay(&[]).ok();
    inventory::assert_nothing_left(agent, &repo);
}

#[test]
fn comments_trailing_commas_and_other_places_are_as_the_specification_has_them() {
    let world = World::shared();
    let agent = world.agent();
    let image = bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let config = format!(
        "\u{feff}// for people\n{{\n  /* an image */ \"image\": \"{image}\",\n  \
         \"containerEnv\": {{ \"JSONC\": \"yes\", }},\n}}\n"
    );
    for place in [".devcontainer.json", ".devcontainer/nested/devcontainer.json"] {
        let label = if place.contains('/') { "jsonc-nested" } else { "jsonc-root" };
        let repo = Repo::describe(label).file(place, &config).create(&world);
        let drone = agent.spawn(&repo);
        assert_eq!(drone.sh("echo $JSONC").ok(), "yes", "{place}");
    }
}
