//! What was seen of containers lately, so that `list` and `exec` need not ask the engine about each
//! drone: dropped when the engine says that something happened to the container.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hatchery_protocol::DroneName;
use time::OffsetDateTime;

use super::engine::ContainerDetail;
use super::network::GuardRules;
use super::view::ExecPlan;

/// What was seen lately.
#[derive(Debug, Default)]
pub struct Known(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Whether events come: without them nothing that was seen can be believed.
    following: bool,
    details: HashMap<String, ContainerDetail>,
    plans: HashMap<DroneName, ExecPlan>,
    out_of_memory: HashSet<String>,
    stopped_by_hand: HashSet<String>,
    sizes: BTreeMap<DroneName, (u64, OffsetDateTime)>,
    network_problem: Option<String>,
    guarded: Option<GuardRules>,
}

impl Known {
    /// The engine's events come (again), or do not any more: all that was seen is forgotten.
    pub fn following(&self, following: bool) {
        let mut seen = self.lock();
        seen.following = following;
        seen.details.clear();
        seen.plans.clear();
        seen.stopped_by_hand.clear();
        seen.guarded = None;
    }

    /// The firewall has these rules now.
    pub fn guarded(&self, rules: GuardRules) {
        self.lock().guarded = Some(rules);
    }

    /// Whether the firewall got these rules since the engine was started.
    pub fn is_guarded(&self, rules: &GuardRules) -> bool {
        self.lock().guarded.as_ref() == Some(rules)
    }

    /// Something happened to a container.
    pub fn forget_container(&self, id: &str) {
        let mut seen = self.lock();
        seen.details.remove(id);
        seen.plans.retain(|_, plan| plan.container_id != id);
    }

    /// A drone is gone.
    pub fn forget_drone(&self, drone: &DroneName) {
        let mut seen = self.lock();
        seen.plans.remove(drone);
        seen.sizes.remove(drone);
    }

    /// What was seen of a container.
    pub fn detail(&self, id: &str) -> Option<ContainerDetail> {
        self.lock().details.get(id).cloned()
    }

    /// Keeps what was seen of a container, while events come.
    pub fn saw(&self, detail: &ContainerDetail) {
        let mut seen = self.lock();
        if seen.following {
            seen.details.insert(detail.container.id.clone(), detail.clone());
        }
    }

    /// How to run something in a drone, if that was found out since its last start.
    pub fn plan(&self, drone: &DroneName) -> Option<ExecPlan> {
        self.lock().plans.get(drone).cloned()
    }

    /// Keeps how to run something in a drone, while events come.
    pub fn keep_plan(&self, drone: &DroneName, plan: &ExecPlan) {
        let mut seen = self.lock();
        if seen.following {
            seen.plans.insert(drone.clone(), plan.clone());
        }
    }

    /// Something in a container was killed for memory, or the container was started anew.
    pub fn out_of_memory(&self, id: &str, killed: bool) {
        let mut seen = self.lock();
        if killed {
            seen.out_of_memory.insert(id.to_owned());
        } else {
            seen.out_of_memory.remove(id);
        }
    }

    /// Whether something in a container was killed for memory since it was started.
    pub fn is_out_of_memory(&self, id: &str) -> bool {
        self.lock().out_of_memory.contains(id)
    }

    /// Somebody stopped a container by hand, or it runs again.
    pub fn stopped_by_hand(&self, id: &str, stopped: bool) {
        let mut seen = self.lock();
        if stopped {
            seen.stopped_by_hand.insert(id.to_owned());
        } else {
            seen.stopped_by_hand.remove(id);
        }
    }

    /// Whether somebody stopped a container by hand while we watched.
    pub fn is_stopped_by_hand(&self, id: &str) -> bool {
        self.lock().stopped_by_hand.contains(id)
    }

    /// A workspace was measured.
    pub fn measured(&self, drone: &DroneName, bytes: u64, at: OffsetDateTime) {
        self.lock().sizes.insert(drone.clone(), (bytes, at));
    }

    /// Size of a workspace and when it was measured.
    pub fn size(&self, drone: &DroneName) -> Option<(u64, OffsetDateTime)> {
        self.lock().sizes.get(drone).copied()
    }

    /// What is wrong with the firewall. Returns whether that is news.
    pub fn network_problem(&self, problem: Option<String>) -> bool {
        let mut seen = self.lock();
        let news = seen.network_problem != problem;
        seen.network_problem = problem;
        news
    }

    /// What is wrong with the firewall.
    pub fn what_is_wrong_with_the_network(&self) -> Option<String> {
        self.lock().network_problem.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // Every change is one insert or remove: whole even after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
