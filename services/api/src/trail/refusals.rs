//! Which refused requests are in the audit: a few of each client and minute, and how many there were beside these.
//!
//! Anybody can be refused as often as he likes, so what is written of that is bounded, in memory and in the table.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use hatch_domain::ids::TenantId;
use hatch_readmodel::Audited;
use serde_json::Value;

/// Refusals of a client in a minute that have a row each.
const OF_CLIENT_MAX: u32 = 10;

/// Rows that wait to be written at most.
const WAITING_MAX: usize = 4_096;

/// Who is refused, as far as he is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// Somebody who is known by this name.
    Known(String),
    /// Whoever names this key, which is there.
    Claiming(String),
    /// Whoever asks from there.
    At(IpAddr),
    /// All for whom there was no place.
    Others,
}

/// Whose refusals have limits of their own, so that nobody's hide those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Group {
    /// Those of whom nothing is known: there may be any number of them.
    Strangers,
    /// The keys and people of a tenant: there are as many as it has made.
    Of(TenantId),
}

impl Group {
    /// Refusals of a minute that have a row each, and clients that are told apart, in each process.
    const fn limits(self) -> (u32, usize) {
        match self {
            Self::Strangers => (600, 1_024),
            Self::Of(_) => (200, 128),
        }
    }
}

/// The refusals that are not written yet, and those of this minute.
#[derive(Default)]
pub(super) struct Refusals(Mutex<State>);

#[derive(Default)]
struct State {
    /// Since 1970.
    minute: i64,
    groups: HashMap<Group, OfGroup>,
    waiting: Vec<Audited>,
    /// How many were left out that no row says, because too many wait.
    lost: u64,
}

#[derive(Default)]
struct OfGroup {
    kept: u32,
    clients: HashMap<Client, OfClient>,
}

#[derive(Default)]
struct OfClient {
    kept: u32,
    left_out: u64,
    /// The first that was left out.
    first: Option<Audited>,
}

impl Refusals {
    /// Counts a refusal of `client`, whose tenant that is, and says whether it gets a row of its own.
    pub(super) fn note(
        &self,
        now: DateTime<Utc>,
        (tenant, client): (TenantId, Client),
        audited: impl FnOnce() -> Audited,
    ) -> bool {
        let mut state = self.lock();
        state.go_on_to(now);
        let State { groups, waiting, .. } = &mut *state;
        let group = match client {
            Client::At(_) => Group::Strangers,
            _ => Group::Of(tenant),
        };
        let (kept_max, clients_max) = group.limits();
        let OfGroup { kept, clients } = groups.entry(group).or_default();
        let has_place = clients.len() < clients_max || clients.contains_key(&client);
        let client = clients.entry(if has_place { client } else { Client::Others }).or_default();
        let is_kept =
            client.kept < OF_CLIENT_MAX && *kept < kept_max && waiting.len() < WAITING_MAX;
        if is_kept {
            client.kept += 1;
            *kept += 1;
            waiting.push(audited());
        } else {
            client.left_out += 1;
            client.first.get_or_insert_with(audited);
        }
        is_kept
    }

    /// What is to be written at `now`.
    pub(super) fn take(&self, now: DateTime<Utc>) -> Vec<Audited> {
        let mut state = self.lock();
        state.go_on_to(now);
        std::mem::take(&mut state.waiting)
    }

    /// What is to be written at the end, with that of a minute that is not over.
    pub(super) fn take_all(&self) -> Vec<Audited> {
        let mut state = self.lock();
        state.end_minute();
        std::mem::take(&mut state.waiting)
    }

    /// How many refusals no row says and none will, since this was asked last.
    pub(super) fn take_lost(&self) -> u64 {
        std::mem::take(&mut self.lock().lost)
    }

    /// It was not written: it waits for the next time, as far as there is room.
    pub(super) fn put_back(&self, mut unwritten: Vec<Audited>) {
        let mut state = self.lock();
        let room = WAITING_MAX.saturating_sub(state.waiting.len());
        for row in unwritten.drain(room.min(unwritten.len())..) {
            state.lost += row.details["left_out"].as_u64().unwrap_or(1);
        }
        unwritten.append(&mut state.waiting);
        state.waiting = unwritten;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn go_on_to(&mut self, now: DateTime<Utc>) {
        let minute = now.timestamp().div_euclid(60);
        if minute != self.minute {
            self.minute = minute;
            self.end_minute();
        }
    }

    /// One row for each client of which some were left out: the first of them, with their number.
    fn end_minute(&mut self) {
        let clients = self.groups.drain().flat_map(|(_, group)| group.clients);
        for (_, OfClient { left_out, first, .. }) in clients {
            let Some(mut first) = first else { continue };
            if self.waiting.len() >= WAITING_MAX {
                self.lost += left_out;
                continue;
            }
            if let Value::Object(details) = &mut first.details {
                details.insert("left_out".to_owned(), left_out.into());
            }
            self.waiting.push(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).expect("in range")
    }

    fn audited_of(tenant: TenantId) -> Audited {
        Audited {
            id: Uuid::nil(),
            tenant,
            at: at(0),
            actor: None,
            key_id: None,
            action: "request.refused",
            object: None,
            details: json!({"status": 401}),
            request_id: None,
            address: None,
        }
    }

    fn audited() -> Audited {
        audited_of(TenantId::DEFAULT)
    }

    fn client(n: u32) -> (TenantId, Client) {
        (TenantId::DEFAULT, Client::At(IpAddr::V4(Ipv4Addr::from_bits(n))))
    }

    #[test]
    fn a_few_of_each_client_and_minute_are_kept_and_the_others_are_counted() {
        let refusals = Refusals::default();
        let count = |n, second, times: usize| {
            (0..times).filter(|_| refusals.note(at(second), client(n), audited)).count()
        };
        assert_eq!((count(1, 0, 25), count(2, 1, 4)), (10, 4));
        assert_eq!(refusals.take(at(2)).len(), 14);
        assert_eq!(count(1, 59, 5), 0);
        let left_out = refusals.take(at(60));
        assert_eq!(left_out.len(), 1, "one row for all that were left out");
        assert_eq!(left_out[0].details, json!({"status": 401, "left_out": 20}));
        assert_eq!(count(1, 61, 25), 10, "another minute");
        assert_eq!(refusals.take_all().len(), 11);
    }

    #[test]
    fn clients_beyond_number_take_no_more_rows_and_no_more_memory() {
        let refusals = Refusals::default();
        let kept = (0..50_000).filter(|n| refusals.note(at(0), client(*n), audited)).count();
        let (kept_max, clients_max) = Group::Strangers.limits();
        assert_eq!(kept, kept_max as usize);
        assert!(refusals.lock().groups[&Group::Strangers].clients.len() <= clients_max + 1);
        let rows = refusals.take(at(60));
        assert!(rows.len() <= kept + clients_max + 1, "{}", rows.len());
        let left_out = rows.iter().filter_map(|row| row.details["left_out"].as_u64());
        assert_eq!(left_out.sum::<u64>(), 49_400);
    }

    #[test]
    fn no_flood_hides_what_is_refused_to_keys_and_people_of_a_tenant() {
        let refusals = Refusals::default();
        let tenant = |n: u128| TenantId(Uuid::from_u128(n));
        let known = |of, name: String| {
            let noted = (of, Client::Known(name));
            refusals.note(at(0), noted, || audited_of(of))
        };
        for n in 0..50_000 {
            let _ = refusals.note(at(0), client(n), audited);
        }
        for n in 0..5_000 {
            let _ = known(tenant(3), format!("token:staff/{n}"));
        }
        assert!(known(tenant(2), "token:staff/1".to_owned()), "another of the same name");
        assert!(refusals.note(at(0), (tenant(2), Client::Claiming("KEY".to_owned())), || {
            audited_of(tenant(2))
        }));
        let rows = refusals.take(at(60));
        let of = |n| {
            let rows = rows.iter().filter(|row| row.tenant == tenant(n));
            rows.map(|row| row.details["left_out"].as_u64().unwrap_or(1)).sum::<u64>()
        };
        assert_eq!((of(3), of(2)), (5_000, 2), "each is in its tenant's audit");
        assert!(rows.len() <= WAITING_MAX);
    }

    #[test]
    fn what_could_not_be_written_waits_while_there_is_room_and_the_rest_is_counted() {
        let refusals = Refusals::default();
        refusals.put_back(vec![audited(); WAITING_MAX + 3]);
        assert_eq!(refusals.take_lost(), 3);
        assert!(!refusals.note(at(0), client(1), audited));
        let _ = refusals.note(at(0), client(1), audited);
        refusals.lock().go_on_to(at(60));
        assert_eq!((refusals.take_lost(), refusals.take_lost()), (2, 0), "no row says them");
        assert_eq!(refusals.take(at(60)).len(), WAITING_MAX);
    }
}
