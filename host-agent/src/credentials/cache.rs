//! Which tokens there are, and whether one is served, refreshed or minted. Pure: no forge, no
//! clock, no await; every decision is a function of what is here and of the time given.
//!
//! A token belongs to one drone, one version of its grants and one [`Scope`] (which together fix
//! repositories and permissions); drones share nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use hatchery_protocol::{DroneName, ForgeHost};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::budget::Budget;
use super::forge::{ForgeError, InstallationId};
use super::grants::Scope;
use super::token::{Live, TokenError};
use crate::records::ForgeRepoId;

/// A token is replaced in the background this long before it gets too old for its users.
pub const REFRESH_AHEAD: Duration = Duration::from_secs(5 * 60);
/// Longest life that may be asked for. Tokens live an hour: asking for more would mint each time.
pub const MIN_VALID_MAX: Duration = Duration::from_secs(50 * 60);
/// A token that nobody asked for this long is left to end.
const IN_USE: Duration = Duration::from_secs(15 * 60);
/// After a failed refresh, what is still valid is served this long before the next attempt.
const HOLD: Duration = Duration::from_secs(15);
/// New tokens that a drone may ask the forge for at once, and per second after that. An account's limit is 180 a
/// minute for all its drones (GitHub, secondary rate limits).
const MINTS: (u32, f64) = (30, 0.1);
/// Rejected tokens that are replaced at once, and per second after that.
const REJECTIONS: (u32, f64) = (2, 0.2);

/// What a flight to the forge brought, for everybody who waits for it.
pub type Outcome = Result<Arc<Live>, TokenError>;
/// A mint under way.
pub type Flight = Shared<BoxFuture<'static, Outcome>>;

/// What to do for one request.
pub enum Answer {
    /// This token; and when `refresh` is there, fetch the next one in the background.
    Serve {
        /// The cached one.
        live: Arc<Live>,
        /// The flight to start.
        refresh: Option<Landing>,
    },
    /// Wait for the forge; and when `start` is there, ask it.
    Wait {
        /// What to wait for.
        flight: Flight,
        /// Valid, though not as long as asked: better than nothing when the forge is down.
        fallback: Option<Arc<Live>>,
        /// The flight to start.
        start: Option<Landing>,
    },
}

/// The right and the duty to bring one flight's result home ([`Cache::land`]).
pub struct Landing {
    /// For this drone,
    pub drone: DroneName,
    /// this scope
    pub scope: Scope,
    /// and this version of its grants.
    pub version: u64,
    epoch: u64,
    sender: oneshot::Sender<Outcome>,
}

struct Entry {
    live: Option<Arc<Live>>,
    flight: Option<Flight>,
    used_at: OffsetDateTime,
    hold_until: OffsetDateTime,
}

/// One drone's.
struct Shelf {
    version: u64,
    /// Another after each [`Cache::clear`]: a flight from before it lands nowhere.
    epoch: u64,
    entries: Vec<(Scope, Entry)>,
    /// Every token that may be alive, replaced ones too: what slay takes back.
    minted: Vec<Arc<Live>>,
    mints: Budget,
    rejections: Budget,
    last_token_at: Option<OffsetDateTime>,
}

/// The tokens of all drones.
#[derive(Default)]
pub struct Cache {
    shelves: HashMap<DroneName, Shelf>,
    epochs: u64,
}

impl Cache {
    /// What a request gets without anything else to do: a token that stays good beyond `min_valid`
    /// and needs no refresh. `None`: [`Cache::ask`].
    pub fn fresh(
        &mut self,
        drone: &DroneName,
        version: u64,
        scope: &Scope,
        min_valid: Duration,
        now: OffsetDateTime,
    ) -> Option<Arc<Live>> {
        let shelf = self.shelves.get_mut(drone).filter(|shelf| shelf.version == version)?;
        let (_, entry) = shelf.entries.iter_mut().find(|(known, _)| known == scope)?;
        let needed = min_valid.min(MIN_VALID_MAX) + REFRESH_AHEAD;
        let live = entry.live.as_ref().filter(|live| live.expires_at - now > needed)?;
        entry.used_at = now;
        shelf.last_token_at = Some(now);
        Some(Arc::clone(live))
    }

    /// Decides what a request gets.
    ///
    /// # Errors
    /// [`TokenError::Busy`] when a new token is needed and the drone's budget is used up,
    /// [`TokenError::Revoked`] when its grants are newer than `version`.
    pub fn ask(
        &mut self,
        drone: &DroneName,
        version: u64,
        scope: &Scope,
        min_valid: Duration,
        now: OffsetDateTime,
    ) -> Result<Answer, TokenError> {
        let shelf = self.shelf(drone, now);
        if !shelf.reach(version) {
            return Err(TokenError::Revoked(drone.clone()));
        }
        let min_valid = min_valid.min(MIN_VALID_MAX);
        let entry = shelf.entry(scope, now);
        entry.used_at = now;
        let valid = entry.valid(now);
        if let Some(live) = &valid {
            let remaining = live.expires_at - now;
            if remaining > min_valid + REFRESH_AHEAD || now < entry.hold_until {
                return Ok(Answer::Serve { live: Arc::clone(live), refresh: None });
            }
            if remaining > min_valid {
                let live = Arc::clone(live);
                let refresh = shelf.start(drone, scope, now).ok();
                return Ok(Answer::Serve { live, refresh: refresh.map(|(_, landing)| landing) });
            }
        }
        if let Some(flight) = entry.under_way() {
            return Ok(Answer::Wait { flight, fallback: valid, start: None });
        }
        match (shelf.start(drone, scope, now), valid) {
            (Ok((flight, landing)), fallback) => {
                Ok(Answer::Wait { flight, fallback, start: Some(landing) })
            }
            (Err(_), Some(live)) => Ok(Answer::Serve { live, refresh: None }),
            (Err(retry_after), None) => Err(TokenError::Busy { drone: drone.clone(), retry_after }),
        }
    }

    /// Ends a flight: everybody who waits gets its outcome. Returns a token that came too late,
    /// after its drone was cleared or its grants changed: it must be taken back.
    #[must_use]
    pub fn land(
        &mut self,
        landing: Landing,
        result: Result<Live, TokenError>,
        now: OffsetDateTime,
    ) -> Option<Arc<Live>> {
        let shelf = self
            .shelves
            .get_mut(&landing.drone)
            .filter(|shelf| shelf.epoch == landing.epoch && shelf.version == landing.version);
        let (outcome, late) = match (shelf, result.map(Arc::new)) {
            (Some(shelf), result) => {
                shelf.settle(&landing.scope, &result, now);
                (result, None)
            }
            (None, Ok(live)) => (Err(TokenError::Revoked(landing.drone)), Some(live)),
            (None, Err(error)) => (Err(error), None),
        };
        // Nobody may be waiting any more.
        let _ = landing.sender.send(outcome);
        late
    }

    /// Flights to start for tokens that are in use and soon too old. Forgets what has ended.
    pub fn sweep(&mut self, now: OffsetDateTime) -> Vec<Landing> {
        let mut due = Vec::new();
        for (drone, shelf) in &mut self.shelves {
            shelf.minted.retain(|live| live.expires_at > now);
            shelf
                .entries
                .retain(|(_, entry)| entry.valid(now).is_some() || entry.under_way().is_some());
            let scopes: Vec<Scope> = shelf
                .entries
                .iter()
                .filter(|(_, entry)| entry.is_due(now))
                .map(|(scope, _)| scope.clone())
                .collect();
            for scope in scopes {
                due.extend(shelf.start(drone, &scope, now).ok().map(|(_, landing)| landing));
            }
        }
        due
    }

    /// Notes that the drone got a token.
    pub fn served(&mut self, drone: &DroneName, now: OffsetDateTime) {
        if let Some(shelf) = self.shelves.get_mut(drone) {
            shelf.last_token_at = Some(now);
        }
    }

    /// When the drone last got a token.
    pub fn last_token_at(&self, drone: &DroneName) -> Option<OffsetDateTime> {
        self.shelves.get(drone)?.last_token_at
    }

    /// Drops the drone's token with this SHA-256 from the cache, at most every few seconds: the
    /// next request gets another. Whether it did.
    pub fn reject(&mut self, drone: &DroneName, sha256: &str, now: OffsetDateTime) -> bool {
        let Some(shelf) = self.shelves.get_mut(drone) else { return false };
        let Some((_, entry)) = shelf
            .entries
            .iter_mut()
            .find(|(_, entry)| entry.live.as_ref().is_some_and(|live| live.sha256 == sha256))
        else {
            return false;
        };
        let replaced = shelf.rejections.take(now).is_ok();
        if replaced {
            entry.live = None;
        }
        replaced
    }

    /// Drops every token for a repository that another installation covers by now, whoever's they
    /// are: the next request gets another, at once. Whether there were any.
    pub fn drop_stranded(
        &mut self,
        host: &ForgeHost,
        id: ForgeRepoId,
        covers: InstallationId,
    ) -> bool {
        let entries = self.shelves.values_mut().flat_map(|shelf| &mut shelf.entries);
        let mut dropped = false;
        for (_, entry) in entries {
            dropped |= entry.live.take_if(|live| live.is_stranded(host, id, covers)).is_some();
        }
        dropped
    }

    /// Drops everything cached for a drone; flights under way land nowhere. Its tokens live on
    /// until [`Cache::take_minted`] hands them over.
    pub fn clear(&mut self, drone: &DroneName) {
        self.epochs += 1;
        if let Some(shelf) = self.shelves.get_mut(drone) {
            shelf.epoch = self.epochs;
            shelf.version = 0;
            shelf.entries.clear();
        }
    }

    /// Clears a drone and hands over every token of it that may be alive.
    pub fn take_minted(&mut self, drone: &DroneName) -> Vec<Arc<Live>> {
        self.clear(drone);
        self.shelves
            .get_mut(drone)
            .map(|shelf| std::mem::take(&mut shelf.minted))
            .unwrap_or_default()
    }

    /// Notes a token that was minted elsewhere, to be taken back with the others.
    pub fn remember(&mut self, drone: &DroneName, live: Arc<Live>, now: OffsetDateTime) {
        self.shelf(drone, now).minted.push(live);
    }

    /// Forgets a drone that is no more.
    pub fn remove(&mut self, drone: &DroneName) {
        self.shelves.remove(drone);
    }

    fn shelf(&mut self, drone: &DroneName, now: OffsetDateTime) -> &mut Shelf {
        if !self.shelves.contains_key(drone) {
            self.epochs += 1;
        }
        let epoch = self.epochs;
        self.shelves.entry(drone.clone()).or_insert_with(|| Shelf {
            version: 0,
            epoch,
            entries: Vec::new(),
            minted: Vec::new(),
            mints: Budget::new(MINTS.0, MINTS.1, now),
            rejections: Budget::new(REJECTIONS.0, REJECTIONS.1, now),
            last_token_at: None,
        })
    }
}

impl Shelf {
    /// Moves on to a version of the grants; tokens of older ones are not served again.
    fn reach(&mut self, version: u64) -> bool {
        if version > self.version {
            self.version = version;
            self.entries.clear();
        }
        version == self.version
    }

    fn entry(&mut self, scope: &Scope, now: OffsetDateTime) -> &mut Entry {
        let at = self.entries.iter().position(|(known, _)| known == scope);
        let at = at.unwrap_or_else(|| {
            let entry = Entry { live: None, flight: None, used_at: now, hold_until: now };
            self.entries.push((scope.clone(), entry));
            self.entries.len() - 1
        });
        let (_, entry) = self.entries.get_mut(at).expect("found or pushed just above");
        entry
    }

    /// Begins a flight, unless one is under way or the budget is used up.
    fn start(
        &mut self,
        drone: &DroneName,
        scope: &Scope,
        now: OffsetDateTime,
    ) -> Result<(Flight, Landing), Duration> {
        if self.entry(scope, now).under_way().is_some() {
            return Err(Duration::ZERO);
        }
        self.mints.take(now)?;
        let (sender, receiver) = oneshot::channel();
        let cut_off = TokenError::Revoked(drone.clone());
        let flight = receiver.map(|landed| landed.unwrap_or(Err(cut_off))).boxed().shared();
        let landing = Landing {
            drone: drone.clone(),
            scope: scope.clone(),
            version: self.version,
            epoch: self.epoch,
            sender,
        };
        self.entry(scope, now).flight = Some(flight.clone());
        Ok((flight, landing))
    }

    fn settle(&mut self, scope: &Scope, result: &Outcome, now: OffsetDateTime) {
        let entry = self.entry(scope, now);
        entry.flight = None;
        match result {
            Ok(live) => {
                entry.live = Some(Arc::clone(live));
                entry.hold_until = now;
                self.minted.push(Arc::clone(live));
            }
            Err(error) => {
                entry.hold_until = now + HOLD;
                if ends_what_is_cached(error) {
                    entry.live = None;
                }
                if entry.live.is_none() {
                    self.entries.retain(|(known, _)| known != scope);
                }
                if !error.cost_a_call() {
                    self.mints.give_back();
                }
            }
        }
    }
}

impl Entry {
    fn valid(&self, now: OffsetDateTime) -> Option<Arc<Live>> {
        self.live.clone().filter(|live| live.expires_at > now)
    }

    fn under_way(&self) -> Option<Flight> {
        // One that was cut off has an outcome, and was never landed.
        self.flight.clone().filter(|flight| flight.clone().now_or_never().is_none())
    }

    fn is_due(&self, now: OffsetDateTime) -> bool {
        let old = self.valid(now).is_some_and(|live| live.expires_at - now < REFRESH_AHEAD * 2);
        old && now - self.used_at < IN_USE && now >= self.hold_until && self.under_way().is_none()
    }
}

/// Whether the forge's answer says that older tokens must not be served either. When it is only
/// out of reach they are, to their last second.
fn ends_what_is_cached(error: &TokenError) -> bool {
    match error {
        TokenError::Forge { source, .. } => match **source {
            ForgeError::NotFound { .. }
            | ForgeError::InstallationGone { .. }
            | ForgeError::Suspended { .. }
            | ForgeError::Surplus { .. }
            | ForgeError::NotConfigured { .. } => true,
            ForgeError::BadApp { .. }
            | ForgeError::RateLimited { .. }
            | ForgeError::Unreachable { .. } => false,
        },
        TokenError::NoGrants(_)
        | TokenError::NotGranted { .. }
        | TokenError::ManyInstallations { .. }
        | TokenError::NoPermissions { .. }
        | TokenError::Revoked(_) => true,
        TokenError::Busy { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Token;

    const MIN_VALID: Duration = Duration::from_secs(300);
    const HOUR: Duration = Duration::from_secs(3600);

    fn drone() -> DroneName {
        "acme-web".parse().expect("a name")
    }

    fn scope() -> Scope {
        Scope::Repositories(vec![7])
    }

    fn live(text: &str, expires_at: OffsetDateTime) -> Live {
        let token = Token::new(text.to_owned());
        Live {
            repository_ids: vec![7],
            installation: Some(InstallationId(1)),
            sha256: token.sha256(),
            token: Arc::new(token),
            host: "github.com".parse().expect("a host"),
            expires_at,
            repositories: vec![],
            permissions: Default::default(),
        }
    }

    fn unreachable() -> TokenError {
        let host = "github.com".parse().expect("a host");
        let source = ForgeError::Unreachable { host, message: "down".to_owned() };
        TokenError::Forge { repo: "acme/web".parse().expect("a name"), source: Arc::new(source) }
    }

    /// What the cache decides, in a word, and the flight that it starts.
    fn decide(
        cache: &mut Cache,
        min_valid: Duration,
        now: OffsetDateTime,
    ) -> (&'static str, Option<Landing>) {
        match cache.ask(&drone(), 1, &scope(), min_valid, now) {
            Ok(Answer::Serve { refresh: None, .. }) => ("serve", None),
            Ok(Answer::Serve { refresh, .. }) => ("serve and refresh", refresh),
            Ok(Answer::Wait { start: None, .. }) => ("join", None),
            Ok(Answer::Wait { start, fallback: None, .. }) => ("mint", start),
            Ok(Answer::Wait { start, fallback: Some(_), .. }) => ("mint or serve", start),
            Err(TokenError::Busy { .. }) => ("busy", None),
            Err(error) => panic!("{error}"),
        }
    }

    /// A cache with one token that ends an hour after `now`.
    fn filled(now: OffsetDateTime) -> Cache {
        let mut cache = Cache::default();
        let (word, landing) = decide(&mut cache, MIN_VALID, now);
        assert_eq!(word, "mint");
        let late = cache.land(landing.expect("a flight"), Ok(live("one", now + HOUR)), now);
        assert!(late.is_none());
        cache
    }

    #[test]
    fn age_decides_between_serving_refreshing_and_minting() {
        let start = OffsetDateTime::UNIX_EPOCH;
        for (age_s, min_valid_s, decision) in [
            (0, 300, "serve"),
            (2999, 300, "serve"),
            (3000, 300, "serve and refresh"),
            (3299, 300, "serve and refresh"),
            (3300, 300, "mint or serve"),
            (3599, 300, "mint or serve"),
            (3600, 300, "mint"),
            (0, 1800, "serve"),
            (1700, 1800, "serve and refresh"),
            (1900, 1800, "mint or serve"),
            (0, 3600, "serve"), // more than a token lives: cut to what can be had
        ] {
            let mut cache = filled(start);
            let (age, min_valid) = (Duration::from_secs(age_s), Duration::from_secs(min_valid_s));
            let (word, _) = decide(&mut cache, min_valid, start + age);
            assert_eq!(word, decision, "{age_s} s old, {min_valid_s} s asked for");
        }
    }

    #[test]
    fn what_is_fresh_is_what_would_be_served_and_no_more() {
        let start = OffsetDateTime::UNIX_EPOCH;
        for age_s in [0, 2999, 3000, 3299, 3300, 3600] {
            let (mut cache, now) = (filled(start), start + Duration::from_secs(age_s));
            let fresh = cache.fresh(&drone(), 1, &scope(), MIN_VALID, now);
            assert_eq!(fresh.is_some(), decide(&mut filled(start), MIN_VALID, now).0 == "serve");
            assert_eq!(cache.last_token_at(&drone()), fresh.map(|_| now), "{age_s} s old");
        }
        let mut cache = filled(start);
        let other = "acme-api".parse().expect("a name");
        assert!(cache.fresh(&other, 1, &scope(), MIN_VALID, start).is_none());
        assert!(cache.fresh(&drone(), 1, &Scope::Primary, MIN_VALID, start).is_none());
        for version in [0, 2] {
            assert!(cache.fresh(&drone(), version, &scope(), MIN_VALID, start).is_none());
        }
        cache.clear(&drone());
        assert!(cache.fresh(&drone(), 1, &scope(), MIN_VALID, start).is_none());
    }

    #[test]
    fn while_a_flight_is_under_way_nobody_starts_another() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let mut cache = filled(start);
        let (old, older) = (start + Duration::from_secs(3100), start + Duration::from_secs(3400));
        let (word, landing) = decide(&mut cache, MIN_VALID, old);
        assert_eq!(word, "serve and refresh");
        assert_eq!(decide(&mut cache, MIN_VALID, old).0, "serve");
        assert_eq!(decide(&mut cache, MIN_VALID, older).0, "join");
        drop(landing);
        assert_eq!(decide(&mut cache, MIN_VALID, older).0, "mint or serve", "it was cut off");
    }

    #[test]
    fn after_a_failed_refresh_the_forge_is_left_alone_for_a_while() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let mut cache = filled(start);
        let now = start + Duration::from_secs(3500);
        let (_, landing) = decide(&mut cache, MIN_VALID, now);
        assert!(cache.land(landing.expect("a flight"), Err(unreachable()), now).is_none());
        assert_eq!(decide(&mut cache, MIN_VALID, now).0, "serve");
        assert_eq!(decide(&mut cache, MIN_VALID, now + HOLD).0, "mint or serve");
        assert_eq!(decide(&mut cache, MIN_VALID, start + HOUR).0, "mint", "not past its end");
    }

    #[test]
    fn a_token_in_use_is_refreshed_before_anybody_waits() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let mut cache = filled(start);
        assert!(cache.sweep(start + Duration::from_secs(2900)).is_empty(), "young");
        let (word, _) = decide(&mut cache, MIN_VALID, start + Duration::from_secs(2800));
        assert_eq!(word, "serve");
        let due = cache.sweep(start + Duration::from_secs(3001));
        assert_eq!(due.len(), 1);
        assert!(cache.sweep(start + Duration::from_secs(3001)).is_empty(), "under way");
        let mut idle = filled(start);
        assert!(idle.sweep(start + Duration::from_secs(3001)).is_empty(), "nobody uses it");
    }

    #[test]
    fn a_rejected_refresh_keeps_the_old_token() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let mut cache = filled(start);
        let now = start + Duration::from_secs(3100);
        let (_, landing) = decide(&mut cache, MIN_VALID, now);
        assert!(cache.land(landing.expect("a flight"), Err(unreachable()), now).is_none());
        let Ok(Answer::Serve { live, .. }) = cache.ask(&drone(), 1, &scope(), MIN_VALID, now)
        else {
            panic!("the old token is gone");
        };
        assert_eq!(live.token.expose(), "one");
    }

    #[test]
    fn what_is_handed_over_for_revocation_includes_what_was_replaced() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let mut cache = filled(start);
        let now = start + Duration::from_secs(3100);
        let (_, landing) = decide(&mut cache, MIN_VALID, now);
        let late = cache.land(landing.expect("a flight"), Ok(live("two", now + HOUR)), now);
        assert!(late.is_none());
        assert_eq!(cache.take_minted(&drone()).len(), 2);
        assert_eq!(cache.take_minted(&drone()).len(), 0);
    }

    #[test]
    fn drones_share_nothing() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let mut cache = filled(start);
        let other = "acme-api".parse().expect("a name");
        let answer = cache.ask(&other, 1, &scope(), MIN_VALID, start).expect("an answer");
        assert!(matches!(answer, Answer::Wait { start: Some(_), fallback: None, .. }));
    }
}
