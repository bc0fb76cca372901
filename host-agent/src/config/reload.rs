//! A configuration file that was read again: what of it counts at once, and what waits for the next
//! start.

use super::valid::{Config, Limits};

/// What a new configuration file changes. By table or key, as the file names them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// In force from now on.
    pub applied: Vec<&'static str>,
    /// Not before the host agent starts again.
    pub at_restart: Vec<&'static str>,
}

impl Config {
    /// Takes over what can change under running drones; operations under way may see either.
    pub fn reload(&self, new: Config) -> Changes {
        let mut at_restart = Vec::new();
        // In full, so that a new table does not compile before somebody has decided.
        let Config {
            limits,
            drone,
            forges,
            git_identity,
            ssh,
            network,
            features,
            registries_allow,
            grants,
            policy,
            programs,
            paths,
        } = new;
        let restart = [
            (
                "[limits] build_concurrency",
                limits.build_concurrency != self.limits.build_concurrency,
            ),
            ("[[forge]]", forges != self.forges),
            ("[programs]", programs != self.programs),
            ("where state and sockets lie", paths != self.paths),
        ];
        at_restart.extend(restart.into_iter().filter_map(|(what, is)| is.then_some(what)));
        // The engine's queue is made once.
        let limits =
            Limits { build_concurrency: self.limits.build_concurrency, ..Limits::clone(&limits) };
        let apply = [
            ("[limits]", self.limits.adopt(limits.into())),
            ("[drone]", self.drone.adopt(drone)),
            ("[git]", self.git_identity.adopt(git_identity)),
            ("[ssh]", self.ssh.adopt(ssh)),
            ("[network]", self.network.adopt(network)),
            ("[features]", self.features.adopt(features)),
            ("[registries]", self.registries_allow.adopt(registries_allow)),
            ("[[grants]]", self.grants.adopt(grants)),
            ("[[policy]]", self.policy.adopt(policy)),
        ];
        let applied = apply.into_iter().filter_map(|(what, is)| is.then_some(what)).collect();
        Changes { applied, at_restart }
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::parse_for_tests;
    use super::*;

    const BEFORE: &str =
        "[[forge]]\napp = { client_id = \"Iv23\", private_key_file = \"app.pem\" }\n";

    fn reloaded(after: &str) -> (Config, Changes) {
        let (before, after) = (parse_for_tests(BEFORE), parse_for_tests(after));
        let changes = before.reload(after);
        (before, changes)
    }

    #[test]
    fn what_did_not_change_is_not_told() {
        assert_eq!(reloaded(BEFORE).1, Changes::default());
    }

    #[test]
    fn every_table_that_can_change_under_drones_does() {
        let after = format!(
            "{BEFORE}[limits]\nmax_drones = 3\n[drone]\npids = 99\npermissions = {{ contents = \
             \"read\" }}\n[git]\nname = \"Zerg\"\nemail = \"zerg@example.org\"\n[ssh]\nport = \
             2022\n[network]\nhost_ports = [8080]\n[features]\nsshd = \"\"\n[registries]\nallow = \
             [\"ghcr.io\"]\n[[grants]]\nrepositories = [\"acme/*\"]\npermissions = {{ contents = \
             \"read\" }}\n[[policy]]\nrepositories = [\"acme/*\"]\nallow = [\"docker-socket\"]\n"
        );
        let (config, changes) = reloaded(&after);
        assert_eq!(changes.applied.len(), 9, "{changes:?}");
        assert_eq!(changes.at_restart, Vec::<&str>::new());
        assert_eq!((config.limits.max_drones, config.drone.pids), (3, 99));
        assert_eq!(config.drone.permissions.len(), 1);
        assert_eq!(config.git_identity.as_ref().map(|git| git.name.as_str()), Some("Zerg"));
        assert_eq!(config.network.host_ports, [8080]);
        assert_eq!(config.registries_allow.as_slice(), ["ghcr.io"]);
        assert_eq!((config.grants.len(), config.policy.len()), (1, 1));
    }

    #[test]
    fn what_needs_a_restart_stays_as_it_was_and_is_told_each_time() {
        let after = BEFORE.replace("Iv23", "Iv42")
            + "[limits]\nbuild_concurrency = 7\n[programs]\ngit = \"/opt/git\"\n";
        let (config, changes) = reloaded(&after);
        assert_eq!(changes.applied, Vec::<&str>::new());
        let told = ["[limits] build_concurrency", "[[forge]]", "[programs]"];
        assert_eq!(changes.at_restart, told);
        assert_eq!(config.limits.build_concurrency, 2);
        assert_eq!(config.reload(parse_for_tests(&after)).at_restart, told);
    }
}
