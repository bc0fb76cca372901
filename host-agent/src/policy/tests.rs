//! The tables of verdicts: they are the specification of the policy.

use std::collections::BTreeMap;

use hatchery_protocol::{DroneName, RepoId, RepoName};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::PolicyRule;
use crate::lifecycle::{Failure, FailureKind};

/// A checkout, and what the server permits to it.
pub struct Bench {
    directory: tempfile::TempDir,
    drone: DroneName,
    repo: RepoName,
    registries: Vec<String>,
    rules: Vec<PolicyRule>,
    default_image: String,
    pub volume_subpaths: bool,
}

impl Bench {
    /// A checkout with these files.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
            std::fs::write(path, text).expect("write");
        }
        let host = "github.com".parse().expect("a host");
        Self {
            directory,
            drone: "acme-web".parse().expect("a name"),
            repo: RepoId::parse("acme/web", &host).expect("a repository").name,
            registries: ["docker.io", "ghcr.io", "mcr.microsoft.com", "localhost"]
                .map(str::to_owned)
                .to_vec(),
            rules: vec![],
            default_image: String::new(),
            volume_subpaths: true,
        }
    }

    /// A checkout with this devcontainer.json.
    pub fn json(text: &str) -> Self {
        Self::new(&[(".devcontainer/devcontainer.json", text), ("Dockerfile", "FROM debian\n")])
    }

    fn permit(mut self, keys: &[&str]) -> Self {
        let allow = keys.iter().map(|key| (*key).to_owned()).collect();
        self.rules.push(PolicyRule { repositories: vec!["ACME/w*".to_owned()], allow });
        self
    }

    pub fn scope(&self) -> Scope<'_> {
        Scope {
            drone: &self.drone,
            repo: &self.repo,
            registries: &self.registries,
            rules: &self.rules,
            default_image: &self.default_image,
            sshd_injected: true,
            volume_subpaths: self.volume_subpaths,
            local_env: BTreeMap::from([("TZ".to_owned(), "UTC".to_owned())]),
        }
    }

    pub fn check(&self) -> Result<Review<Plan>, Failure> {
        check_text(self.directory.path(), None, &self.scope(), &|image| {
            image == "evil.example/local"
        })
    }

    /// The plan, when nothing was refused.
    pub fn plan(&self) -> Plan {
        let review = self.check().expect("a plan");
        review.accept(false).unwrap_or_else(|failure| panic!("refused: {failure:#?}")).outcome
    }

    /// How the worst of it ends: `None` allowed, else the verdict.
    pub fn worst(&self) -> Option<Verdict> {
        match self.check() {
            Ok(review) => review.findings.iter().map(|finding| finding.verdict).max(),
            Err(failure) if failure.kind == FailureKind::Refused => Some(Verdict::Refuse),
            Err(failure) => panic!("broken: {failure:#?}"),
        }
    }
}

/// A configuration with an image and one more key.
fn with(key: &str, value: &Value) -> String {
    let mut whole = json!({"image": "debian:12"});
    whole[key] = value.clone();
    whole.to_string()
}

fn verdict_of(key: &str, value: &Value) -> Option<Verdict> {
    Bench::json(&with(key, value)).worst()
}

#[test]
fn what_stays_in_the_drone_is_allowed() {
    let table = [
        ("name", json!("x")),
        ("features", json!({"ghcr.io/devcontainers/features/node:1": {"version": "20"}})),
        ("postCreateCommand", json!("npm ci")),
        ("onCreateCommand", json!({"a": "b", "c": ["d"]})),
        ("initializeCommand", json!("")),
        ("remoteUser", json!("vscode")),
        ("containerEnv", json!({"A": "b", "C": "${localEnv:TZ}", "D": "${localEnv:X:y}"})),
        ("forwardPorts", json!([3000])),
        ("init", json!(true)),
        ("privileged", json!(false)),
        ("capAdd", json!(["SYS_PTRACE"])),
        ("mounts", json!(["source=data,target=/data,type=volume"])),
        ("mounts", json!([{"source": "data-${devcontainerId}", "target": "/d", "type": "volume"}])),
        ("mounts", json!(["type=tmpfs,target=/tmp/x,tmpfs-size=64m"])),
        ("mounts", json!(["type=bind,source=${localWorkspaceFolder}/src,target=/src"])),
        ("workspaceFolder", json!("/workspace")),
        ("runArgs", json!(["--init", "--shm-size=1g", "--ulimit", "nofile=1024:2048"])),
        ("runArgs", json!(["--cap-add=SYS_PTRACE", "-e", "A=b", "--user=1000", "-ueme"])),
        ("runArgs", json!(["-v", "cache:/cache", "--mount", "type=volume,src=x,dst=/x,ro"])),
        ("runArgs", json!(["--add-host=host.docker.internal:host-gateway", "--privileged=false"])),
        ("runArgs", json!(["--label", "a=b", "--security-opt", "no-new-privileges"])),
        ("customizations", json!({"vscode": {"extensions": ["a.b"]}})),
        ("hostRequirements", json!({"cpus": 4})),
    ];
    for (key, value) in table {
        assert_eq!(verdict_of(key, &value), None, "{key}: {value}");
    }
}

#[test]
fn what_is_needless_is_stripped() {
    let table = [
        ("appPort", json!(3000)),
        ("extensions", json!(["a.b"])),
        ("someFutureKey", json!({"a": 1})),
        ("features", json!({"ghcr.io/devcontainers/features/sshd:1": {"version": "latest"}})),
        ("features", json!({"ghcr.io/tailscale/codespace/tailscale": {}})),
        ("runArgs", json!(["--name", "x", "--hostname=y", "-p", "80:80", "-P", "-itd"])),
        ("runArgs", json!(["--security-opt", "seccomp=unconfined"])),
        ("runArgs", json!(["--memory=4g", "--cpus", "2", "--restart=always", "--rm"])),
        ("runArgs", json!(["-e", "SECRET"])),
        ("runArgs", json!(["--env-file", ".devcontainer/missing.env"])),
        ("securityOpt", json!(["seccomp=unconfined"])),
        ("containerEnv", json!({"A": "${localEnv:SECRET}"})),
        ("workspaceMount", json!("")),
        ("workspaceFolder", json!("/run/drone-agent")),
        ("mounts", json!(["type=bind,source=/run/x,target=/var/run/github-creds.sock"])),
        ("hostRequirements", json!({"gpu": "optional"})),
    ];
    for (key, value) in table {
        assert_eq!(verdict_of(key, &value), Some(Verdict::Strip), "{key}: {value}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_reaches_the_host_is_refused() {
    let table = [
        ("initializeCommand", json!("id")),
        ("initializeCommand", json!(["id"])),
        ("privileged", json!(true)),
        ("capAdd", json!(["SYS_ADMIN"])),
        ("capAdd", json!(["cap_net_admin"])),
        ("capAdd", json!(["ALL"])),
        ("securityOpt", json!(["apparmor=unconfined"])),
        ("securityOpt", json!(["seccomp=/etc/x.json"])),
        ("securityOpt", json!(["systempaths=unconfined"])),
        ("mounts", json!(["type=bind,source=/,target=/host"])),
        ("mounts", json!(["type=bind,source=/var/run/docker.sock,target=/var/run/docker.sock"])),
        ("mounts", json!(["TYPE=BIND,SRC=/etc,dst=/x"])),
        ("mounts", json!(["source=/etc,target=/x,type=volume"])),
        ("mounts", json!(["type=bind,source=${localEnv:HOME}/.ssh,target=/x"])),
        ("mounts", json!(["type=bind,source=${localWorkspaceFolder}/../..,target=/x"])),
        ("mounts", json!(["type=bind,source=${localWorkspaceFolder}/../x,target=/x"])),
        ("mounts", json!(["type=bind,source=../x,target=/x"])),
        ("mounts", json!(["type=volume,source=hatchery-acme-api,target=/x"])),
        (
            "mounts",
            json!(["type=volume,source=x,target=/x,volume-driver=local,volume-opt=device=/"]),
        ),
        ("mounts", json!(["type=volume,source=x,target=/x,\"volume-opt=o=bind\""])),
        ("mounts", json!(["type=volume,source=x,target=/y,source=/etc,type=bind"])),
        ("mounts", json!([{"type": "bind", "source": "/etc", "target": "/x"}])),
        ("mounts", json!(["type=volume,source=x,target=/proc/x"])),
        ("mounts", json!(["type=volume,source=x,target=/a/../.."])),
        ("workspaceMount", json!("type=bind,source=/home,target=/workspace")),
        ("workspaceFolder", json!("/sys/fs")),
        ("workspaceFolder", json!("/x/../proc//self")),
        ("workspaceMount", json!("type=bind,source=${localWorkspaceFolder}/sub,target=/w")),
        ("runArgs", json!(["--privileged"])),
        ("runArgs", json!(["--privileged=true"])),
        ("runArgs", json!(["-v", "/:/host"])),
        ("runArgs", json!(["-v/:/host"])),
        ("runArgs", json!(["-itv", "/:/host"])),
        ("runArgs", json!(["--volume=~/.ssh:/x"])),
        ("runArgs", json!(["-v", "x:/y:rshared"])),
        ("runArgs", json!(["--pid=host"])),
        ("runArgs", json!(["--pid", "container:x"])),
        ("runArgs", json!(["--net=host"])),
        ("runArgs", json!(["--network", "container:x"])),
        ("runArgs", json!(["--network", "hatchery-acme-api_default"])),
        ("runArgs", json!(["--ipc=host"])),
        ("runArgs", json!(["--userns", "host"])),
        ("runArgs", json!(["--uts=host"])),
        ("runArgs", json!(["--cgroupns=host"])),
        ("runArgs", json!(["--device=/dev/kvm"])),
        ("runArgs", json!(["--device", "/dev/net/tun"])),
        ("runArgs", json!(["--gpus", "all"])),
        ("runArgs", json!(["--device-cgroup-rule=c 1:1 rwm"])),
        ("runArgs", json!(["--volumes-from", "x"])),
        ("runArgs", json!(["--oom-score-adj=-1000"])),
        ("runArgs", json!(["--oom-kill-disable"])),
        ("runArgs", json!(["--cgroup-parent=/"])),
        ("runArgs", json!(["--ulimit=rtprio=99"])),
        ("runArgs", json!(["--sysctl", "kernel.core_pattern=|/x"])),
        ("runArgs", json!(["--label", "hatchery.drone=acme-api"])),
        ("runArgs", json!(["-lhatchery.seal=0"])),
        ("runArgs", json!(["--label=com.docker.compose.project=x"])),
        ("runArgs", json!(["--runtime=x"])),
        ("runArgs", json!(["--log-driver=syslog"])),
        ("runArgs", json!(["--cidfile=/x"])),
        ("runArgs", json!(["--use-api-socket"])),
        ("runArgs", json!(["--volume-driver=x"])),
        ("runArgs", json!(["--future-option"])),
        ("runArgs", json!(["-Z"])),
        ("runArgs", json!(["--"])),
        ("runArgs", json!(["image", "command"])),
        ("runArgs", json!(["--env-file", "/etc/passwd"])),
        ("runArgs", json!(["--env-file=../../x"])),
        ("image", json!("evil.example/x")),
        ("image", json!("-v/:/x")),
        ("features", json!({"evil.example/a/b:1": {}})),
        ("features", json!({"https://evil.example/x.tgz": {}})),
        ("features", json!({"../../x": {}})),
        ("features", json!({"/etc": {}})),
        ("build", json!({"dockerfile": "../Dockerfile", "context": "../.."})),
        ("build", json!({"dockerfile": "../../Dockerfile"})),
        ("build", json!({"dockerfile": "/etc/passwd"})),
        ("build", json!({"dockerfile": "../Dockerfile", "options": ["--secret=id=x,src=/etc"]})),
        ("build", json!({"dockerfile": "../Dockerfile", "options": ["--build-context", "x=/"]})),
        ("build", json!({"dockerfile": "../Dockerfile", "options": ["--network=host"]})),
        ("build", json!({"dockerfile": "../Dockerfile", "cacheFrom": "type=local,src=/etc"})),
        ("build", json!({"dockerfile": "../Dockerfile", "cacheFrom": ["evil.example/x"]})),
        ("build", json!({"dockerfile": "../Dockerfile", "secrets": {"a": "/etc"}})),
        ("hostRequirements", json!({"gpu": true})),
    ];
    for (key, value) in table {
        assert_eq!(verdict_of(key, &value), Some(Verdict::Refuse), "{key}: {value}");
    }
}

#[test]
fn a_rule_permits_what_it_names_and_nothing_else() {
    let table = [
        ("docker-socket", "mounts", json!(["type=bind,source=/var/run/docker.sock,target=/d"])),
        ("host-mount", "mounts", json!(["type=bind,source=/srv,target=/srv"])),
        ("privileged", "privileged", json!(true)),
        ("capabilities", "capAdd", json!(["SYS_ADMIN"])),
        ("security-opt", "securityOpt", json!(["apparmor=unconfined"])),
        ("host-network", "runArgs", json!(["--network=host"])),
        ("host-namespaces", "runArgs", json!(["--pid=host"])),
        ("devices", "runArgs", json!(["--device=/dev/kvm"])),
        ("registries", "image", json!("evil.example/x")),
    ];
    let keys: Vec<&str> = table.iter().map(|(key, _, _)| *key).collect();
    for (key, name, value) in &table {
        let text = with(name, value);
        assert_eq!(Bench::json(&text).permit(&[key]).worst(), Some(Verdict::Permit), "{key}");
        let others: Vec<&str> = keys.iter().copied().filter(|other| other != key).collect();
        assert_eq!(Bench::json(&text).permit(&others).worst(), Some(Verdict::Refuse), "{key}");
    }
    assert_eq!(keys, Permit::ALL.map(Permit::as_str));
}

#[test]
fn an_image_that_exists_locally_needs_no_registry() {
    assert_eq!(verdict_of("image", &json!("evil.example/local")), None);
}

#[test]
fn a_refusal_names_file_line_reason_and_permit() {
    let text = "{\n  \"image\": \"debian\",\n  \"runArgs\": [\n    \"--init\",\n    \"--privileged\"\n  ]\n}";
    let failure = Bench::json(text).check().expect("a plan").accept(false).expect_err("refused");
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(
        failure.details,
        [
            ".devcontainer/devcontainer.json:5: runArgs --privileged: a privileged container owns the \
          host (permit with [[policy]] allow = [\"privileged\"])"
        ]
    );
}

#[test]
fn without_refused_goes_on_without_them_and_lists_them() {
    let text = json!({"image": "debian", "initializeCommand": "id",
        "mounts": ["type=bind,source=/etc,target=/x", "type=volume,source=a,target=/a"]});
    let review = Bench::json(&text.to_string()).check().expect("a plan");
    let accepted = review.accept(true).expect("accepted");
    assert_eq!(accepted.notices.len(), 2);
    assert_eq!(accepted.outcome.mounts.len(), 1);
    assert!(accepted.outcome.devcontainer_json.get("initializeCommand").is_none());
    let whole = Bench::json(&with("image", &json!("evil.example/x"))).check();
    assert_eq!(whole.expect_err("no drone is left").kind, FailureKind::Refused);
}

#[test]
fn broken_configurations_are_usage() {
    for text in [
        "",
        "[]",
        "{}",
        "{\"image\": \"debian\", \"postCreateCommand\": ",
        "{\"image\": 5}",
        "{\"image\": \"debian\", \"mounts\": 5}",
        "{\"image\": \"debian\", \"runArgs\": [\"--shm-size\"]}",
        "{\"image\": \"debian\", \"workspaceFolder\": \"relative\"}",
        "{\"build\": {\"dockerfile\": \"missing\"}}",
    ] {
        assert_eq!(Bench::json(text).check().expect_err(text).kind, FailureKind::Usage, "{text}");
    }
    let twice = Bench::json("{\"image\": \"a\", \"image\": \"b\"}").check().expect_err("twice");
    assert_eq!(twice.kind, FailureKind::Refused);
}

#[test]
fn the_configuration_is_found_where_the_specification_says() {
    let find = |files: &[(&str, &str)], chosen: Option<&str>| {
        let bench = Bench::new(files);
        find_configuration(bench.directory.path(), chosen).map_err(|failure| failure.kind)
    };
    let several =
        [(".devcontainer/a/devcontainer.json", "{}"), (".devcontainer/b/devcontainer.json", "{}")];
    let found = |path: &str| Ok(Some(path.to_owned()));
    assert_eq!(find(&[("x", "")], None), Ok(None));
    assert_eq!(find(&[(".devcontainer.json", "{}")], None), found(".devcontainer.json"));
    assert_eq!(find(&several[..1], None), found(several[0].0));
    assert_eq!(find(&several, None), Err(FailureKind::Usage));
    assert_eq!(find(&several, Some(several[1].0)), found(several[1].0));
    assert_eq!(find(&several, Some("b")), found(several[1].0));
    assert_eq!(find(&several, Some("c")), Err(FailureKind::Usage));
    assert_eq!(find(&several, Some("../x")), Err(FailureKind::Refused));
    let first = [(".devcontainer/devcontainer.json", "{}"), (".devcontainer.json", "{}")];
    assert_eq!(find(&first, None), found(first[0].0));
}

#[test]
fn the_default_image_stands_in() {
    let mut bench = Bench::new(&[("README.md", "")]);
    assert_eq!(bench.check().expect_err("none").kind, FailureKind::Usage);
    bench.default_image = "debian:12".to_owned();
    assert_eq!(bench.plan().form, Form::Image { reference: "debian:12".to_owned() });
    let mut bench = Bench::json("{\"postCreateCommand\": \"id\"}");
    bench.default_image = "debian:12".to_owned();
    assert_eq!(bench.plan().devcontainer_json["postCreateCommand"], "id");
}

#[test]
fn the_workspace_lies_where_the_configuration_wants_it() {
    let workspace = |subpath: Option<&str>, target: &str| Mount::Workspace {
        subpath: subpath.map(str::to_owned),
        target: target.to_owned(),
        read_only: false,
    };
    let whole = || workspace(None, "/workspaces");
    let bind = "type=bind,source=${localWorkspaceFolder},target=";
    let table = [
        (json!({}), "/workspaces/web", vec![whole()]),
        (json!({"workspaceFolder": "/workspaces/web/app"}), "/workspaces/web/app", vec![whole()]),
        (json!({"workspaceFolder": "/w"}), "/w", vec![whole(), workspace(Some("web"), "/w")]),
        (
            json!({"workspaceMount": format!("{bind}/w"), "workspaceFolder": "/w/app"}),
            "/w/app",
            vec![whole(), workspace(Some("web"), "/w")],
        ),
        (
            json!({"workspaceMount": format!("{bind}/workspaces"), "workspaceFolder": "/workspaces"}),
            "/workspaces",
            vec![workspace(Some("web"), "/workspaces")],
        ),
        (
            json!({"workspaceMount": "type=bind,source=${localWorkspaceFolder}/..,target=/all",
                   "workspaceFolder": "/all/${localWorkspaceFolderBasename}"}),
            "/all/web",
            vec![whole(), workspace(Some("web"), "/all/web")],
        ),
    ];
    for (mut config, folder, mounts) in table {
        config["image"] = json!("debian");
        let mut bench = Bench::json(&config.to_string());
        let plan = bench.plan();
        assert_eq!((plan.workspace.folder.as_str(), &plan.workspace.mounts), (folder, &mounts));
        bench.volume_subpaths = false;
        let old = bench.plan().workspace;
        assert_eq!(old.clone_is_root, old.clone != "/workspaces/web", "{config}");
        let root = if old.clone_is_root { old.clone.as_str() } else { "/workspaces" };
        assert_eq!(old.mounts, [workspace(None, root)], "{config}");
    }
}

#[test]
fn the_seed_designs_own_configuration_spawns() {
    let text = r#"{
        "name": "homepage", // the seed design
        "image": "mcr.microsoft.com/devcontainers/base:bookworm",
        "features": {
            "ghcr.io/devcontainers/features/sshd:1": { "version": "latest" },
            "ghcr.io/tailscale/codespace/tailscale": {},
        },
        "runArgs": ["--cap-add=NET_ADMIN", "--cap-add=NET_RAW", "--device=/dev/net/tun"],
        "mounts": ["source=homepage-state,target=/state,type=volume"],
        "postCreateCommand": "npm ci"
    }"#;
    let bench = Bench::json(text);
    assert_eq!(bench.worst(), Some(Verdict::Strip));
    let plan = bench.plan();
    assert_eq!(plan.volumes, ["hatchery-acme-web.homepage-state"]);
    assert_eq!(plan.sshd_options, Some(json!({"version": "latest"})));
    assert_eq!(plan.run, RunSettings::default());
    assert_eq!(plan.devcontainer_json.get("features"), None);
    assert_eq!(plan.devcontainer_json["postCreateCommand"], "npm ci");
}

#[test]
fn settings_are_translated() {
    let args = json!([
        "--shm-size=1g",
        "--ulimit",
        "nofile=1024:2048",
        "-eA=b",
        "--init",
        "-u",
        "dev",
        "--sysctl=net.core.somaxconn=1024",
        "--stop-timeout=5",
        "--tmpfs=/t:size=1m"
    ]);
    let plan = Bench::json(&with("runArgs", &args)).plan();
    assert_eq!(plan.run.shm_size_bytes, Some(1 << 30));
    assert_eq!(plan.run.ulimits, [Ulimit { name: "nofile".to_owned(), soft: 1024, hard: 2048 }]);
    assert_eq!(plan.run.env.get("A").map(String::as_str), Some("b"));
    assert!(plan.run.init);
    assert_eq!(plan.run.user.as_deref(), Some("dev"));
    assert_eq!(plan.run.stop_timeout_seconds, Some(5));
    assert_eq!(
        plan.mounts,
        [Mount::Tmpfs { target: "/t".to_owned(), size_bytes: Some(1 << 20), mode: None }]
    );
}

proptest! {
    #[test]
    fn no_configuration_panics(
        key in "(image|build|features|mounts|runArgs|workspaceMount|workspaceFolder|capAdd|\
                containerEnv|dockerComposeFile|service|hostRequirements|context|dockerFile)",
        value in arbitrary_json(),
        text in "[{}\\[\\]\":,a-z${}/.=-]{0,60}",
    ) {
        let _ = Bench::json(&with(&key, &value)).check();
        let _ = Bench::json(&text).check();
    }

    #[test]
    fn no_run_argument_reaches_the_host(argument in "-{0,2}[a-z-]{1,14}(=[a-z/:.=,]{0,14})?") {
        let bench = Bench::json(&with("runArgs", &json!([argument])));
        if let Ok(review) = bench.check() {
            let run = &review.outcome.run;
            prop_assert!(!run.privileged && !run.host_network && run.devices.is_empty());
            let bind = |mount: &Mount| matches!(mount, Mount::Bind { .. });
            prop_assert!(!review.outcome.mounts.iter().any(bind));
        }
    }
}

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z${}/.=:, -]{0,24}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z./]{1,12}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
