//! `hatchery policy check` on a machine with an engine: as a spawn would see it, without a host agent.
//! What nobody answers for is left out, and said.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Duration;

use crate::adapters::Machine;
use crate::config::Programs;
use crate::lifecycle::engine::ContainerEngine as _;
use crate::lifecycle::{Failure, features};
use crate::policy::{
    self, Examined, PinnedImage, Pins, Plan, Reference, Scope, refusals_as_failure,
};

/// How long everybody together may take to answer.
const LIMIT: Duration = Duration::from_secs(60);

/// What a check came to.
#[derive(Debug)]
pub struct Checked {
    /// What the policy says.
    pub examined: Examined,
    /// Reference -> digest, or an image's id.
    pub references: BTreeMap<String, String>,
    /// What could not be asked, and why, a sentence each.
    pub unanswered: Vec<String>,
}

/// Examines the checkout at `root` with the engine's images and the registries' features.
///
/// # Errors
/// As [`policy::examine`].
pub async fn examine(
    root: &Path,
    chosen: Option<&str>,
    scope: &Scope<'_>,
    programs: Programs,
) -> Result<Checked, Failure> {
    let mut checked = Checked {
        examined: policy::examine(root, chosen, scope, &|_: &str| false)?,
        references: BTreeMap::new(),
        unanswered: vec![],
    };
    let scratch = match tempfile::tempdir() {
        Ok(scratch) => scratch,
        Err(error) => {
            checked.unanswered.push(format!("without a temporary directory: {error}"));
            return Ok(checked);
        }
    };
    let machine = Machine::apart(programs, scratch.path());
    let asking = ask(&machine, (root, chosen), scope, &mut checked);
    match tokio::time::timeout(LIMIT, asking).await {
        Ok(done) => done?,
        Err(_) => checked.unanswered.push("registries did not answer in time".to_owned()),
    }
    Ok(checked)
}

async fn ask(
    machine: &Machine,
    (root, chosen): (&Path, Option<&str>),
    scope: &Scope<'_>,
    checked: &mut Checked,
) -> Result<(), Failure> {
    match machine.image_names().await {
        Ok(names) => {
            let names: HashSet<String> = names.into_iter().collect();
            let is_local = |reference: &str| policy::is_named(&names, reference);
            checked.examined = policy::examine(root, chosen, scope, &is_local)?;
        }
        Err(error) => checked.unanswered.push(format!("which images there are: {error}")),
    }
    let examined = &mut checked.examined;
    let refused = refusals_as_failure(&examined.findings, true).is_some();
    let Some(plan) = examined.plan.as_ref().filter(|_| examined.broken.is_empty() && !refused)
    else {
        return Ok(());
    };
    let mut pins = Pins { images: images(machine, plan).await, ..Pins::default() };
    let locks = features::locked(&root.join(&plan.config_path)).unwrap_or_default();
    match features::resolve(machine, plan, &locks, scope).await {
        Ok(resolved) => {
            pins.features = resolved.pinned;
            examined.findings.extend(resolved.findings);
        }
        Err(failure) => checked.unanswered.push(format!("what features ask for: {failure}")),
    }
    checked.references = pins.references();
    Ok(())
}

/// What the plan's images are, as far as the engine has them.
async fn images(machine: &Machine, plan: &Plan) -> BTreeMap<String, PinnedImage> {
    let mut images = BTreeMap::new();
    for reference in &plan.references {
        let Reference::Image(name) = reference else { continue };
        if let Ok(Some(image)) = machine.image(name).await {
            let digest = policy::digest_of(name, &image.digests);
            images.insert(name.clone(), PinnedImage { id: image.id, digest });
        }
    }
    images
}
