//! Pass (a): the text alone. Gives each key of the configuration its verdict and plans what is
//! left of it.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::build::{BuildContext, judge_build};
use super::checkout::{Checkout, parent};
use super::compose;
use super::feature::{self, Features};
use super::finding::{Permit, Review};
use super::keys::{self, Rule};
use super::ledger::{Ledger, Place};
use super::locate::{locate, open_checkout};
use super::mount::{MountContext, Wish, judge_mount};
use super::node::{Member, Node};
use super::plan::{Form, Mount, Plan, Reference, Workspace};
use super::reference::judge_image;
use super::run_args::{RunArgs, judge_run_args};
use super::scope::Scope;
use super::variables::Variables;
use super::workspace::{default_clone, plan_workspace};
use super::{jsonc, metadata};
use crate::lifecycle::{Failure, FailureKind};

/// Where `[drone] image` gets its configuration when the repository has none.
const DEFAULT_PATH: &str = ".devcontainer/devcontainer.json";

/// Finds the configuration in the checkout at `root`: `.devcontainer/devcontainer.json`,
/// `.devcontainer.json`, then `.devcontainer/<folder>/devcontainer.json`; or the one `chosen`
/// (`--devcontainer`). `None`: the repository has none.
///
/// # Errors
/// `Usage` when several compete or the chosen one is missing, `Refused` when it lies outside.
pub fn find_configuration(root: &Path, chosen: Option<&str>) -> Result<Option<String>, Failure> {
    locate(&open_checkout(root)?, chosen)
}

/// Reads the configuration and everything it names in the checkout at `root`, and plans what is
/// left of it. `is_local` says whether an image reference exists on the engine: those are always
/// allowed. Blocks for reading: call it off the async runtime's workers.
///
/// # Errors
/// `Usage` when the configuration is missing, ambiguous, broken or names no image; `Refused` when
/// it leads out of the checkout or can be read in two ways. Other refusals come from
/// [`Review::accept`].
pub fn check_text(
    root: &Path,
    chosen: Option<&str>,
    scope: &Scope<'_>,
    is_local: &dyn Fn(&str) -> bool,
) -> Result<Review<Plan>, Failure> {
    let checkout = open_checkout(root)?;
    let found = locate(&checkout, chosen)?;
    let mut ledger = Ledger::new(scope);
    let (path, document) = match found {
        Some(path) => {
            let document = read(&checkout, &path)?;
            (path, document)
        }
        None if scope.default_image.is_empty() => return Err(no_configuration(scope)),
        None => (DEFAULT_PATH.to_owned(), Node::from_json(&json!({}), 1)),
    };
    let document = with_default_image(document, &path, scope)?;
    let pass = Pass { checkout: &checkout, file: &path, document: &document, is_local };
    let plan = pass.plan(&mut ledger);
    let findings = ledger.close()?;
    match plan {
        Some(outcome) => Ok(Review { outcome, findings }),
        None => Err(super::finding::refusals_as_failure(&findings, false).unwrap_or_else(|| {
            Failure::new(FailureKind::Usage, format!("{path} names nothing to make a drone from"))
        })),
    }
}

fn read(checkout: &Checkout, path: &str) -> Result<Node, Failure> {
    let text =
        checkout.read(path).map_err(|error| Failure::new(FailureKind::Usage, error.to_string()))?;
    let document = jsonc::parse(&text).map_err(|flaw| {
        let kind = if flaw.ambiguous { FailureKind::Refused } else { FailureKind::Usage };
        Failure::new(kind, format!("{path}:{}: {flaw}", flaw.line))
            .hint("fix it in the repository, push, and try again")
    })?;
    if document.is_map() {
        return Ok(document);
    }
    let message = format!("{path}:{}: an object is expected", document.line);
    Err(Failure::new(FailureKind::Usage, message)
        .hint("fix it in the repository, push, and try again"))
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
    Ok(Node { data: super::node::Data::Map(members), ..document })
}

struct Pass<'a> {
    checkout: &'a Checkout,
    file: &'a str,
    document: &'a Node,
    is_local: &'a dyn Fn(&str) -> bool,
}

/// What the form of the configuration decides.
struct Formed {
    form: Form,
    workspace: Workspace,
    staged: Map<String, Value>,
    references: Vec<Reference>,
    volumes: Vec<String>,
}

impl Pass<'_> {
    fn plan(&self, ledger: &mut Ledger<'_>) -> Option<Plan> {
        let usual = default_clone(ledger.scope.repo.repo());
        let first = variables(ledger.scope, &usual, &usual);
        let folder = self.text("workspaceFolder", &first);
        // The folder's name is a variable; mounts are judged knowing where it lies.
        let known = folder.as_ref().map_or(usual.as_str(), |(folder, _)| folder.as_str());
        let first = variables(ledger.scope, &usual, known);
        let features = self.features(&first, ledger);
        let formed = self.form(&first, known, ledger)?;
        let workspace = &formed.workspace;
        let variables = variables(ledger.scope, &workspace.clone, &workspace.folder);
        let context = MountContext {
            checkout: Some(self.checkout),
            base: "",
            workspace_folder: &workspace.folder,
            clone_is_root: workspace.clone_is_root,
        };
        let mut staged = formed.staged;
        self.keep(&variables, &mut staged, ledger);
        let mut mounts = self.mounts(&variables, context, ledger);
        let run = self.run_args(&variables, context, &formed.form, ledger);
        mounts.extend(run.mounts);
        staged.extend(features.staged());
        let mut volumes = formed.volumes;
        volumes.extend(mounts.iter().filter_map(Mount::volume_name).map(str::to_owned));
        volumes.sort_unstable();
        volumes.dedup();
        let mut references = formed.references;
        references.extend(features.references);
        references.sort_unstable();
        references.dedup();
        Some(Plan {
            config_path: self.file.to_owned(),
            devcontainer_json: Value::Object(staged),
            form: formed.form,
            workspace: formed.workspace,
            mounts,
            run: run.settings,
            volumes,
            sshd_options: features.sshd_options,
            references,
        })
    }

    fn place(&self, member: &Member) -> Place {
        Place::new(self.file, member.line, member.name.clone())
    }

    /// A text member, substituted.
    fn text(&self, name: &str, variables: &Variables) -> Option<(String, Place)> {
        let member = self.document.member(name)?;
        let text = variables.substitute(member.value.text()?, &mut |_| {});
        Some((text, self.place(member)))
    }

    fn member(&self, name: &str, variables: &Variables) -> Option<(Node, Place)> {
        let member = self.document.member(name)?;
        Some((substituted(&member.value, variables), self.place(member)))
    }

    fn features(&self, variables: &Variables, ledger: &mut Ledger<'_>) -> Features {
        let folder = parent(self.file);
        let mut features = match self.member("features", variables) {
            Some((node, place)) => {
                feature::judge_features(&node, folder, self.checkout, &place, ledger)
            }
            None => Features::default(),
        };
        if let Some((node, place)) = self.member("overrideFeatureInstallOrder", variables) {
            features.order(&node, folder, self.checkout, &place, ledger);
        }
        features
    }

    /// Image, Dockerfile or Compose; where several are named, the reference CLI's choice.
    fn form(&self, variables: &Variables, folder: &str, ledger: &mut Ledger<'_>) -> Option<Formed> {
        let build = self.member("build", variables);
        let modern = build.as_ref().and_then(|(node, place)| {
            let member = node.member("dockerfile")?;
            Some((member.value.clone(), place.clone()))
        });
        let dockerfile = modern.or_else(|| self.member("dockerFile", variables));
        let scope = BuildContext {
            checkout: self.checkout,
            folder: parent(self.file),
            is_local: self.is_local,
        };
        if let Some((dockerfile, place)) = dockerfile {
            self.set_aside(&["image", "dockerComposeFile"], ledger);
            let context = self.member("context", variables).map(|(node, _)| node);
            let build = build.as_ref().map(|(node, _)| node);
            let built = judge_build(&dockerfile, build, context.as_ref(), scope, &place, ledger)?;
            let staged = Map::from_iter([("build".to_owned(), built.staged)]);
            return Some(self.single(built.form, staged, built.references, folder, ledger));
        }
        if let Some((node, place)) = self.member("image", variables) {
            self.set_aside(&["dockerComposeFile"], ledger);
            let Some(reference) = node.text().map(str::to_owned) else {
                ledger.broken(&place, "an image reference is expected");
                return None;
            };
            if !judge_image(&reference, &place, self.is_local, ledger) {
                return None;
            }
            let staged = Map::from_iter([("image".to_owned(), json!(reference))]);
            let references = vec![Reference::Image(reference.clone())];
            let form = Form::Image { reference };
            return Some(self.single(form, staged, references, folder, ledger));
        }
        self.compose(variables, folder, scope, ledger)
    }

    fn set_aside(&self, names: &[&str], ledger: &mut Ledger<'_>) {
        for member in names.iter().filter_map(|name| self.document.member(name)) {
            ledger.strip(&self.place(member), "the configuration names something else to build");
        }
    }

    fn single(
        &self,
        form: Form,
        staged: Map<String, Value>,
        references: Vec<Reference>,
        folder: &str,
        ledger: &mut Ledger<'_>,
    ) -> Formed {
        for name in ["service", "runServices"] {
            if let Some(member) = self.document.member(name) {
                ledger.strip(&self.place(member), "it is for Compose");
            }
        }
        let usual = default_clone(ledger.scope.repo.repo());
        let variables = variables(ledger.scope, &usual, folder);
        let wanted = self.text("workspaceFolder", &variables);
        let mount = self.text("workspaceMount", &variables.for_mounts());
        let context = MountContext {
            checkout: Some(self.checkout),
            base: "",
            workspace_folder: folder,
            clone_is_root: false,
        };
        let workspace = plan_workspace(
            wanted.as_ref().map(|(folder, place)| (folder.as_str(), place)),
            mount.as_ref().map(|(mount, place)| (mount.as_str(), place)),
            context,
            ledger,
        );
        Formed { form, workspace, staged, references, volumes: vec![] }
    }

    fn compose(
        &self,
        variables: &Variables,
        folder: &str,
        scope: BuildContext<'_>,
        ledger: &mut Ledger<'_>,
    ) -> Option<Formed> {
        let (files, place) = self.member("dockerComposeFile", variables)?;
        let service = self.member("service", variables);
        let run_services = self.member("runServices", variables);
        if let Some(member) = self.document.member("workspaceMount") {
            ledger.strip(&self.place(member), "Compose files say what is mounted");
        }
        let wanted = self.text("workspaceFolder", variables);
        let asked = compose::Asked {
            files: &files,
            place: &place,
            service: service.as_ref().map(|(node, place)| (node, place)),
            run_services: run_services.as_ref().map(|(node, _)| node),
            folder: wanted.as_ref().map(|(folder, place)| (folder.as_str(), place)),
            workspace_folder: folder,
        };
        let judged = compose::judge_compose(&asked, scope, ledger)?;
        let mut staged = Map::from_iter([
            ("dockerComposeFile".to_owned(), files.to_json()),
            ("service".to_owned(), json!(judged.compose.service)),
            ("workspaceFolder".to_owned(), json!(judged.workspace.folder)),
        ]);
        if !judged.compose.run_services.is_empty() {
            let names = json!(judged.compose.run_services);
            staged.insert("runServices".to_owned(), names);
        }
        Some(Formed {
            form: Form::Compose(judged.compose),
            workspace: judged.workspace,
            staged,
            references: judged.references,
            volumes: judged.volumes,
        })
    }

    /// Everything that the table keeps, strips or refuses by its name alone, and privileges.
    fn keep(
        &self,
        variables: &Variables,
        staged: &mut Map<String, Value>,
        ledger: &mut Ledger<'_>,
    ) {
        for member in self.document.members() {
            let place = self.place(member);
            match keys::rule(&member.name) {
                Rule::Keep => {
                    let value = substituted(&member.value, variables).to_json();
                    staged.insert(member.name.clone(), value);
                }
                Rule::Strip(reason) => ledger.strip(&place, reason),
                // An empty command asks for nothing.
                Rule::Refuse(_) if member.value.is_null() || member.value.text() == Some("") => {}
                Rule::Refuse(reason) => ledger.refuse(&place, reason),
                Rule::Judge => {
                    if let Some(value) = judge_key(member, &place, variables, ledger) {
                        staged.insert(member.name.clone(), value);
                    }
                }
            }
        }
    }

    fn mounts(
        &self,
        variables: &Variables,
        context: MountContext<'_>,
        ledger: &mut Ledger<'_>,
    ) -> Vec<Mount> {
        let Some((node, place)) = self.member("mounts", &variables.for_mounts()) else {
            return vec![];
        };
        let Some(list) = node.list() else {
            ledger.broken(&place, "an array of mounts is expected");
            return vec![];
        };
        let mut mounts = vec![];
        for node in list {
            let place = place.at(node.line);
            let wish = match node.text() {
                Some(text) => Wish::parse(text),
                None => Wish::from_object(node),
            };
            mounts.extend(judge_mount(&wish, context, &place, ledger));
        }
        mounts
    }

    fn run_args(
        &self,
        variables: &Variables,
        context: MountContext<'_>,
        form: &Form,
        ledger: &mut Ledger<'_>,
    ) -> RunArgs {
        let Some((node, place)) = self.member("runArgs", &variables.for_mounts()) else {
            return RunArgs::default();
        };
        if matches!(form, Form::Compose(_)) {
            ledger.strip(&place, "Compose knows no runArgs");
            return RunArgs::default();
        }
        let arguments: Option<Vec<String>> =
            node.list().and_then(|list| list.iter().map(Node::scalar).collect());
        let Some(arguments) = arguments else {
            ledger.broken(&place, "an array of options is expected");
            return RunArgs::default();
        };
        let lines: Vec<u32> =
            node.list().unwrap_or_default().iter().map(|node| node.line).collect();
        judge_run_args(&arguments, &lines, context, &place, ledger)
    }
}

/// Keys that are staged after a look at their content; those with a plan of their own are not.
fn judge_key(
    member: &Member,
    place: &Place,
    variables: &Variables,
    ledger: &mut Ledger<'_>,
) -> Option<Value> {
    let value = || substituted(&member.value, variables);
    match member.name.as_str() {
        "containerEnv" | "remoteEnv" => Some(judge_env(&member.value, place, variables, ledger)),
        "privileged" | "capAdd" | "securityOpt" => {
            metadata::judge_privileges(&member.name, &value(), place, ledger)
        }
        "hostRequirements" => {
            let mut value = value().to_json();
            let gpu = value.as_object_mut().and_then(|map| map.remove("gpu"));
            match gpu {
                None | Some(Value::Bool(false)) => {}
                Some(gpu) if gpu == "optional" => {
                    ledger.strip(place, "the host's GPUs are not handed out");
                }
                Some(gpu) => {
                    let reason = "GPUs are devices of the host";
                    if ledger.ask(Permit::Devices, place, reason) {
                        value.as_object_mut()?.insert("gpu".to_owned(), gpu);
                    }
                }
            }
            Some(value)
        }
        _ => None,
    }
}

/// An environment without what would only be read from the server's.
fn judge_env(node: &Node, place: &Place, variables: &Variables, ledger: &mut Ledger<'_>) -> Value {
    let mut kept = Map::new();
    for member in node.members() {
        let place = place.inner(member.line, &member.name);
        let mut unset = vec![];
        let value = match member.value.scalar() {
            Some(text) => {
                Value::String(variables.substitute(&text, &mut |name| unset.push(name.to_owned())))
            }
            None if member.value.is_null() => Value::Null,
            None => {
                ledger.broken(&place, "a word is expected");
                continue;
            }
        };
        if !unset.is_empty() {
            let names = unset.join(", ");
            ledger.strip(&place, format!("the server's {names} is not for repositories"));
        }
        if unset.is_empty() || value.as_str().is_some_and(|value| !value.is_empty()) {
            kept.insert(member.name.clone(), value);
        }
    }
    Value::Object(kept)
}

fn substituted(node: &Node, variables: &Variables) -> Node {
    node.map_text(&mut |text, _| variables.substitute(text, &mut |_| {}))
}

fn variables(scope: &Scope<'_>, clone: &str, folder: &str) -> Variables {
    Variables::new(scope.drone, scope.repo.repo(), clone, folder, &scope.local_env)
}
