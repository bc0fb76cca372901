//! The tables of verdicts for Compose.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::lifecycle::FailureKind;
use crate::policy::tests::Bench;
use crate::policy::{Compose, Form, Mount, Verdict};

const CONFIG: &str = r#"{
    "dockerComposeFile": "docker-compose.yml", "service": "app",
    "workspaceFolder": "/workspaces/${localWorkspaceFolderBasename}"
}"#;

fn bench(compose: &str, files: &[(&str, &str)]) -> Bench {
    let mut all = vec![
        (".devcontainer/devcontainer.json", CONFIG),
        (".devcontainer/docker-compose.yml", compose),
        (".devcontainer/Dockerfile", "FROM debian\n"),
    ];
    all.extend_from_slice(files);
    Bench::new(&all)
}

/// A project whose service `db` has one more key, in YAML's flow style.
fn service(key: &str) -> Bench {
    let compose =
        format!("services:\n  app:\n    image: debian\n  db:\n    image: postgres\n    {key}\n");
    bench(&compose, &[("init.sql", "select 1;"), (".devcontainer/app.env", "A=1\n")])
}

fn staged(bench: &Bench) -> (Value, Compose, crate::policy::Plan) {
    let plan = bench.plan();
    let Form::Compose(compose) = plan.form.clone() else { panic!("not Compose") };
    let text = &compose.files[0].text;
    (serde_json::from_str(text).expect("JSON"), compose, plan)
}

/// The official template of a service with a database.
const TEMPLATE: &str = "
version: '3.8'
services:
  app:
    build:
      context: .
      dockerfile: Dockerfile
    volumes:
      - ../..:/workspaces:cached
    command: sleep infinity
    network_mode: service:db
  db:
    image: postgres:latest
    restart: unless-stopped
    volumes:
      - postgres-data:/var/lib/postgresql/data
    environment:
      POSTGRES_USER: postgres
      POSTGRES_PASSWORD: ${PGPASSWORD:-post$$gres}
volumes:
  postgres-data:
";

#[test]
fn the_official_template_spawns() {
    let bench = bench(TEMPLATE, &[]);
    assert_eq!(bench.worst(), Some(Verdict::Strip));
    let (file, compose, plan) = staged(&bench);
    assert_eq!(compose.service, "app");
    assert_eq!(compose.services["app"].network_of.as_deref(), Some("db"));
    assert!(compose.services["app"].builds);
    assert_eq!(compose.services["db"].image.as_deref(), Some("postgres:latest"));
    assert_eq!(plan.volumes, ["hatchery-acme-web.postgres-data"]);
    assert_eq!(plan.workspace.folder, "/workspaces/web");
    assert_eq!(plan.workspace.clone, "/workspaces/web");
    assert_eq!(plan.workspace.mounts, []);
    assert_eq!(
        file["services"]["app"]["volumes"],
        json!([{"type": "volume", "source": "hatchery-workspace", "target": "/workspaces",
                "read_only": false}])
    );
    assert_eq!(
        file["volumes"]["hatchery-workspace"],
        json!({"name": "hatchery-acme-web", "external": true})
    );
    assert_eq!(file["services"]["db"]["restart"], Value::Null);
    assert_eq!(file["services"]["db"]["environment"]["POSTGRES_PASSWORD"], "post$$gres");
}

#[test]
fn a_bind_of_the_checkout_becomes_its_part_of_the_volume() {
    let compose = "services:\n  app:\n    image: debian\n    volumes:\n      - ..:/workspace:cached\n      \
                   - ../init.sql:/docker-entrypoint-initdb.d/init.sql:ro\n";
    let bench = bench(compose, &[("init.sql", "")]);
    let (file, _, plan) = staged(&bench);
    let volumes = &file["services"]["app"]["volumes"];
    assert_eq!(volumes[0]["volume"]["subpath"], "web");
    assert_eq!(volumes[1]["volume"]["subpath"], "web/init.sql");
    assert_eq!(volumes[1]["read_only"], true);
    assert_eq!(plan.workspace.clone, "/workspace");
    let whole =
        Mount::Workspace { subpath: None, target: "/workspaces".to_owned(), read_only: false };
    assert_eq!(plan.workspace.mounts, [whole]);
}

#[test]
fn what_stays_in_the_drone_is_allowed() {
    for key in [
        "command: [\"sleep\", \"infinity\"]",
        "environment: [A=b, \"C=d\"]",
        "env_file: app.env",
        "depends_on: {app: {condition: service_started}}",
        "healthcheck: {test: [CMD, pg_isready], interval: 5s}",
        "volumes: [data:/data, {type: tmpfs, target: /t, tmpfs: {size: 64m}}]",
        "volumes: [../init.sql:/init.sql:ro]",
        "tmpfs: /run",
        "shm_size: 1g",
        "ulimits: {nofile: 1024}",
        "cap_add: [SYS_PTRACE]",
        "init: true",
        "pid: service:app",
        "user: postgres",
        "extends: app",
        "build: {context: ., args: [A=b], target: x}",
        "labels: {a: b}",
        "networks: [default]",
    ] {
        let bench = service(key);
        let worst = bench.worst();
        // `image` beside `build` is stripped.
        assert!(worst.is_none() || key.starts_with("build"), "{key}: {:#?}", bench.check());
    }
}

#[test]
fn what_is_needless_is_stripped() {
    for key in [
        "ports: [\"5432:5432\"]",
        "restart: always",
        "container_name: db",
        "hostname: db",
        "security_opt: [\"seccomp:unconfined\"]",
        "mem_limit: 1g",
        "cpus: 2",
        "deploy: {resources: {limits: {memory: 1g}}}",
        "logging: {driver: json-file, options: {max-size: 1m}}",
        "networks: {backend: {aliases: [postgres]}}",
        "env_file: [missing.env]",
        "environment: [SECRET]",
    ] {
        assert_eq!(service(key).worst(), Some(Verdict::Strip), "{key}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_reaches_the_host_is_refused_in_every_service() {
    for key in [
        "privileged: true",
        "cap_add: [SYS_ADMIN]",
        "cap_add: [ALL]",
        "security_opt: [\"apparmor:unconfined\"]",
        "network_mode: host",
        "network_mode: container:x",
        "pid: host",
        "pid: container:x",
        "ipc: host",
        "uts: host",
        "userns_mode: host",
        "cgroup: host",
        "cgroup_parent: /x",
        "devices: [/dev/kvm:/dev/kvm]",
        "device_cgroup_rules: [\"c 1:1 rwm\"]",
        "gpus: all",
        "deploy: {resources: {reservations: {devices: [{driver: nvidia}]}}}",
        "oom_score_adj: -1000",
        "oom_kill_disable: true",
        "volumes: [/var/run/docker.sock:/var/run/docker.sock]",
        "volumes: [/:/host]",
        "volumes: [~/.ssh:/x]",
        "volumes: [../../../x:/x]",
        "volumes: [../..:/elsewhere]",
        "volumes: [\"${HOME}/x:/x\", \"${X:-/etc}:/x\"]",
        "volumes: [{type: bind, source: /etc, target: /x}]",
        "volumes: [{type: bind, source: ., target: /x, bind: {propagation: shared}}]",
        "volumes: [hatchery-acme-api:/x]",
        "volumes: [\"a/b:/x\"]",
        "volumes_from: [\"container:x\"]",
        "env_file: /etc/passwd",
        "env_file: ../../x",
        "labels: {hatchery.drone: acme-api}",
        "labels: [hatchery.seal=0]",
        "sysctls: {kernel.core_pattern: x}",
        "ulimits: {rtprio: 99}",
        "logging: {driver: syslog}",
        "external_links: [x]",
        "extends: {file: ../../x.yml, service: x}",
        "extends: {file: /etc/x.yml, service: x}",
        "build: ../..",
        "build: /",
        "build: https://github.com/x/y.git",
        "build: {context: ., dockerfile: ../../Dockerfile}",
        "build: {context: ., dockerfile_inline: FROM evil.example/x}",
        "build: {context: ., secrets: [x]}",
        "build: {context: ., ssh: [default]}",
        "build: {context: ., additional_contexts: {x: /etc}}",
        "build: {context: ., additional_contexts: [\"x=docker-image://evil.example/x\"]}",
        "build: {context: ., network: host}",
        "build: {context: ., privileged: true}",
        "build: {context: ., entitlements: [security.insecure]}",
        "build: {context: ., cache_to: [\"type=local,dest=/x\"]}",
        "post_start: [{command: id, privileged: true}]",
        "provider: {type: x}",
        "credential_spec: {file: x}",
        "use_api_socket: true",
        "runtime: x",
        "future_key: x",
        "secrets: [outside]",
    ] {
        let bench = match key {
            "secrets: [outside]" => bench(
                "services:\n  app: {image: debian, secrets: [outside]}\nsecrets:\n  outside: {file: /etc/shadow}\n",
                &[],
            ),
            key => service(key),
        };
        assert_eq!(bench.worst(), Some(Verdict::Refuse), "{key}");
    }
}

#[test]
fn the_top_level_reaches_no_host_either() {
    for top in [
        "volumes: {x: {driver: sshfs}}",
        "volumes: {x: {driver_opts: {type: none, o: bind, device: /}}}",
        "volumes: {x: {external: true, name: hatchery-acme-api}}",
        "volumes: {hatchery-acme-api: {}}",
        "networks: {x: {external: true}}",
        "networks: {default: {name: hatchery-acme-api_default}}",
        "networks: {x: {driver: macvlan}}",
        "include: [../../x.yml]",
        "include: [\"https://evil.example/x.yml\"]",
        "include: [{path: x.yml, project_directory: /}]",
        "future: {}",
        "services: {}",
    ] {
        let compose = format!("services:\n  app:\n    image: debian\n{top}\n");
        assert_eq!(bench(&compose, &[]).worst(), Some(Verdict::Refuse), "{top}");
    }
}

#[test]
fn a_variable_cannot_smuggle() {
    let compose = "services:\n  app:\n    image: ${IMAGE}\n    volumes: [\"${SOURCE}:/x\"]\n";
    let env = (".devcontainer/.env", "IMAGE=debian\nSOURCE=/etc\n");
    assert_eq!(bench(compose, &[env]).worst(), Some(Verdict::Refuse));
    let env = (".devcontainer/.env", "IMAGE=debian\nSOURCE=data\n");
    let bench = bench(compose, &[env]);
    assert_eq!(staged(&bench).0["services"]["app"]["image"], "debian");
}

#[test]
fn files_that_are_brought_in_are_judged_and_staged() {
    let compose = "include: [more/other.yml]\nservices:\n  app:\n    extends: {file: ../base/base.yml, service: base}\n";
    let base =
        "services:\n  base:\n    image: debian\n    volumes: [\"..:/src\"]\n    privileged: true\n";
    let other = "services:\n  cache: {image: redis, volumes: [\"data:/data\"]}\n";
    let files = [("base/base.yml", base), (".devcontainer/more/other.yml", other)];
    assert_eq!(bench(compose, &files).worst(), Some(Verdict::Refuse));
    let harmless = base.replace("    privileged: true\n", "");
    let files = [("base/base.yml", harmless.as_str()), files[1]];
    let (_, compose, plan) = staged(&bench(compose, &files));
    let mut paths: Vec<_> = compose.files.iter().map(|file| file.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [".devcontainer/docker-compose.yml", ".devcontainer/more/other.yml", "base/base.yml"]
    );
    assert_eq!(compose.services.keys().collect::<Vec<_>>(), ["app", "cache"]);
    assert_eq!(plan.workspace.clone, "/src");
    assert_eq!(plan.volumes, ["hatchery-acme-web.data"]);
}

#[test]
fn secrets_and_configs_of_the_checkout_are_mounted_from_the_volume() {
    let compose = "services:\n  app:\n    image: debian\n    secrets: [key]\n    configs: [inline]\n\
                   secrets:\n  key: {file: ./key.txt}\nconfigs:\n  inline: {content: \"a$$b\"}\n";
    let (file, _, _) = staged(&bench(compose, &[(".devcontainer/key.txt", "k")]));
    let mount = &file["services"]["app"]["volumes"][0];
    assert_eq!(mount["target"], "/run/secrets/key");
    assert_eq!(mount["volume"]["subpath"], "web/.devcontainer/key.txt");
    assert_eq!(file["configs"]["inline"]["content"], "a$$b");
}

#[test]
fn an_older_engine_mounts_what_it_can() {
    let mut whole = bench(TEMPLATE, &[]);
    whole.volume_subpaths = false;
    assert_eq!(whole.plan().workspace.clone, "/workspaces/web");
    let compose = "services:\n  app:\n    image: debian\n    volumes: [\"..:/workspace\"]\n";
    let mut checkout = bench(compose, &[]);
    checkout.volume_subpaths = false;
    let plan = checkout.plan();
    assert!(plan.workspace.clone_is_root);
    assert_eq!((plan.workspace.clone.as_str(), plan.workspace.mounts.len()), ("/workspace", 0));
    let part = "services:\n  app:\n    image: debian\n    volumes: [\"../src:/src\"]\n";
    let mut part = bench(part, &[]);
    part.volume_subpaths = false;
    assert_eq!(part.worst(), Some(Verdict::Refuse));
}

#[test]
fn broken_projects_are_usage() {
    for compose in ["", "a: [", "services: {other: {image: debian}}", "services: {app: {image: [}}"]
    {
        assert_eq!(bench(compose, &[]).check().expect_err(compose).kind, FailureKind::Usage);
    }
    for compose in ["services: {}\nservices: {}", "services: {app: !reset null}"] {
        assert_eq!(bench(compose, &[]).check().expect_err(compose).kind, FailureKind::Refused);
    }
}

proptest! {
    #[test]
    fn nothing_panics(key in "[a-z_]{2,12}", value in "[\\[\\]{}:,a-z/.$~ -]{0,30}") {
        let _ = service(&format!("{key}: {value}")).check();
        let _ = service(&format!("volumes: [{value}]")).check();
    }
}
