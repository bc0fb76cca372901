//! Reads the configuration file and checks it whole.

use std::io;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::paths::Locations;
use super::raw::{Problem, Problems, Section};
use super::tables;
use super::valid::Config;

/// The configuration file's name in its directory.
pub(super) const CONFIG_FILE: &str = "config.toml";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file has errors.
    #[error("the configuration {path} has {}", count(problems.len()))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// All of them, in the order of the file.
        problems: Vec<Problem>,
    },
}

impl ConfigError {
    /// Every error with its place, a line each: `FILE:LINE: KEY: what is wrong`.
    pub fn places(&self) -> Vec<String> {
        let Self::Wrong { path, problems } = self else { return vec![] };
        let line = |problem: &Problem| {
            let place = format!("{}:{}", path.display(), problem.line);
            if problem.key.is_empty() {
                format!("{place}: {}", problem.message)
            } else {
                format!("{place}: {}: {}", problem.key, problem.message)
            }
        };
        problems.iter().map(line).collect()
    }
}

fn count(problems: usize) -> String {
    if problems == 1 { "an error".to_owned() } else { format!("{problems} errors") }
}

/// Loads the configuration from `file` (`--config`), else from where the environment or the
/// default says. Blocks on the disk: call it before the runtime starts.
///
/// # Errors
/// When the file cannot be read, or with everything that is wrong in it.
pub fn load(file: Option<&Path>, locations: &Locations<'_>) -> Result<Config, ConfigError> {
    let path = locations.paths(file).config;
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text, &path, locations),
        Err(source) => Err(ConfigError::Unreadable { path, source }),
    }
}

/// Checks the whole of `text`, the content of the file at `path`.
pub(crate) fn parse(
    text: &str,
    path: &Path,
    locations: &Locations<'_>,
) -> Result<Config, ConfigError> {
    let problems = Problems::new(text);
    let (document, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        problems.add(error.span().map_or(0, |span| span.start), "", error.message());
    }
    // What a broken file seems to lack may stand in the line that does not parse.
    let config = if syntax.is_empty() {
        tables::config(Section::root(&problems, &document), path, locations)
    } else {
        None
    };
    let problems = problems.into_sorted();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigError::Wrong { path: path.to_owned(), problems }),
    }
}

/// A configuration as root has it where no variable of ours is set.
#[cfg(test)]
pub(super) fn parse_for_tests(text: &str) -> Config {
    let locations = Locations { root: true, variable: &|_| None, executable: None };
    parse(text, Path::new("/etc/hatchery/config.toml"), &locations).expect("a configuration")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use proptest::prelude::*;

    use super::super::env;
    use super::super::valid::DroneFeature;
    use super::*;

    const DESIGN: &str = include_str!("testdata/design.toml");
    const LEAST: &str =
        "[[forge]]\napp = { client_id = \"Iv23\", private_key_file = \"app.pem\" }\n";

    fn parsed(text: &str) -> Result<Config, ConfigError> {
        parsed_with(text, ("HOME", "/root"))
    }

    fn parsed_with(text: &str, set: (&str, &str)) -> Result<Config, ConfigError> {
        let variable = |name: &str| (name == set.0).then(|| OsString::from(set.1));
        let locations = Locations { root: true, variable: &variable, executable: None };
        parse(text, Path::new("/etc/hatchery/config.toml"), &locations)
    }

    /// The errors as `serve` shows them, a line each.
    fn errors(text: &str) -> String {
        match parsed(text) {
            Err(ConfigError::Wrong { problems, .. }) => {
                let line = |p: &Problem| format!("{}: {}: {}\n", p.line, p.key, p.message);
                problems.iter().map(line).collect()
            }
            other => panic!("accepted: {other:?}"),
        }
    }

    #[test]
    fn the_designs_example_is_taken() {
        let config = parsed(DESIGN).expect("the design's own example");
        assert_eq!(config.limits.free_memory_floor, 1 << 30);
        assert_eq!(config.drone.permissions.get("contents").map(String::as_str), Some("write"));
        assert_eq!(config.features.drone, DroneFeature::BuiltIn);
        assert_eq!(config.policy.len(), 1);
    }

    #[test]
    fn every_key_but_the_app_has_the_designs_default() {
        let (least, design) = (parsed(LEAST).expect("least"), parsed(DESIGN).expect("design"));
        assert_eq!(least.limits, design.limits);
        assert_eq!(least.drone, design.drone);
        assert_eq!(least.network, design.network);
        assert_eq!(least.features, design.features);
        assert_eq!(least.registries_allow, design.registries_allow);
        assert_eq!(least.git_identity, design.git_identity);
        assert_eq!(least.ssh.port, design.ssh.port);
        let (a, b) = (&least.forges[0], &design.forges[0]);
        assert_eq!(
            (&a.host, &a.api_url, &a.git_url, &a.keys_url),
            (&b.host, &b.api_url, &b.git_url, &b.keys_url)
        );
        assert_eq!(a.app.private_key_file, Path::new("/etc/hatchery/app.pem"));
    }

    #[test]
    fn the_first_rule_for_a_repository_says_what_drones_may_do_there() {
        let config = parsed(&format!(
            "{LEAST}[drone]\npermissions = {{ contents = \"write\" }}\n\
             [[grants]]\nrepositories = [\"acme/docs\", \"*/*.github.io\"]\n\
             permissions = {{ contents = \"read\", pages = \"write\" }}\n\
             [[grants]]\nrepositories = [\"acme/*\"]\npermissions = {{ issues = \"write\" }}\n"
        ))
        .expect("a configuration");
        for (repo, first) in [
            ("acme/docs", ("contents", "read")),
            ("ACME/Docs", ("contents", "read")),
            ("other/acme.github.io", ("contents", "read")),
            ("acme/web", ("issues", "write")),
            ("other/web", ("contents", "write")),
        ] {
            let permissions = config.permissions_for(&repo.parse().expect("a repository"));
            let (name, level) = permissions.first_key_value().expect("a permission");
            assert_eq!((name.as_str(), level.as_str()), first, "{repo}");
        }
    }

    #[test]
    fn an_enterprise_host_has_its_own_urls() {
        let config = parsed(
            "[[forge]]\nhost = \"git.acme.test\"\naddress = \"172.17.0.1\"\n\
             app = { app_id = 12345, private_key_file = \"/k\" }\n",
        )
        .expect("enterprise");
        assert_eq!(config.forges[0].api_url, "https://git.acme.test/api/v3");
        assert_eq!(config.forges[0].git_url, "https://git.acme.test");
        assert_eq!(config.forges[0].app.issuer, "12345");
    }

    #[test]
    fn the_engine_is_the_one_that_dockers_own_variable_names() {
        let socket = |host| {
            parsed_with(LEAST, (env::DOCKER_HOST, host)).map(|config| config.programs.docker_socket)
        };
        assert_eq!(socket("unix:///run/d.sock").expect("a socket"), Path::new("/run/d.sock"));
        socket("tcp://10.0.0.1:2375").expect_err("an engine elsewhere");
    }

    #[test]
    fn an_empty_file_lacks_only_the_app() {
        insta::assert_snapshot!(errors(""));
    }

    #[test]
    fn all_errors_are_reported_at_once() {
        insta::assert_snapshot!(errors(include_str!("testdata/wrong.toml")));
    }

    #[test]
    fn what_is_no_toml_is_shown_where_it_breaks() {
        insta::assert_snapshot!(errors("[limits]\nmax_drones = \n\n[drone\nmemory = \"8GiB\"\n"));
    }

    proptest! {
        #[test]
        fn no_file_breaks_the_reader(text in "[\\[\\]a-z_=\"0-9{},.\n ]{0,120}") {
            let _ = parsed(&text);
        }

        #[test]
        fn a_broken_value_is_an_error_with_its_line(value in "[a-z]{1,8}") {
            let text = format!("{LEAST}[limits]\nfree_disk_floor = \"{value}\"\n");
            match parsed(&text) {
                Err(ConfigError::Wrong { problems, .. }) => {
                    prop_assert_eq!(problems.len(), 1);
                    prop_assert_eq!(problems[0].line, 4);
                    prop_assert_eq!(problems[0].key.as_str(), "limits.free_disk_floor");
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
