//! The sessions in memory: those that were used here lately.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::ids::SessionId;

use super::{SESSION_IDLE_MAX, Session, SessionHash};
use crate::uses::Use;

/// Sessions in memory at most: some 3 MiB. One more costs a query with each request.
const HELD_MAX: usize = 20_000;

/// How long one stays that nobody looks at.
const UNUSED_MAX: TimeDelta = TimeDelta::minutes(5);

/// What opens nothing, of so many at most, and for how long nobody asks again. No session begins by what was presented.
const UNKNOWN_MAX: usize = 4_096;
const UNKNOWN_FOR: TimeDelta = TimeDelta::minutes(1);

/// What was looked for and opens nothing.
#[derive(Default)]
pub(super) struct Unknown(Mutex<HashMap<SessionHash, DateTime<Utc>>>);

impl Unknown {
    pub(super) fn has(&self, hash: SessionHash, now: DateTime<Utc>) -> bool {
        self.lock().get(&hash).is_some_and(|since| now < *since + UNKNOWN_FOR)
    }

    pub(super) fn insert(&self, hash: SessionHash, now: DateTime<Utc>) {
        let mut unknown = self.lock();
        if unknown.len() >= UNKNOWN_MAX {
            unknown.retain(|_, since| now < *since + UNKNOWN_FOR);
        }
        if unknown.len() < UNKNOWN_MAX {
            unknown.insert(hash, now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionHash, DateTime<Utc>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub(super) struct Held(Mutex<HashMap<SessionHash, One>>);

#[derive(Debug, Clone)]
struct One {
    session: Session,
    seen_at: DateTime<Utc>,
    looked_at: DateTime<Utc>,
    /// From where and by what it was used since that was written.
    unwritten: Option<Seen>,
}

/// Where a session was used last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) at: DateTime<Utc>,
    pub(super) ip: IpAddr,
}

impl One {
    fn goes_on(&self, now: DateTime<Utc>) -> bool {
        now < self.session.ends_at && now < self.seen_at + SESSION_IDLE_MAX
    }
}

impl Held {
    /// The session that this opens, if it is here: the inner one is none where it is over.
    pub(super) fn touch(&self, hash: SessionHash, used: &Use) -> Option<Option<Session>> {
        let mut held = self.lock();
        let one = held.get_mut(&hash)?;
        if !one.goes_on(used.at) {
            held.remove(&hash);
            return Some(None);
        }
        one.looked_at = used.at;
        one.seen_at = one.seen_at.max(used.at);
        one.unwritten = Some(Seen { at: used.at, ip: used.ip });
        Some(Some(one.session))
    }

    pub(super) fn holds(&self, hash: SessionHash) -> bool {
        self.lock().contains_key(&hash)
    }

    pub(super) fn goes_on(&self, hash: SessionHash, now: DateTime<Utc>) -> bool {
        let mut held = self.lock();
        let Some(one) = held.get_mut(&hash) else { return false };
        // Who follows what happens keeps it here, and does not use it by that.
        one.looked_at = now;
        one.goes_on(now)
    }

    pub(super) fn insert(&self, hash: SessionHash, session: Session, seen_at: DateTime<Utc>) {
        let mut held = self.lock();
        if held.len() >= HELD_MAX {
            let idlest = held.iter().min_by_key(|(_, one)| one.looked_at).map(|(hash, _)| *hash);
            if let Some(idlest) = idlest {
                held.remove(&idlest);
            }
        }
        let one = One { session, seen_at, looked_at: seen_at, unwritten: None };
        held.entry(hash).or_insert(one);
    }

    pub(super) fn forget(&self, id: SessionId) {
        self.lock().retain(|_, one| one.session.id != id);
    }

    /// Those that are to be asked about. Who was not looked at for long goes.
    pub(super) fn all(&self, now: DateTime<Utc>) -> Vec<SessionHash> {
        let mut held = self.lock();
        held.retain(|_, one| one.unwritten.is_some() || now < one.looked_at + UNUSED_MAX);
        held.keys().copied().collect()
    }

    /// Of those that were asked about, the ones that are there still, and when each was seen anywhere.
    pub(super) fn refresh(
        &self,
        asked: &[SessionHash],
        there: &HashMap<SessionHash, DateTime<Utc>>,
    ) {
        let mut held = self.lock();
        for hash in asked {
            match (there.get(hash), held.get_mut(hash)) {
                (Some(seen_at), Some(one)) => one.seen_at = one.seen_at.max(*seen_at),
                (None, Some(_)) => {
                    held.remove(hash);
                }
                (_, None) => {}
            }
        }
    }

    /// Where each was used since that was written, of so many at most.
    pub(super) fn take_unwritten(&self, max: usize) -> Vec<(SessionHash, Seen)> {
        let mut held = self.lock();
        let unwritten =
            held.iter_mut().filter_map(|(hash, one)| Some((*hash, one.unwritten.take()?)));
        unwritten.take(max).collect()
    }

    /// It was not written: it waits for the next time.
    pub(super) fn put_back(&self, unwritten: Vec<(SessionHash, Seen)>) {
        let mut held = self.lock();
        for (hash, seen) in unwritten {
            if let Some(one) = held.get_mut(&hash) {
                one.unwritten.get_or_insert(seen);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionHash, One>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use hatch_domain::ids::{MemberId, TenantId};
    use hatch_eventstore::Position;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + 60 * minute, 0).expect("in range")
    }

    fn used(minute: i64) -> Use {
        Use::new(at(minute), IpAddr::from([192, 0, 2, 1]), None)
    }

    fn session(ends_at: i64) -> Session {
        Session {
            id: SessionId::default(),
            tenant_id: TenantId::DEFAULT,
            member_id: MemberId::default(),
            generation: 1,
            position: Position::START,
            ends_at: at(ends_at),
        }
    }

    #[test]
    fn a_session_ends_when_nobody_uses_it_and_at_its_end_however_much_it_is_used() {
        let idle = SESSION_IDLE_MAX.num_minutes();
        let hash = SessionHash::of("secret");
        for (uses, asked, goes_on) in [
            (&[0][..], idle - 1, true),
            (&[0], idle, false),
            (&[0, idle - 1], idle + 1, true),
            (&[0, idle - 1, 2 * idle - 2], 3 * idle - 3, false),
        ] {
            let held = Held::default();
            held.insert(hash, session(3 * idle - 3), at(0));
            for minute in uses {
                assert_eq!(held.touch(hash, &used(*minute)), Some(Some(session(3 * idle - 3))));
            }
            assert_eq!(held.goes_on(hash, at(asked)), goes_on, "{uses:?} {asked}");
            assert_eq!(held.touch(hash, &used(asked)).flatten().is_some(), goes_on);
        }
    }

    #[test]
    fn what_opens_nothing_is_known_for_a_minute_and_there_is_an_end_of_it() {
        let unknown = Unknown::default();
        let hash = |n: usize| SessionHash::of(&n.to_string());
        (0..2 * UNKNOWN_MAX).for_each(|n| unknown.insert(hash(n), at(0)));
        assert_eq!(unknown.lock().len(), UNKNOWN_MAX);
        assert!(unknown.has(hash(0), at(0)) && !unknown.has(hash(UNKNOWN_MAX), at(0)));
        assert!(!unknown.has(hash(0), at(1)));
        unknown.insert(hash(UNKNOWN_MAX), at(1));
        assert!(unknown.has(hash(UNKNOWN_MAX), at(1)), "others have gone");
    }

    #[test]
    fn what_was_ended_elsewhere_goes_and_what_was_not_asked_about_stays() {
        let held = Held::default();
        let hashes = ["a", "b", "c"].map(SessionHash::of);
        for hash in hashes {
            held.insert(hash, session(9_999), at(0));
        }
        let there = HashMap::from([(hashes[0], at(3))]);
        held.refresh(&hashes[..2], &there);
        let left = hashes.map(|hash| held.goes_on(hash, at(1)));
        assert_eq!(left, [true, false, true]);
    }

    #[test]
    fn who_is_not_looked_at_goes_unless_his_use_is_not_written_yet() {
        let held = Held::default();
        let (quiet, used_once) = (SessionHash::of("a"), SessionHash::of("b"));
        held.insert(quiet, session(9_999), at(0));
        held.insert(used_once, session(9_999), at(0));
        held.touch(used_once, &used(1));
        assert_eq!(held.all(at(60)), [used_once]);
        let written = held.take_unwritten(10);
        assert_eq!(written.len(), 1);
        held.put_back(written);
        assert_eq!(held.take_unwritten(10).len(), 1);
        assert!(held.all(at(60)).is_empty());
    }
}
