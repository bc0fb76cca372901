//! The host's firewall by `iptables`: a chain of ours, jumped to from `DOCKER-USER` (what drones
//! send through the host) and from `INPUT` (what they send to it).
//!
//! Both chains are replaced in one transaction (`iptables-restore`), so that there is no moment
//! without rules.
//!
//! An engine without root has a network namespace of its own (rootlesskit), whose rules its user may
//! set: there the same chains are put, and keep drones also from the addresses by which that
//! network's way out (slirp4netns, pasta) leads back to the host.

use std::time::Duration;

use super::Machine;
use super::exec::Run;
use crate::lifecycle::network::{GuardRules, NetworkGuard, Outlook};

/// Chain for packets that pass through the host.
const FORWARD: &str = "HATCHERY-FORWARD";
/// Chain for packets to the host itself.
const INPUT: &str = "HATCHERY-INPUT";

/// The chain that Docker leaves to others, ahead of its own rules. Docker before 27 makes none for
/// IPv6.
const DOCKER_USER: &str = "DOCKER-USER";

/// How long one command may take, waiting for its lock included.
const LIMIT: Duration = Duration::from_secs(30);

/// Seconds to wait for the lock that Docker holds while it works.
const LOCK_SECONDS: &str = "10";

/// One version of the Internet protocol.
struct Family {
    command: &'static str,
    restore: &'static str,
    /// Where no drone may open a connection to: cloud metadata and link-local, tailnets.
    denied: &'static [&'static str],
    of: fn(&std::net::IpAddr) -> bool,
}

const V4: Family = Family {
    command: "iptables",
    restore: "iptables-restore",
    denied: &["169.254.0.0/16", "100.64.0.0/10"],
    of: std::net::IpAddr::is_ipv4,
};

const V6: Family = Family {
    command: "ip6tables",
    restore: "ip6tables-restore",
    // Amazon's and Google's metadata have addresses of their own.
    denied: &["fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128", "fd7a:115c:a1e0::/48"],
    of: std::net::IpAddr::is_ipv6,
};

impl NetworkGuard for Machine {
    async fn outlook(&self) -> Outlook {
        self.namespace().await.outlook().await
    }

    async fn guard(&self, rules: &GuardRules) -> Result<(), String> {
        self.apply(&V4, rules).await?;
        // A host without IPv6 has no table for it, and nothing to deny.
        if std::path::Path::new("/proc/sys/net/ipv6").exists() {
            self.apply(&V6, rules).await?;
        }
        Ok(())
    }
}

impl Machine {
    async fn apply(&self, family: &Family, rules: &GuardRules) -> Result<(), String> {
        let table = table(family, rules);
        self.firewall(family.restore, &["--noflush", "-w", LOCK_SECONDS], Some(table)).await?;
        let locked = ["-w", LOCK_SECONDS];
        let list = [&locked[..], &["-n", "-L", DOCKER_USER]].concat();
        let left = self.firewall(family.command, &list, None).await.is_ok();
        for (parent, chain) in
            [(if left { DOCKER_USER } else { "FORWARD" }, FORWARD), ("INPUT", INPUT)]
        {
            let check = [&locked[..], &["-C", parent, "-j", chain]].concat();
            if self.firewall(family.command, &check, None).await.is_err() {
                let insert = [&locked[..], &["-I", parent, "1", "-j", chain]].concat();
                self.firewall(family.command, &insert, None).await?;
            }
        }
        Ok(())
    }

    async fn firewall(
        &self,
        program: &str,
        arguments: &[&str],
        input: Option<String>,
    ) -> Result<(), String> {
        let (program, arguments) = self.namespace().await.enter(program, arguments)?;
        let run = Run {
            program: (&program).into(),
            arguments: arguments.iter().map(Into::into).collect(),
            environment: vec![],
            home: self.scratch.clone(),
            directory: self.scratch.clone(),
            input,
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

/// Both chains, as `iptables-restore --noflush` takes them: chains that are named are emptied and
/// filled, all others stay.
fn table(family: &Family, rules: &GuardRules) -> String {
    let mut lines = vec!["*filter".to_owned()];
    lines.extend([FORWARD, INPUT].map(|chain| format!(":{chain} - [0:0]")));
    let resolvers: Vec<_> = rules.resolvers.iter().filter(|address| (family.of)(address)).collect();
    for interface in &rules.interfaces {
        for (address, protocol) in
            resolvers.iter().flat_map(|address| ["udp", "tcp"].map(|protocol| (address, protocol)))
        {
            let to = format!("-i {interface} -d {address} -p {protocol} --dport 53");
            lines.push(format!("-A {FORWARD} {to} -j RETURN"));
            lines.push(format!("-A {INPUT} {to} -j ACCEPT"));
        }
        let new = "-m conntrack --ctstate NEW -j DROP";
        for address in rules.host.iter().filter(|address| (family.of)(address)) {
            for port in &rules.host_ports {
                let to = format!("-i {interface} -d {address} -p tcp --dport {port}");
                lines.push(format!("-A {FORWARD} {to} -j RETURN"));
            }
            lines.push(format!("-A {FORWARD} -i {interface} -d {address} {new}"));
        }
        for network in family.denied {
            lines.push(format!("-A {FORWARD} -i {interface} -d {network} {new}"));
        }
        // Docker keeps the containers of the shared network apart by IPv4 alone.
        let shared = (*interface == rules.shared).then_some(interface);
        let others = rules.interfaces.iter().filter(|other| *other != interface);
        for other in others.chain(shared) {
            lines.push(format!("-A {FORWARD} -i {interface} -o {other} -j DROP"));
        }
        for port in &rules.host_ports {
            lines.push(format!("-A {INPUT} -i {interface} -p tcp --dport {port} -j ACCEPT"));
        }
        lines.push(format!("-A {INPUT} -i {interface} {new}"));
    }
    lines.push("COMMIT\n".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drone_reaches_the_open_ports_and_nothing_else_of_the_host() {
        let rules = GuardRules {
            interfaces: vec!["hatchery0".into(), "ht1".into()],
            shared: "hatchery0".into(),
            host_ports: vec![443],
            resolvers: vec!["100.100.100.100".parse().expect("an address")],
            host: vec![],
        };
        let text = table(&V4, &rules);
        let position = |line: &str| {
            text.lines().position(|one| one == line).unwrap_or_else(|| panic!("no {line}: {text}"))
        };
        let open = position("-A HATCHERY-INPUT -i hatchery0 -p tcp --dport 443 -j ACCEPT");
        let closed = "-A HATCHERY-INPUT -i hatchery0 -m conntrack --ctstate NEW -j DROP";
        assert!(open < position(closed));
        let resolver = "-A HATCHERY-FORWARD -i ht1 -d 100.100.100.100 -p udp --dport 53 -j RETURN";
        let tailnet =
            "-A HATCHERY-FORWARD -i ht1 -d 100.64.0.0/10 -m conntrack --ctstate NEW -j DROP";
        assert!(position(resolver) < position(tailnet));
        position("-A HATCHERY-FORWARD -i ht1 -o hatchery0 -j DROP");
        position("-A HATCHERY-FORWARD -i hatchery0 -o hatchery0 -j DROP");
        assert!(!text.contains("-i ht1 -o ht1"), "a drone's own services talk to each other");
        assert!(!table(&V6, &rules).contains("100.100"));
    }

    #[test]
    fn what_leads_back_to_the_host_is_closed_but_for_open_ports_and_the_resolver() {
        let address = |text: &str| text.parse().expect("an address");
        let rules = GuardRules {
            interfaces: vec!["hatchery0".into()],
            shared: "hatchery0".into(),
            host_ports: vec![443],
            resolvers: vec![address("10.0.2.3")],
            host: vec![address("10.0.2.3"), address("192.0.2.7"), address("2001:db8::7")],
        };
        let text = table(&V4, &rules);
        let forward: Vec<_> =
            text.lines().filter(|line| line.contains("HATCHERY-FORWARD")).collect();
        let line = |line: &str| {
            let wanted = format!("-A HATCHERY-FORWARD -i hatchery0 {line}");
            forward.iter().position(|one| **one == wanted).unwrap_or_else(|| panic!("{text}"))
        };
        let closed = line("-d 10.0.2.3 -m conntrack --ctstate NEW -j DROP");
        assert!(line("-d 10.0.2.3 -p udp --dport 53 -j RETURN") < closed);
        let closed = line("-d 192.0.2.7 -m conntrack --ctstate NEW -j DROP");
        assert!(line("-d 192.0.2.7 -p tcp --dport 443 -j RETURN") < closed);
        assert!(!text.contains("2001:db8"));
        assert!(table(&V6, &rules).contains("-d 2001:db8::7 -m conntrack --ctstate NEW -j DROP"));
    }
}
