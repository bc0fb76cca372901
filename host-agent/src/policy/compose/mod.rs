//! Compose.
use super::build::BuildContext;
use super::ledger::{Ledger, Place};
use super::node::Node;
use super::plan::{Compose, Reference, Workspace};

/// What devcontainer.json says about Compose.
pub struct Asked<'a> {
    /// `dockerComposeFile`.
    pub files: &'a Node,
    /// Where that stands.
    pub place: &'a Place,
    /// `service`.
    pub service: Option<(&'a Node, &'a Place)>,
    /// `runServices`.
    pub run_services: Option<&'a Node>,
    /// `workspaceFolder`.
    pub folder: Option<(&'a str, &'a Place)>,
    /// The same, or where it would be.
    pub workspace_folder: &'a str,
}

/// What is left.
pub struct Judged {
    /// For the plan.
    pub compose: Compose,
    /// For the plan.
    pub workspace: Workspace,
    /// For the plan.
    pub references: Vec<Reference>,
    /// For the plan.
    pub volumes: Vec<String>,
}

/// Judges.
pub fn judge_compose(
    asked: &Asked<'_>,
    scope: BuildContext<'_>,
    ledger: &mut Ledger<'_>,
) -> Option<Judged> {
    let _ = (
        asked.files,
        asked.service,
        asked.run_services,
        asked.folder,
        asked.workspace_folder,
        scope.folder,
    );
    ledger.refuse_whole(asked.place, "Compose");
    None
}
