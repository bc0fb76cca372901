//! Secrets are in memory, and nowhere else: tokens of both of GitHub's forms, the App's JWTs and its
//! key. Everything that a run writes is searched, with every library's log at its most talkative.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hatchery_tests::{Drone, HostAgent, Operation, Repo, Turn, World};
use serde_json::json;

/// `x-access-token:ghs` as git sends it.
const BASIC: &str = "eC1hY2Nlc3MtdG9rZW46Z2hz";

#[test]
fn no_token_is_written_down() {
    hunt(&World::shared());
}

#[test]
fn no_token_of_the_older_form_is_written_down() {
    hunt(&World::classic());
}

/// A drone's whole life, searched while it goes on and after it.
fn hunt(world: &Turn) {
    let agent = world.talkative_agent("");
    let hook = "git fetch; gh repo view >/dev/null; gh api user || true";
    let repo = Repo::describe("hunt").on_dev_image_with(json!({"postCreateCommand": hook}));
    let repo = repo.create(world);
    let prey = Prey::new(&agent);
    prey.see_that_it_is_found();
    let told = {
        let watch = Watch::start(&prey);
        let told = live(&agent, world, &repo, &prey);
        assert_eq!(watch.end(), BTreeSet::new(), "in arguments or environments");
        told
    };
    assert!(agent.log().contains("TRACE"), "the log is as talkative as can be");
    assert!(agent.log().contains("hyper") && agent.log().contains("rustls"), "libraries too");
    assert!(told.len() > 10_000, "there is something to search");
    prey.assert_not_in("what the commands and the engine told", &told);
    prey.assert_no_file_has_it(agent.home());
    let tokens = agent.audit().into_iter().filter(|line| line["token_sha256_prefix"].is_string());
    assert!(tokens.count() > 0, "the audit log knows them by their digests");
}

/// Spawns, pushes, uses gh, is refused, is looked at from everywhere, and slays. Returns all that was
/// told.
fn live(agent: &HostAgent, world: &Turn, repo: &Repo, prey: &Prey) -> String {
    let mut told = Operation::start(agent, &["-vv", "spawn", &repo.name()]).finish().report();
    let drone = agent.drone(&repo.drone());
    drone.push_change("README.md", "hunted");
    let uses = "gh pr list; gh auth status; drone-agent identity; drone-agent doctor || true; \
         git fetch https://forge.hatchery.test/other/repo || true; gh repo view other/repo || true; \
         GIT_TRACE=1 git fetch; echo wrong | git -c credential.helper= ls-remote -q || true";
    told += &drone.sh(uses).report();
    for view in [&["list"][..], &["status", drone.name()], &["logs", drone.name()]] {
        told += &agent.hatchery(&[&["--json"], view].concat()).report();
    }
    told += &engine(world, &drone);
    prey.assert_no_file_has_it(agent.home());
    for layer in layers(world, &drone) {
        prey.assert_no_file_has_it(&layer);
    }
    // In memory file systems, which are in no layer.
    let held = "find /dev/shm /dev/mqueue /run /tmp -type f -exec cat {} + 2>/dev/null || true";
    told += &drone.root_sh(held).stdout;
    told += &agent.hatchery(&["rebuild", drone.name()]).report();
    told += &drone.slay(&["--force"]).report();
    told
}

/// What the engine shows of a drone to whoever may ask it.
fn engine(world: &Turn, drone: &Drone<'_>) -> String {
    let named = format!("hatchery/{}", drone.name());
    let images = world.bed.docker(&["images", "-q", "--no-trunc", &named]);
    let images: Vec<&str> = images.ok().lines().collect();
    assert!(!images.is_empty(), "the drone has images");
    let mut told = world.bed.docker(&["inspect", drone.name()]).ok().to_owned();
    told += world.bed.docker(&[&["image", "inspect"], &images[..]].concat()).ok();
    for image in images {
        told += world.bed.docker(&["history", "--no-trunc", image]).ok();
    }
    told += &world.bed.docker(&["logs", drone.name()]).report();
    told += &world.bed.docker(&["volume", "inspect", &format!("hatchery-{}", drone.name())]).stdout;
    told
}

/// Directories of the engine's with what this drone's images and its container wrote, and its volumes.
fn layers(world: &Turn, drone: &Drone<'_>) -> Vec<PathBuf> {
    let of = |format: &str, what: &str| {
        world.bed.docker(&["inspect", "--format", format, what]).ok().to_owned()
    };
    let base = hatchery_tests::bed::setting("HATCHERY_TEST_IMAGE_DEV");
    let known = of("{{.GraphDriver.Data.UpperDir}}:{{.GraphDriver.Data.LowerDir}}", &base);
    let all = of("{{.GraphDriver.Data.UpperDir}}:{{.GraphDriver.Data.LowerDir}}", drone.name());
    let own = all.split(':').filter(|layer| !known.contains(layer));
    let mut found: Vec<PathBuf> = own.map(PathBuf::from).collect();
    let mounts =
        of("{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Source}}\n{{end}}{{end}}", drone.name());
    found.extend(mounts.lines().filter(|line| !line.is_empty()).map(PathBuf::from));
    assert!(found.len() >= 4 && found.iter().all(|layer| layer.is_dir()), "{found:?}");
    found
}

/// What is hunted for.
struct Prey {
    key_lines: Vec<String>,
}

impl Prey {
    fn new(agent: &HostAgent) -> Self {
        let key = std::fs::read_to_string(agent.world().forge.app_key_file()).expect("the key");
        let lines = key.lines().filter(|line| !line.starts_with("-----") && line.len() > 40);
        let key_lines: Vec<String> = lines.map(str::to_owned).collect();
        assert!(key_lines.len() > 10, "the key has lines");
        Self { key_lines }
    }

    /// The secret that is in `text`, without most of itself.
    fn in_text(&self, text: &str) -> Option<String> {
        let token = tails(text, "ghs_").any(|tail| tail.len() >= 30).then_some("a token");
        let jwt = || {
            let mut tails = tails(text, "eyJ");
            tails.any(|tail| tail.split('.').filter(|part| part.len() > 15).count() >= 2)
        };
        token
            .or_else(|| jwt().then_some("a JWT"))
            .or_else(|| text.contains(BASIC).then_some("a token in base64"))
            .or_else(|| {
                self.key_lines.iter().any(|line| text.contains(line)).then_some("the App's key")
            })
            .map(str::to_owned)
    }

    fn assert_not_in(&self, place: &str, text: &str) {
        assert_eq!(self.in_text(text), None, "in {place}");
    }

    fn assert_no_file_has_it(&self, folder: &Path) {
        let mut found = Vec::new();
        self.files(folder, &mut found);
        assert!(found.is_empty(), "in {found:#?}");
    }

    fn files(&self, folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type());
            if kind.as_ref().is_ok_and(std::fs::FileType::is_dir) {
                self.files(&path, found);
            } else if kind.is_ok_and(|kind| kind.is_file()) {
                let bytes = std::fs::read(&path).unwrap_or_default();
                let secret = self.in_text(&String::from_utf8_lossy(&bytes));
                found.extend(secret.map(|secret| format!("{secret} in {}", path.display())));
            }
        }
    }

    /// Whatever is looked for would be noticed.
    fn see_that_it_is_found(&self) {
        let folder = tempfile::tempdir().expect("a directory");
        let token = format!("ghs_{}", "x".repeat(36));
        let stateless =
            format!("ghs_12_eyJ{}.eyJ{}.-{}", "a".repeat(30), "b".repeat(30), "c_".repeat(30));
        let jwt = format!("Bearer eyJ{}.{}.sig", "a".repeat(30), "b".repeat(30));
        let basic = format!("Authorization: basic {BASIC}Xw==");
        for secret in [&token, &stateless, &jwt, &basic, &self.key_lines[3]] {
            let file = folder.path().join("deep/file");
            std::fs::create_dir_all(folder.path().join("deep")).expect("made");
            std::fs::write(&file, [b"\0\xff", format!("\"{secret}\"").as_bytes()].concat())
                .expect("written");
            let mut found = Vec::new();
            self.files(folder.path(), &mut found);
            assert_eq!(found.len(), 1, "{secret}");
        }
    }
}

/// What follows each `begin`, as far as it can be part of a token.
fn tails<'a>(text: &'a str, begin: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(begin).skip(1).map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
    })
}

/// Looks at the arguments and environments of all processes, again and again.
struct Watch {
    stop: std::sync::Arc<AtomicBool>,
    watcher: std::thread::JoinHandle<BTreeSet<String>>,
}

impl Watch {
    fn start(prey: &Prey) -> Self {
        let prey = Prey { key_lines: prey.key_lines.clone() };
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let ended = std::sync::Arc::clone(&stop);
        let watcher = std::thread::spawn(move || {
            let mut found = BTreeSet::new();
            while !ended.load(Ordering::Relaxed) {
                found.extend(processes(&prey));
                std::thread::sleep(Duration::from_millis(20));
            }
            found
        });
        Self { stop, watcher }
    }

    /// Everything that was seen.
    fn end(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.watcher.join().expect("the watcher")
    }
}

/// Processes that show a secret to others. Inside other tests' drones one may be on purpose.
fn processes(prey: &Prey) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let folder = entry.path();
        let read = |name: &str| {
            let bytes = std::fs::read(folder.join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let (arguments, environment) = (read("cmdline"), read("environ"));
        if arguments.is_empty() || is_of_another_test(&environment) {
            continue;
        }
        // gh gets its token in the environment of the one image that is exec'ed, by design; what it
        // starts inherits it.
        let in_environment =
            || (!is_below_gh(&folder)).then(|| prey.in_text(&environment)).flatten();
        if let Some(secret) = prey.in_text(&arguments).or_else(in_environment) {
            found.push(format!("{secret}: {}", arguments.chars().take(80).collect::<String>()));
        }
    }
    found
}

/// Drones of the hunt have its owner in their environment, and so have those that others made.
fn is_of_another_test(environment: &str) -> bool {
    let owner = environment.split(' ').find_map(|one| one.strip_prefix("OWNER="));
    owner.is_some_and(|owner| !owner.starts_with("hunt-"))
}

/// Whether a process is gh, or was started by one.
fn is_below_gh(folder: &Path) -> bool {
    let mut folder = folder.to_owned();
    for _ in 0..16 {
        let stat = std::fs::read_to_string(folder.join("stat")).unwrap_or_default();
        let Some((head, rest)) = stat.rsplit_once(") ") else { return false };
        if head.ends_with("(gh") {
            return true;
        }
        let Some(parent) = rest.split(' ').nth(1) else { return false };
        folder = Path::new("/proc").join(parent);
    }
    false
}
