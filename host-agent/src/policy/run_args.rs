//! `runArgs`: options of `docker run`, judged one by one and translated into settings.

use super::checkout::{Checkout, ReadError, resolve};
use super::finding::Permit;
use super::ledger::{Ledger, Place};
use super::mount::{MountContext, Wish, judge_mount};
use super::plan::{Mount, RunSettings, Ulimit};
use super::privilege;
use super::quantity::parse_bytes;
use super::run_options::{Found, OPTIONS, Rule, split};

/// What `runArgs` comes to.
#[derive(Debug, Default)]
pub struct RunArgs {
    /// Settings of the container.
    pub settings: RunSettings,
    /// `--mount`, `--volume`, `--tmpfs`.
    pub mounts: Vec<Mount>,
}

/// Judges `arguments`; `lines` are theirs, `place` is that of `runArgs`.
pub fn judge_run_args(
    arguments: &[String],
    lines: &[u32],
    context: MountContext<'_>,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> RunArgs {
    let mut result = RunArgs::default();
    for (at, found) in split(arguments) {
        let place = lines.get(at).map_or_else(|| place.clone(), |line| place.at(*line));
        match found {
            Found::Unknown(argument) => {
                ledger.refuse(&place.with(&argument), "not an option that the policy knows")
            }
            Found::Incomplete(argument) => {
                ledger.broken(&place.with(&argument), "its value is missing");
            }
            Found::Known(index, value) => {
                let Some(option) = OPTIONS.get(index) else { continue };
                let place = place.with(&format!("--{}", option.name));
                match option.rule {
                    Rule::Strip(reason) => ledger.strip(&place, reason),
                    // `--privileged=false` asks for nothing, and neither do its likes.
                    _ if !option.takes_value && is_false(&value) => {}
                    Rule::Refuse(reason) => ledger.refuse(&place, reason),
                    Rule::Ask(permit, reason) => {
                        ledger.ask(permit, &place, reason);
                    }
                    Rule::Honour => result.honour(option.name, &value, context, &place, ledger),
                }
            }
        }
    }
    result
}

fn is_false(value: &str) -> bool {
    matches!(value, "false" | "False" | "FALSE" | "f" | "F" | "0")
}

impl RunArgs {
    fn honour(
        &mut self,
        name: &str,
        value: &str,
        context: MountContext<'_>,
        place: &Place,
        ledger: &mut Ledger<'_>,
    ) {
        match name {
            "mount" => self.mount(&Wish::parse(value), context, place, ledger),
            "volume" => self.mount(&Wish::parse_short(value), context, place, ledger),
            "tmpfs" => self.mount(&tmpfs(value), context, place, ledger),
            "env" => self.env(value, place, ledger),
            "env-file" => self.env_file(value, context, place, ledger),
            "cap-add" | "cap-drop" | "security-opt" | "device" | "gpus" | "privileged" => {
                self.privilege(name, value, place, ledger);
            }
            "network" | "net" | "pid" | "ipc" | "uts" | "userns" | "cgroupns" => {
                self.namespace(name, value, place, ledger);
            }
            _ => self.plain(name, value, place, ledger),
        }
    }

    fn mount(
        &mut self,
        wish: &Wish,
        context: MountContext<'_>,
        place: &Place,
        ledger: &mut Ledger<'_>,
    ) {
        self.mounts.extend(judge_mount(wish, context, place, ledger));
    }

    fn env(&mut self, value: &str, place: &Place, ledger: &mut Ledger<'_>) {
        match value.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                self.settings.env.insert(name.to_owned(), value.to_owned());
            }
            Some(_) | None => {
                ledger
                    .strip(place, format!("{value:?} would be read from the server's environment"));
            }
        }
    }

    fn env_file(
        &mut self,
        path: &str,
        context: MountContext<'_>,
        place: &Place,
        ledger: &mut Ledger<'_>,
    ) {
        let Some(checkout) = context.checkout else { return };
        if let Some(pairs) = read_env_file("", path, checkout, place, ledger) {
            self.settings.env.extend(pairs);
        }
    }

    fn privilege(&mut self, name: &str, value: &str, place: &Place, ledger: &mut Ledger<'_>) {
        let settings = &mut self.settings;
        match name {
            "cap-add" => {
                settings.cap_add.extend(privilege::judge_capability(value, place, ledger));
            }
            "cap-drop" => settings.cap_drop.push(value.to_ascii_uppercase()),
            "security-opt" => {
                settings.security_opt.extend(privilege::judge_security_opt(value, place, ledger));
            }
            "device" if privilege::judge_device(value, place, ledger) => {
                settings.devices.push(value.to_owned());
            }
            "gpus" if ledger.ask(Permit::Devices, place, "GPUs are devices of the host") => {
                settings.gpus = Some(value.to_owned());
            }
            "privileged" => settings.privileged = privilege::judge_privileged(place, ledger),
            _ => {}
        }
    }

    fn namespace(&mut self, name: &str, value: &str, place: &Place, ledger: &mut Ledger<'_>) {
        if matches!(name, "network" | "net") {
            self.settings.host_network |= privilege::judge_network(value, place, ledger);
        } else if privilege::judge_namespace(name, value, place, ledger) {
            self.settings.host_namespaces.push(name.to_owned());
        }
    }

    fn plain(&mut self, name: &str, value: &str, place: &Place, ledger: &mut Ledger<'_>) {
        let settings = &mut self.settings;
        match (name, value.split_once('=')) {
            ("init", _) => settings.init = true,
            ("user", _) => settings.user = Some(value.to_owned()),
            ("group-add", _) => settings.group_add.push(value.to_owned()),
            ("platform", _) => settings.platform = Some(value.to_owned()),
            ("stop-signal", _) => settings.stop_signal = Some(value.to_owned()),
            ("stop-timeout", _) => match value.parse() {
                Ok(seconds) => settings.stop_timeout_seconds = Some(seconds),
                Err(_) => ledger.broken(place, "seconds are expected"),
            },
            ("shm-size", _) => match parse_bytes(value) {
                Some(bytes) => settings.shm_size_bytes = Some(bytes),
                None => ledger.broken(place, "a size like 1g is expected"),
            },
            ("add-host", _) if value.contains([':', '=']) => {
                settings.extra_hosts.push(value.replacen('=', ":", 1));
            }
            ("label", pair) => {
                let (name, value) = pair.unwrap_or((value, ""));
                if privilege::judge_label(name, place, ledger) {
                    settings.labels.insert(name.to_owned(), value.to_owned());
                }
            }
            ("sysctl", Some((name, value))) => {
                if privilege::judge_sysctl(name, place, ledger) {
                    settings.sysctls.insert(name.to_owned(), value.to_owned());
                }
            }
            ("ulimit", Some((name, limits))) => match parse_ulimit(name, limits) {
                Some(ulimit) if privilege::judge_ulimit(name, place, ledger) => {
                    settings.ulimits.push(ulimit);
                }
                Some(_) => {}
                None => ledger.broken(place, "name=soft[:hard] is expected"),
            },
            _ => ledger.broken(place, "its value has another form"),
        }
    }
}

/// `--tmpfs /run:size=64m,mode=1777`; mount flags are the kernel's and confined.
fn tmpfs(value: &str) -> Wish {
    let (target, options) = value.split_once(':').unwrap_or((value, ""));
    let mut wish = Wish { kind: "tmpfs".to_owned(), target: target.to_owned(), ..Wish::default() };
    for option in options.split(',') {
        match option.split_once('=') {
            Some(("size", size)) => wish.size_bytes = parse_bytes(size),
            Some(("mode", mode)) => wish.mode = u32::from_str_radix(mode, 8).ok(),
            Some(_) | None => {}
        }
    }
    wish
}

fn parse_ulimit(name: &str, limits: &str) -> Option<Ulimit> {
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    Some(Ulimit { name: name.to_owned(), soft: soft.parse().ok()?, hard: hard.parse().ok()? })
}

/// Variables of an env file of the checkout; `None`: it leaves the checkout or is missing, which
/// the ledger knows. Names without a value would be read from the server's environment: left out.
pub fn read_env_file(
    base: &str,
    path: &str,
    checkout: &Checkout,
    place: &Place,
    ledger: &mut Ledger<'_>,
) -> Option<Vec<(String, String)>> {
    let inside = resolve(base, path.strip_prefix("/hatchery-checkout/").unwrap_or(path));
    let Some(inside) = inside else {
        ledger.refuse(place, format!("{path:?} is a file of the host, outside the repository"));
        return None;
    };
    match checkout.read(&inside) {
        Ok(text) => Some(
            text.lines()
                .map(str::trim_start)
                .filter(|line| !line.starts_with('#'))
                .filter_map(|line| line.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        ),
        Err(ReadError::Missing(_)) => {
            // Env files are what people keep out of git.
            ledger.strip(place, format!("{inside} is not in the repository"));
            None
        }
        Err(ReadError::Leaves(_)) => {
            ledger.refuse(place, format!("{inside} leads to a file of the host"));
            None
        }
        Err(error) => {
            ledger.unreadable(place, &error);
            None
        }
    }
}
