//! Which repositories drones asked for in vain lately: for people, who may want to grant one, and to
//! tell when it is worth asking the forge whether a granted one was renamed.

use std::collections::{HashMap, VecDeque};

use hatchery_protocol::{DroneName, RepoName};
use time::OffsetDateTime;

use super::budget::Budget;

/// Names kept of each drone.
const KEPT: usize = 16;
/// Looks for renamed repositories that a drone's refused requests cause: one, then one a minute.
const LOOKS: (u32, f64) = (1, 1.0 / 60.0);

#[derive(Debug)]
struct Refused {
    /// The newest last, each once.
    names: VecDeque<(OffsetDateTime, RepoName)>,
    looks: Budget,
}

/// Those of all drones.
#[derive(Debug, Default)]
pub struct Refusals(HashMap<DroneName, Refused>);

impl Refusals {
    /// Notes that a drone was refused these.
    pub fn note(&mut self, drone: &DroneName, names: &[RepoName], now: OffsetDateTime) {
        let kept = &mut self.of(drone, now).names;
        for name in names {
            kept.retain(|(_, known)| known != name);
            kept.push_back((now, name.clone()));
        }
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }

    /// What a drone was refused since then, the newest last.
    pub fn since(&self, drone: &DroneName, then: OffsetDateTime) -> Vec<RepoName> {
        let names = self.0.get(drone).into_iter().flat_map(|refused| &refused.names);
        names.filter(|(at, _)| *at >= then).map(|(_, name)| name.clone()).collect()
    }

    /// Whether a refusal of this drone may cause a look; if so, that is the one.
    pub fn may_look(&mut self, drone: &DroneName, now: OffsetDateTime) -> bool {
        self.of(drone, now).looks.take(now).is_ok()
    }

    /// A drone was granted this.
    pub fn granted(&mut self, drone: &DroneName, name: &RepoName) {
        if let Some(refused) = self.0.get_mut(drone) {
            refused.names.retain(|(_, known)| known != name);
        }
    }

    /// Forgets a drone that is no more.
    pub fn remove(&mut self, drone: &DroneName) {
        self.0.remove(drone);
    }

    fn of(&mut self, drone: &DroneName, now: OffsetDateTime) -> &mut Refused {
        self.0.entry(drone.clone()).or_insert_with(|| Refused {
            names: VecDeque::new(),
            looks: Budget::new(LOOKS.0, LOOKS.1, now),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_names_are_kept_each_once() {
        let (mut refusals, start) = (Refusals::default(), OffsetDateTime::UNIX_EPOCH);
        let drone: DroneName = "acme-web".parse().expect("a name");
        let name = |number: u32| format!("acme/r{number}").parse::<RepoName>().expect("a name");
        for number in 0..40 {
            refusals.note(&drone, &[name(number % 20)], start + Duration::from_secs(number.into()));
        }
        assert_eq!(refusals.since(&drone, start).len(), KEPT);
        let later = start + Duration::from_secs(38);
        assert_eq!(refusals.since(&drone, later), [name(18), name(19)]);
        refusals.granted(&drone, &name(19));
        assert_eq!(refusals.since(&drone, later), [name(18)]);
        refusals.remove(&drone);
        assert!(refusals.since(&drone, start).is_empty());
    }

    #[test]
    fn a_flood_of_refusals_causes_one_look_a_minute() {
        let (mut refusals, start) = (Refusals::default(), OffsetDateTime::UNIX_EPOCH);
        let drone: DroneName = "acme-web".parse().expect("a name");
        let looks = (0..600).filter(|tenths| {
            refusals.may_look(&drone, start + Duration::from_millis(tenths * 100))
        });
        assert_eq!(looks.count(), 1);
        assert!(refusals.may_look(&drone, start + Duration::from_secs(61)));
    }
}
