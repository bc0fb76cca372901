//! Where things lie by default: the system's directories for root, the XDG ones without, each moved
//! by an environment variable of ours (design, "State").

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::valid::Paths;
use super::{env, load::CONFIG_FILE};

/// Where the machine's services have their runtime directories, and the name of ours.
const RUN: &str = "/run";
const NAME: &str = "hatchery";

/// What the places depend on: the user and the environment. Tests make their own.
pub struct Locations<'a> {
    /// Whether the program runs as root.
    pub root: bool,
    /// Reads an environment variable; empty counts as unset.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The running program, from which the built-in feature is found.
    pub executable: Option<PathBuf>,
}

impl Locations<'static> {
    /// Of this process.
    pub fn of_process() -> Self {
        Self {
            root: rustix::process::geteuid().is_root(),
            variable: &|name| std::env::var_os(name).filter(|value| !value.is_empty()),
            executable: std::env::current_exe().ok(),
        }
    }
}

impl Locations<'_> {
    /// The control API's socket: all that a client needs to know. A user without a host agent of
    /// their own gets the machine's, which admits who is in its group.
    pub fn control_socket(&self) -> PathBuf {
        self.socket_among(|path| path.exists())
    }

    fn socket_among(&self, exists: impl Fn(&Path) -> bool) -> PathBuf {
        let own = super::valid::control_socket(&self.runtime());
        let machines = super::valid::control_socket(&Path::new(RUN).join(NAME));
        let asked_for = self.path(env::RUNTIME_DIR).is_some();
        if !asked_for && !exists(&own) && exists(&machines) { machines } else { own }
    }

    /// All paths, with `config` (`--config`) going before the environment.
    pub fn paths(&self, config: Option<&Path>) -> Paths {
        let config = config.map_or_else(|| self.config(), Path::to_owned);
        Paths {
            seal_key: config.with_file_name("seal.key"),
            config,
            runtime: self.runtime(),
            state: self.state(),
            feature_dir: self.feature_dir(),
        }
    }

    fn config(&self) -> PathBuf {
        self.path(env::CONFIG).unwrap_or_else(|| {
            let base =
                if self.root { "/etc".into() } else { self.xdg(env::XDG_CONFIG_HOME, ".config") };
            base.join("hatchery").join(CONFIG_FILE)
        })
    }

    fn runtime(&self) -> PathBuf {
        self.path(env::RUNTIME_DIR).unwrap_or_else(|| {
            let base =
                if self.root { RUN.into() } else { self.xdg(env::XDG_RUNTIME_DIR, ".cache") };
            base.join(NAME)
        })
    }

    fn state(&self) -> PathBuf {
        self.path(env::STATE_DIR).unwrap_or_else(|| {
            let base = if self.root {
                "/var/lib".into()
            } else {
                self.xdg(env::XDG_STATE_HOME, ".local/state")
            };
            base.join("hatchery")
        })
    }

    /// The installed feature (`<exe dir>/../share/hatchery/feature`), else the one of the checkout
    /// that the program was built in. Where neither is, the installed place is named in errors.
    fn feature_dir(&self) -> PathBuf {
        if let Some(set) = self.path(env::FEATURE_DIR) {
            return set;
        }
        let directory =
            self.executable.as_deref().and_then(Path::parent).unwrap_or(Path::new("/usr/bin"));
        let prefix = directory.parent().unwrap_or(Path::new("/usr"));
        let installed = prefix.join("share/hatchery/feature");
        if is_feature(&installed) {
            return installed;
        }
        directory
            .ancestors()
            .map(|ancestor| ancestor.join("feature/src/drone"))
            .find(|candidate| is_feature(candidate))
            .unwrap_or(installed)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        (self.variable)(name).map(PathBuf::from)
    }

    /// An XDG base directory, else `fallback` in the home directory (root's where there is none).
    fn xdg(&self, name: &str, fallback: &str) -> PathBuf {
        self.path(name).filter(|path| path.is_absolute()).unwrap_or_else(|| {
            self.path(env::HOME).unwrap_or_else(|| "/root".into()).join(fallback)
        })
    }
}

fn is_feature(directory: &Path) -> bool {
    directory.join("devcontainer-feature.json").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(root: bool, variables: &[(&str, &str)], executable: Option<PathBuf>) -> Paths {
        let variable = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        };
        Locations { root, variable: &variable, executable }.paths(None)
    }

    #[test]
    fn root_has_the_systems_directories() {
        let paths = paths(true, &[(env::HOME, "/root")], Some("/usr/local/bin/hatchery".into()));
        assert_eq!(paths.config, Path::new("/etc/hatchery/config.toml"));
        assert_eq!(paths.seal_key, Path::new("/etc/hatchery/seal.key"));
        assert_eq!(paths.control_socket(), Path::new("/run/hatchery/control.sock"));
        assert_eq!(paths.state, Path::new("/var/lib/hatchery"));
        assert_eq!(paths.feature_dir, Path::new("/usr/local/share/hatchery/feature"));
    }

    #[test]
    fn a_user_has_the_xdg_directories() {
        let variables = [(env::HOME, "/home/ann"), (env::XDG_RUNTIME_DIR, "/run/user/1000")];
        let paths = paths(false, &variables, None);
        assert_eq!(paths.config, Path::new("/home/ann/.config/hatchery/config.toml"));
        assert_eq!(paths.runtime, Path::new("/run/user/1000/hatchery"));
        assert_eq!(paths.state, Path::new("/home/ann/.local/state/hatchery"));
    }

    #[test]
    fn a_user_without_a_host_agent_talks_to_the_machines() {
        let (own, machines) =
            ("/home/ann/.cache/hatchery/control.sock", "/run/hatchery/control.sock");
        let table = [
            (false, None, vec![machines], machines),
            (false, None, vec![own, machines], own),
            (false, None, vec![], own),
            (false, Some("/r"), vec![machines], "/r/control.sock"),
            (true, None, vec![], machines),
        ];
        for (root, asked_for, there, expected) in table {
            let variable = |name: &str| match name {
                env::HOME => Some("/home/ann".into()),
                env::RUNTIME_DIR => asked_for.map(OsString::from),
                _ => None,
            };
            let locations = Locations { root, variable: &variable, executable: None };
            let found =
                locations.socket_among(|path| there.iter().any(|one| path == Path::new(one)));
            assert_eq!(found, Path::new(expected), "{root} {asked_for:?} {there:?}");
        }
    }

    #[test]
    fn our_variables_go_first() {
        let variables =
            [(env::CONFIG, "/c/h.toml"), (env::RUNTIME_DIR, "/r"), (env::STATE_DIR, "/s")];
        let paths = paths(true, &variables, None);
        assert_eq!(paths.config, Path::new("/c/h.toml"));
        assert_eq!(paths.seal_key, Path::new("/c/seal.key"));
        assert_eq!(paths.control_socket(), Path::new("/r/control.sock"));
        assert_eq!(paths.state, Path::new("/s"));
    }

    #[test]
    fn a_checkout_brings_its_feature() {
        let checkout = tempfile::tempdir().expect("a directory");
        let feature = checkout.path().join("feature/src/drone");
        std::fs::create_dir_all(&feature).expect("make");
        std::fs::write(feature.join("devcontainer-feature.json"), "{}").expect("write");
        let executable = checkout.path().join("target/release/hatchery");
        assert_eq!(paths(true, &[], Some(executable)).feature_dir, feature);
    }
}
