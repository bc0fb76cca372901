//! The ways into pass (a): which configuration counts, and what comes of it.

use std::path::Path;

use serde_json::json;

use super::checkout::Checkout;
use super::finding::{Finding, Review, broken_failure, has_refusal, refusals_as_failure};
use super::jsonc;
use super::ledger::{Ledger, Place};
use super::locate::{NotLocated, locate, open_checkout};
use super::node::{Data, Member, Node};
use super::plan::Plan;
use super::scope::Scope;
use super::text::Pass;
use crate::lifecycle::{Failure, FailureKind};

/// Where `[drone] image` gets its configuration when the repository has none.
const DEFAULT_PATH: &str = ".devcontainer/devcontainer.json";

/// Everything that pass (a) says about a checkout, whether or not a drone could come of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Examined {
    /// The configuration file, relative to the checkout.
    pub config_path: String,
    /// What is left; `None`: nothing to make a drone from.
    pub plan: Option<Plan>,
    /// What was stripped, permitted and refused, in the order of the files.
    pub findings: Vec<Finding>,
    /// What is not as the specification says, a line each.
    pub broken: Vec<String>,
}

impl Examined {
    /// What a spawn goes on with.
    ///
    /// # Errors
    /// `Usage` for what is broken, `Refused` when the refusals leave nothing to make a drone from.
    pub fn into_review(self) -> Result<Review<Plan>, Failure> {
        if let Some(plan) = self.plan {
            return Review::new(plan, self.findings, self.broken);
        }
        if let Some(failure) = refusals_as_failure(&self.findings, false) {
            return Err(failure);
        }
        if !self.broken.is_empty() {
            return Err(broken_failure(self.broken));
        }
        let message = format!("{} names nothing to make a drone from", self.config_path);
        Err(Failure::new(FailureKind::Usage, message))
    }

    /// Whether it is broken and asks for nothing that is refused, which would go first.
    pub fn is_only_broken(&self) -> bool {
        !has_refusal(&self.findings) && (self.plan.is_none() || !self.broken.is_empty())
    }
}

/// Finds the configuration in the checkout at `root`: `.devcontainer/devcontainer.json`,
/// `.devcontainer.json`, then `.devcontainer/<folder>/devcontainer.json`; or the one `chosen`
/// (`--devcontainer`). `None`: the repository has none.
///
/// # Errors
/// `Usage` when several compete or the chosen one is missing, `Refused` when it lies outside.
pub fn find_configuration(root: &Path, chosen: Option<&str>) -> Result<Option<String>, Failure> {
    Ok(locate(&open_checkout(root)?, chosen)?)
}

/// Reads the configuration and everything it names in the checkout at `root`, and plans what is
/// left of it. `is_local` says whether an image reference exists on the engine: those are always
/// allowed. Blocks for reading: call it off the async runtime's workers.
///
/// # Errors
/// `Usage` when the configuration is missing, ambiguous, broken or names no image; `Refused` when
/// nothing but refusals is left of it. Other refusals come from [`Review::accept`].
pub fn check_text(
    root: &Path,
    chosen: Option<&str>,
    scope: &Scope<'_>,
    is_local: &dyn Fn(&str) -> bool,
) -> Result<Review<Plan>, Failure> {
    examine(root, chosen, scope, is_local)?.into_review()
}

/// As [`check_text`], for somebody who wants to see all of it.
///
/// # Errors
/// `Usage` when the configuration is missing, ambiguous, or nothing that could be judged.
pub fn examine(
    root: &Path,
    chosen: Option<&str>,
    scope: &Scope<'_>,
    is_local: &dyn Fn(&str) -> bool,
) -> Result<Examined, Failure> {
    let checkout = open_checkout(root)?;
    let mut ledger = Ledger::new(scope);
    let (config_path, document) = match locate(&checkout, chosen) {
        Ok(Some(path)) => {
            let document = read(&checkout, &path, &mut ledger)?;
            (path, document)
        }
        Ok(None) if scope.default_image.is_empty() => return Err(no_configuration(scope)),
        Ok(None) => (DEFAULT_PATH.to_owned(), Some(Node::from_json(&json!({}), 1))),
        Err(NotLocated::Leaves(path)) => {
            let place = Place { file: path.clone(), line: None, subject: "configuration".into() };
            ledger.refuse_whole(&place, "it leads out of the repository");
            (path, None)
        }
        Err(NotLocated::Usage(failure)) => return Err(failure),
    };
    let plan = match document {
        Some(document) => {
            let document = with_default_image(document, &config_path, scope)?;
            let file = config_path.as_str();
            let pass = Pass { checkout: &checkout, file, document: &document, is_local };
            pass.plan(&mut ledger)
        }
        None => None,
    };
    let (findings, broken) = ledger.close();
    Ok(Examined { config_path, plan, findings, broken })
}

/// The document at `path`; `None`: it was refused, which the ledger knows.
fn read(checkout: &Checkout, path: &str, ledger: &mut Ledger<'_>) -> Result<Option<Node>, Failure> {
    let usage = |message: String| {
        Failure::new(FailureKind::Usage, message)
            .hint("fix it in the repository, push, and try again")
    };
    let text = checkout.read(path).map_err(|error| usage(error.to_string()))?;
    match jsonc::parse(&text) {
        Ok(document) if document.is_map() => Ok(Some(document)),
        Ok(document) => Err(usage(format!("{path}:{}: an object is expected", document.line))),
        Err(flaw) if flaw.ambiguous => {
            ledger.flaw(path, &flaw);
            Ok(None)
        }
        Err(flaw) => Err(usage(format!("{path}:{}: {flaw}", flaw.line))),
    }
}

fn no_configuration(scope: &Scope<'_>) -> Failure {
    Failure::new(FailureKind::Usage, format!("{} has no devcontainer.json", scope.repo))
        .hint("add .devcontainer/devcontainer.json to the repository")
        .hint("or set [drone] image in the configuration, for repositories without one")
}

/// The document with `[drone] image` where it names nothing to make a drone from.
fn with_default_image(document: Node, path: &str, scope: &Scope<'_>) -> Result<Node, Failure> {
    let build = document.value("build").and_then(|build| build.value("dockerfile"));
    let names = ["image", "dockerFile", "dockerComposeFile"];
    if build.is_some() || names.iter().any(|name| document.member(name).is_some()) {
        return Ok(document);
    }
    if scope.default_image.is_empty() {
        let message = format!(
            "{path} is missing one of \"image\", \"build.dockerfile\" and \"dockerComposeFile\""
        );
        return Err(Failure::new(FailureKind::Usage, message)
            .hint("add one, or set [drone] image in the configuration"));
    }
    let image = Node::from_json(&json!(scope.default_image), document.line);
    let mut members = document.members().to_vec();
    members.push(Member { name: "image".to_owned(), line: document.line, value: image });
    Ok(Node { data: Data::Map(members), ..document })
}
