//! The host's firewall by `iptables`: a chain of ours, jumped to from `DOCKER-USER` (what drones
//! send through the host) and from `INPUT` (what they send to it).

use std::time::Duration;

use super::Machine;
use super::exec::Run;
use crate::lifecycle::network::{GuardRules, NetworkGuard};

/// Chain for packets that pass through the host.
const FORWARD: &str = "HATCHERY-FORWARD";
/// Chain for packets to the host itself.
const INPUT: &str = "HATCHERY-INPUT";

/// How long one command may take, waiting for its lock included.
const LIMIT: Duration = Duration::from_secs(30);

/// Seconds that iptables waits for the lock that Docker holds while it works.
const LOCK_SECONDS: &str = "10";

/// Destinations that no drone may open a connection to: cloud metadata and link-local, tailnet.
const DENIED_V4: [&str; 2] = ["169.254.0.0/16", "100.64.0.0/10"];
const DENIED_V6: [&str; 2] = ["fe80::/10", "fd7a:115c:a1e0::/48"];

impl NetworkGuard for Machine {
    async fn guard(&self, rules: &GuardRules) -> Result<(), String> {
        self.restore("iptables", rules, &DENIED_V4).await?;
        // A host without IPv6 has no table for it, and nothing to deny.
        if std::path::Path::new("/proc/sys/net/ipv6").exists() {
            self.restore("ip6tables", rules, &DENIED_V6).await?;
        }
        Ok(())
    }
}

impl Machine {
    /// Flushes and fills both chains, and sees that they are jumped to first.
    async fn restore(
        &self,
        program: &str,
        rules: &GuardRules,
        denied: &[&str],
    ) -> Result<(), String> {
        let (forward, input) = (forward_rules(rules, denied), input_rules(rules));
        for (chain, parent, rules) in [(FORWARD, "DOCKER-USER", forward), (INPUT, "INPUT", input)] {
            let _ = self.iptables(program, &["-N", chain]).await;
            let _ = self.iptables(program, &["-N", parent]).await;
            self.iptables(program, &["-F", chain]).await?;
            for rule in &rules {
                let mut arguments = vec!["-A", chain];
                arguments.extend(rule.split(' '));
                self.iptables(program, &arguments).await?;
            }
            if self.iptables(program, &["-C", parent, "-j", chain]).await.is_err() {
                self.iptables(program, &["-I", parent, "1", "-j", chain]).await?;
            }
        }
        Ok(())
    }

    async fn iptables(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        let mut all = vec!["-w".into(), LOCK_SECONDS.into()];
        all.extend(arguments.iter().map(Into::into));
        let run = Run {
            program: program.into(),
            arguments: all,
            environment: vec![],
            home: self.scratch.clone(),
            directory: self.scratch.clone(),
            limit: LIMIT,
        };
        match run.output().await {
            Ok((status, ..)) if status.success() => Ok(()),
            Ok((_, _, said)) => {
                let first = said.lines().next().unwrap_or("it failed");
                Err(format!("`{program} {}`: {first}", arguments.join(" ")))
            }
            Err(error) => Err(format!("cannot run {program}: {error}")),
        }
    }
}

/// New connections of drones through the host: everywhere but to what is denied and to each other.
fn forward_rules(rules: &GuardRules, denied: &[&str]) -> Vec<String> {
    let mut lines = vec![];
    for interface in &rules.interfaces {
        for network in denied {
            lines.push(format!("-i {interface} -d {network} -m conntrack --ctstate NEW -j DROP"));
        }
        for other in rules.interfaces.iter().filter(|other| *other != interface) {
            lines.push(format!("-i {interface} -o {other} -j DROP"));
        }
    }
    lines
}

/// New connections of drones to the host itself: to the ports that stay open, nowhere else.
fn input_rules(rules: &GuardRules) -> Vec<String> {
    let mut lines = vec![];
    for interface in &rules.interfaces {
        for port in &rules.host_ports {
            lines.push(format!("-i {interface} -p tcp --dport {port} -j ACCEPT"));
        }
        for resolver in &rules.resolvers {
            for protocol in ["udp", "tcp"] {
                lines.push(format!(
                    "-i {interface} -d {resolver} -p {protocol} --dport 53 -j ACCEPT"
                ));
            }
        }
        lines.push(format!("-i {interface} -m conntrack --ctstate NEW -j DROP"));
    }
    lines
}
