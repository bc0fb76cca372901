//! A user without root who is in Docker's group, for host agents that are run by one. The machine
//! does not learn of this user: accounts, the checkout and the tools are put in place in a mount
//! namespace of the user's own programs.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Bed, Run, World, bed};

/// Number of the user and of the user's own group; nobody's on a Debian.
const USER: u32 = 4242;
/// Number of the group that the engine's socket belongs to.
const DOCKER: u32 = 4243;
/// The user's name.
pub const NAME: &str = "ann";

/// Puts things in place, and becomes the user.
const BECOME: &str = "home=$1; \
    mount --bind $home/etc/passwd /etc/passwd; mount --bind $home/etc/group /etc/group; \
    mount --bind \"$2\" $home/cache; mount --bind \"$3\" $home/checkout; \
    user=$4; docker=$5; shift 5; cd $home; \
    exec setpriv --reuid $user --regid $user --groups $docker --inh-caps=-all -- \"$@\"";

/// Such a user, with a home directory.
#[derive(Debug)]
pub struct OrdinaryUser {
    home: PathBuf,
}

impl OrdinaryUser {
    /// Makes the home directory, with the App's key and the tools in it, and lets the user at the
    /// engine. `groups` are further lines of `/etc/group`.
    pub(crate) fn make(world: &World, home: &Path, groups: &str) -> Self {
        for directory in
            ["cache", "checkout", "etc", "run", ".config/hatchery", ".docker", ".local/state"]
        {
            std::fs::create_dir_all(home.join(directory)).expect("a directory of the user");
        }
        let user = Self { home: home.to_owned() };
        user.account("passwd", &format!("{NAME}:x:{USER}:{USER}::{}:/bin/sh\n", home.display()));
        user.account(
            "group",
            &format!("{NAME}:x:{USER}:\ndocker-test:x:{DOCKER}:{NAME}\n{groups}"),
        );
        std::fs::copy(world.forge.app_key_file(), user.key_file()).expect("the App's key");
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(user.key_file(), private).expect("the key's mode");
        let plugins = PathBuf::from(world.bed.docker_config()).join("cli-plugins");
        let plugins = user.seen(&plugins.canonicalize().expect("the client's plugins"));
        std::os::unix::fs::symlink(plugins, home.join(".docker/cli-plugins")).expect("a link");
        let owner = format!("{USER}:{USER}");
        Run::of(Command::new("chown").arg("-hR").arg(owner).arg(home)).ok();
        let host = world.bed.docker_host();
        let socket = host.strip_prefix("unix://").expect("a Unix socket");
        chown(socket, None, Some(DOCKER)).expect("the engine's socket");
        user
    }

    /// A program of this user's in the network of `bed`.
    pub(crate) fn command(&self, bed: Bed, program: &str) -> Command {
        let mut command = bed.command("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-euc", BECOME, "sh"]);
        command.arg(&self.home).arg(cache()).arg(checkout());
        command.args([USER.to_string(), DOCKER.to_string()]);
        command.arg(self.seen(Path::new(program)));
        let path = bed.path();
        let path: Vec<_> = std::env::split_paths(&path).map(|one| self.seen(&one)).collect();
        command.env("PATH", std::env::join_paths(path).expect("a PATH"));
        command.env("HOME", &self.home).env("XDG_RUNTIME_DIR", self.home.join("run"));
        command.env("DOCKER_CONFIG", self.home.join(".docker"));
        command
    }

    /// The configuration as this user has it: with paths that the user can read.
    pub(crate) fn configuration(&self, world: &World, text: &str) -> String {
        let text = text.replace(&shown(&world.forge.app_key_file()), &shown(&self.key_file()));
        text.replace(&shown(&cache()), &shown(&self.home.join("cache")))
    }

    /// Where the configuration lies when nothing says otherwise.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.home.join(".config/hatchery/config.toml")
    }

    /// The same of the state directory.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.home.join(".local/state/hatchery")
    }

    /// The same of the runtime directory.
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.home.join("run/hatchery")
    }

    /// Number of the user.
    pub fn uid(&self) -> u32 {
        USER
    }

    fn key_file(&self) -> PathBuf {
        self.home.join(".config/hatchery/app.pem")
    }

    /// A local database of accounts: the machine's, and `own` lines.
    fn account(&self, name: &str, own: &str) {
        let machine = std::fs::read_to_string(Path::new("/etc").join(name)).expect("accounts");
        std::fs::write(self.home.join("etc").join(name), machine + own).expect("accounts");
    }

    /// Where this user sees what lies in the checkout or in the cache, which may be below a home
    /// directory of root's.
    pub(crate) fn seen(&self, path: &Path) -> PathBuf {
        for (from, to) in [(cache(), "cache"), (checkout(), "checkout")] {
            let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            for path in [path, &whole] {
                if let Ok(rest) = path.strip_prefix(&from) {
                    return self.home.join(to).join(rest);
                }
            }
        }
        path.to_owned()
    }
}

fn cache() -> PathBuf {
    PathBuf::from(bed::setting("HATCHERY_CACHE"))
}

fn checkout() -> PathBuf {
    Bed::checkout("").canonicalize().expect("the checkout")
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
