//! Pass (a): the text alone. Gives each key of the configuration its verdict and plans what is
//! left of it.

use serde_json::{Map, Value, json};

use super::build::{BuildContext, judge_build};
use super::checkout::{Checkout, parent};
use super::compose;
use super::feature::{self, Features};
use super::finding::Permit;
use super::keys::{self, Rule};
use super::ledger::{Ledger, Place};
use super::metadata;
use super::mount::{MountContext, Wish, judge_mount};
use super::node::{Member, Node};
use super::plan::{Form, Mount, Pins, Plan, Reference, RunSettings, Workspace};
use super::reference::judge_image;
use super::run_args::{RunArgs, judge_run_args};
use super::scope::Scope;
use super::variables::Variables;
use super::workspace::{default_clone, plan_workspace};

/// The pass over one configuration.
pub struct Pass<'a> {
    /// The checkout.
    pub checkout: &'a Checkout,
    /// The configuration's path in it.
    pub file: &'a str,
    /// Its content.
    pub document: &'a Node,
    /// Whether an image exists on the engine.
    pub is_local: &'a dyn Fn(&str) -> bool,
}

/// What the form of the configuration decides.
struct Formed {
    form: Form,
    workspace: Workspace,
    staged: Map<String, Value>,
    references: Vec<Reference>,
    volumes: Vec<String>,
}

/// What is the same for every form.
struct Rest {
    staged: Map<String, Value>,
    mounts: Vec<Mount>,
    run: RunSettings,
}

/// In order, each once.
fn each_once<T: Ord>(all: impl IntoIterator<Item = T>) -> Vec<T> {
    all.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

impl Pass<'_> {
    /// Gives each key its verdict; `None`: there is nothing left to make a drone from.
    pub fn plan(&self, ledger: &mut Ledger<'_>) -> Option<Plan> {
        let usual = default_clone(ledger.scope.repo.repo());
        let first = variables(ledger.scope, &usual, &usual);
        unstable(self.document, self.file, &first, ledger);
        let folder = self.text("workspaceFolder", &first);
        // The folder's name is a variable; mounts are judged knowing where it lies.
        let known = folder.as_ref().map_or(usual.as_str(), |(folder, _)| folder.as_str());
        let first = variables(ledger.scope, &usual, known);
        let features = self.features(&first, ledger);
        let formed = self.form(&first, known, ledger);
        // Without anything to make a drone from, all the rest is still judged: to be heard at once.
        let workspace = formed.as_ref().map_or_else(
            || Workspace { folder: known.to_owned(), clone: usual.clone(), ..Workspace::default() },
            |formed| formed.workspace.clone(),
        );
        let rest = self.rest(&workspace, ledger);
        let formed = formed?;
        let mut staged = rest.staged;
        staged.extend(formed.staged);
        staged.extend(features.staged());
        let mounts = rest.mounts;
        let named = mounts.iter().filter_map(Mount::volume_name).map(str::to_owned);
        let volumes = each_once(formed.volumes.into_iter().chain(named));
        let references = each_once(formed.references.into_iter().chain(features.references));
        let directories = each_once(std::mem::take(&mut ledger.missing));
        Some(Plan {
            config_path: self.file.to_owned(),
            devcontainer_json: Value::Object(staged),
            form: formed.form,
            workspace,
            mounts,
            run: rest.run,
            volumes,
            directories,
            sshd_options: features.sshd_options,
            references,
            pins: Pins::default(),
        })
    }

    /// Everything that does not decide what the drone is made from.
    fn rest(&self, workspace: &Workspace, ledger: &mut Ledger<'_>) -> Rest {
        let variables = variables(ledger.scope, &workspace.clone, &workspace.folder);
        let context = MountContext {
            checkout: Some(self.checkout),
            base: "",
            workspace_folder: &workspace.folder,
            clone_is_root: workspace.clone_is_root,
        };
        let mut staged = Map::new();
        self.keep(&variables, &mut staged, ledger);
        let mut mounts = self.mounts(&variables, context, ledger);
        let run = self.run_args(&variables, context, ledger);
        mounts.extend(run.mounts);
        Rest { staged, mounts, run: run.settings }
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
        feature::judge_lock(self.file, self.checkout, ledger);
        if let Some((node, place)) = self.member("overrideFeatureInstallOrder", variables) {
            features.order(&node, folder, self.checkout, &place, ledger);
        }
        features
    }

    /// Whether Compose files are what is left to make the drone from.
    fn is_compose(&self) -> bool {
        let build = self.document.value("build");
        let dockerfile = build.is_some_and(|build| build.member("dockerfile").is_some());
        let others = ["image", "dockerFile"];
        !dockerfile && !others.iter().any(|name| self.document.member(name).is_some())
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
            target: None,
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
                Rule::Strip(_) if member.value.is_empty() => {}
                Rule::Strip(reason) => ledger.strip(&place, reason),
                // An empty command asks for nothing.
                Rule::Refuse(_) if member.value.is_empty() => {}
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
        ledger: &mut Ledger<'_>,
    ) -> RunArgs {
        let Some((node, place)) = self.member("runArgs", &variables.for_mounts()) else {
            return RunArgs::default();
        };
        if self.is_compose() {
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

/// Refuses text that the reference CLI would find variables in once ours are substituted.
fn unstable(document: &Node, file: &str, variables: &Variables, ledger: &mut Ledger<'_>) {
    let mut lines = vec![];
    document.map_text(&mut |text, line| {
        if !variables.is_stable(text) {
            lines.push(line);
        }
        String::new()
    });
    for line in lines {
        ledger.refuse_whole(&Place::new(file, line, "variables"), "a variable makes another one");
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
        "remoteUser" | "containerUser" => judge_user(&value(), place, ledger),
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

/// A user's name or number: it becomes a line of a Dockerfile that the reference CLI writes.
fn judge_user(node: &Node, place: &Place, ledger: &mut Ledger<'_>) -> Option<Value> {
    let legal = |c: char| c.is_alphanumeric() || "_-.:$@+".contains(c);
    match node.scalar() {
        Some(user) if user.is_empty() => None,
        Some(user) if user.chars().all(legal) && !user.starts_with('-') => Some(json!(user)),
        None if node.is_null() => None,
        Some(_) | None => {
            ledger.refuse(place, "not a user's name");
            None
        }
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
