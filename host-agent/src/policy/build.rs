//! `image`, `build` and `dockerFile`: where the drone's image comes from.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::checkout::{Checkout, Kind, ReadError, resolve};
use super::dockerfile;
use super::finding::Permit;
use super::ledger::{Ledger, Place};
use super::node::Node;
use super::plan::{Form, Reference};
use super::privilege;
use super::reference::{is_well_formed, judge_image};

/// What a build is judged against.
#[derive(Clone, Copy)]
pub struct BuildContext<'a> {
    /// The checkout.
    pub checkout: &'a Checkout,
    /// Folder of the file that asks for it.
    pub folder: &'a str,
    /// Whether an image exists on the engine.
    pub is_local: &'a dyn Fn(&str) -> bool,
    /// The Dockerfile's stage that is built; `None`: its last.
    pub target: Option<&'a str>,
}

/// A build that is allowed.
#[derive(Debug)]
pub struct Build {
    /// [`Form::Dockerfile`].
    pub form: Form,
    /// `build` as it is staged.
    pub staged: Value,
    /// What the Dockerfile fetches.
    pub references: Vec<Reference>,
}

/// Judges `build`, or the older `dockerFile` with `context`, which `dockerfile` and `legacy` are.
pub fn judge_build(
    dockerfile: &Node,
    build: Option<&Node>,
    legacy_context: Option<&Node>,
    scope: BuildContext<'_>,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<Build> {
    let empty = Node::from_json(&json!({}), dockerfile.line);
    let build = build.unwrap_or(&empty);
    let Some(name) = dockerfile.text() else {
        ledger.broken(place, "the path of a Dockerfile is expected");
        return None;
    };
    let mut staged = Map::from_iter([("dockerfile".to_owned(), json!(name))]);
    let mut args = build_args(build, place, ledger);
    let options = build.member("options").map(|member| {
        judge_options(&member.value, &mut args, &place.inner(member.line, "options"), ledger)
    });
    let context = build.value("context").or(legacy_context);
    let context_name = context.and_then(Node::text).unwrap_or(".");
    let context_place = place.inner(context.map_or(place.line.unwrap_or(1), |n| n.line), "context");
    let context_path = judge_context(context_name, scope, &context_place, ledger)?;
    staged.insert("context".to_owned(), json!(context_name));
    let path = resolve(scope.folder, name);
    let target = build.value("target").and_then(Node::text).map(str::to_owned);
    let scope = BuildContext { target: target.as_deref(), ..scope };
    let references = judge_dockerfile(path.as_deref(), &args, scope, place, ledger)?;
    staged.extend(target.as_ref().map(|target| ("target".to_owned(), json!(target))));
    staged.extend((!args.is_empty()).then(|| ("args".to_owned(), json!(args))));
    let options = options.filter(|options| !options.is_empty());
    staged.extend(options.map(|options| ("options".to_owned(), json!(options))));
    for member in build.members() {
        let place = place.inner(member.line, &member.name);
        match member.name.as_str() {
            "dockerfile" | "context" | "target" | "args" | "options" => {}
            "cacheFrom" => {
                let caches = judge_caches(&member.value, &place, ledger);
                staged.insert(member.name.clone(), json!(caches));
            }
            _ => ledger.refuse(&place, "not a build option that the policy knows"),
        }
    }
    let dockerfile = path.unwrap_or_default();
    let context = if context_path.is_empty() { ".".to_owned() } else { context_path };
    let form = Form::Dockerfile { dockerfile, context, target, args };
    Some(Build { form, staged: Value::Object(staged), references })
}

/// Build arguments: an object of words.
fn build_args(build: &Node, place: &Place, ledger: &mut Ledger<'_>) -> BTreeMap<String, String> {
    let mut args = BTreeMap::new();
    for member in build.value("args").map_or(&[][..], Node::members) {
        match member.value.scalar() {
            Some(value) => {
                args.insert(member.name.clone(), value);
            }
            None => ledger.broken(&place.inner(member.line, &member.name), "a word is expected"),
        }
    }
    args
}

/// The build context's directory; `None`: refused or broken.
pub fn judge_context(
    name: &str,
    scope: BuildContext<'_>,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<String> {
    let Some(path) = resolve(scope.folder, name) else {
        ledger.refuse_whole(place, format!("the build context {name:?} is not in the repository"));
        return None;
    };
    match scope.checkout.kind(&path) {
        Ok(Kind::Directory) => {}
        Ok(Kind::File) => {
            ledger.broken(place, "the build context is a file");
            return None;
        }
        Err(error) => {
            ledger.unreadable(place, &error);
            return None;
        }
    }
    let ignore =
        if path.is_empty() { ".dockerignore".to_owned() } else { format!("{path}/.dockerignore") };
    stays_inside(&ignore, scope.checkout, place, ledger).then_some(path)
}

/// Judges what a Dockerfile fetches.
pub fn judge_dockerfile(
    path: Option<&str>,
    args: &BTreeMap<String, String>,
    scope: BuildContext<'_>,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<Vec<Reference>> {
    let Some(path) = path else {
        ledger.refuse_whole(place, "the Dockerfile is not in the repository");
        return None;
    };
    let text = match scope.checkout.read(path) {
        Ok(text) => text,
        Err(error) => {
            ledger.unreadable(place, &error);
            return None;
        }
    };
    if !stays_inside(&format!("{path}.dockerignore"), scope.checkout, place, ledger) {
        return None;
    }
    let place_of = |line, instruction: &str| Place::new(path, line, instruction);
    judge_fetched(&text, &place_of, args, scope, ledger)
}

/// Judges the images that a Dockerfile's text names; `place_of` says where a line of it stands.
pub fn judge_fetched(
    text: &str,
    place_of: &dyn Fn(u32, &str) -> Place,
    args: &BTreeMap<String, String>,
    scope: BuildContext<'_>,
    ledger: &mut Ledger<'_>,
) -> Option<Vec<Reference>> {
    let mut references = vec![];
    let mut fine = true;
    let (fetched, reaches) = dockerfile::read(text, args, scope.target);
    for one in fetched {
        let place = place_of(one.line, one.instruction);
        match one.reference {
            Ok(reference) if one.doubtful => {
                // Most likely a line of a script. One that could be fetched is judged all the same.
                fine &= !is_well_formed(&reference)
                    || judge_image(&reference, &place, scope.is_local, ledger);
            }
            Ok(reference) if judge_image(&reference, &place, scope.is_local, ledger) => {
                references.extend(one.needed.then_some(Reference::Image(reference)));
            }
            Ok(_) => fine = false,
            Err(_) if one.doubtful => {}
            Err(reason) => {
                ledger.refuse_whole(&place, reason);
                fine = false;
            }
        }
    }
    for reach in reaches {
        let place = place_of(reach.line, reach.instruction);
        fine &= ledger.ask_whole(reach.permit, &place, reach.reason);
    }
    fine.then_some(references)
}

/// A file that a tool on the host reads if it is there: it may not be a link that leads out.
fn stays_inside(path: &str, checkout: &Checkout, place: &Place, ledger: &mut Ledger<'_>) -> bool {
    match checkout.kind(path) {
        Ok(_) | Err(ReadError::Missing(_)) => true,
        Err(error) => {
            ledger.unreadable(place, &error);
            false
        }
    }
}

/// `build.options`: arguments of `docker build`. Those that are arguments of the Dockerfile are
/// added to `args`.
fn judge_options(
    node: &Node,
    args: &mut BTreeMap<String, String>,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Vec<String> {
    let Some(list) = node.list() else {
        ledger.broken(place, "an array of options is expected");
        return vec![];
    };
    let mut kept = vec![];
    let mut rest = list.iter();
    while let Some(node) = rest.next() {
        let text = node.scalar().unwrap_or_default();
        let (name, mut value) = match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.clone(), None),
        };
        let place = place.at(node.line).with(&name);
        if value.is_none() && OPTIONS_WITH_VALUE.contains(&name.as_str()) {
            value = rest.next().and_then(Node::scalar);
            if value.is_none() {
                ledger.broken(&place, "its value is missing");
                continue;
            }
        }
        let value = value.unwrap_or_default();
        if name == "--build-arg" {
            match value.split_once('=') {
                Some((name, value)) => {
                    args.insert(name.to_owned(), value.to_owned());
                }
                None => ledger.strip(&place, "the server's environment is not for repositories"),
            }
        } else {
            kept.extend(judge_build_option(&name, &value, &place, ledger));
        }
    }
    kept
}

/// Options whose value may be the next word. Of all others that take one, none is let through, and
/// its value is refused as an option of its own.
const OPTIONS_WITH_VALUE: [&str; 17] = [
    "--add-host",
    "--build-arg",
    "--cpus",
    "--label",
    "--memory",
    "--network",
    "--output",
    "--platform",
    "--progress",
    "--provenance",
    "--sbom",
    "--shm-size",
    "--tag",
    "--ulimit",
    "-m",
    "-o",
    "-t",
];

/// What is left of one option.
fn judge_build_option(
    name: &str,
    value: &str,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<String> {
    let kept = match name {
        "--no-cache" => return Some(name.to_owned()),
        "--pull" => {
            ledger.strip(place, "base images are looked up at every build");
            false
        }
        "--quiet" | "-q" => {
            ledger.strip(place, "the build's output is kept");
            false
        }
        "--progress" | "--memory" | "-m" | "--cpus" | "--tag" | "-t" | "--output" | "-o"
        | "--load" | "--provenance" | "--sbom" | "--rm" | "--force-rm" | "--compress" => {
            ledger.strip(place, "the host sets it itself");
            false
        }
        "--platform" | "--shm-size" | "--add-host" => true,
        "--label" => {
            let name = value.split('=').next().unwrap_or_default();
            privilege::judge_label(name, place, ledger)
        }
        "--ulimit" => {
            let name = value.split('=').next().unwrap_or_default();
            privilege::judge_ulimit(name, place, ledger)
        }
        "--network" => {
            let own = matches!(value, "none" | "default");
            let reason = "a build on this network reaches the host";
            own || ledger.ask(Permit::HostNetwork, place, reason)
        }
        _ => {
            ledger.refuse(place, "not a build option that the policy knows");
            false
        }
    };
    kept.then(|| format!("{name}={value}"))
}

/// `cacheFrom`: images; BuildKit's other sources can be paths of the host.
pub fn judge_caches(node: &Node, place: &Place, ledger: &mut Ledger<'_>) -> Vec<String> {
    let single = [node.clone()];
    let list = node.list().unwrap_or(&single);
    let mut kept = vec![];
    for node in list {
        let text = node.scalar().unwrap_or_default();
        let place = place.at(node.line);
        let fields: Vec<_> =
            text.split(',').map(|field| field.split_once('=').unwrap_or(("", field))).collect();
        match fields.as_slice() {
            [("", image)] | [("type", "registry"), ("ref", image)] => {
                // A cache is asked for where it comes from, whatever exists locally.
                if judge_image(image, &place, &|_| false, ledger) {
                    kept.push(text.clone());
                }
            }
            [("type", "gha"), ..] => ledger.strip(&place, "this cache is for GitHub's runners"),
            _ => ledger.refuse(&place, "not a cache of a registry: it can be a path of the host"),
        }
    }
    kept
}
