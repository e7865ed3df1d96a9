//! Which refused requests are in the audit: a few of each client and minute, and how many there were beside these.
//!
//! Anybody can be refused as often as he likes, so what is written of that is bounded, in memory and in the table.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use hatch_readmodel::Audited;
use serde_json::Value;

/// Refusals of a client in a minute that have a row each.
const OF_CLIENT_MAX: u32 = 10;

/// Those of all clients of a process.
const OF_ALL_MAX: u32 = 600;

/// Clients of a minute that are told apart at most.
const CLIENTS_MAX: usize = 1_024;

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

/// The refusals that are not written yet, and those of this minute.
#[derive(Default)]
pub(super) struct Refusals(Mutex<State>);

#[derive(Default)]
struct State {
    /// Since 1970.
    minute: i64,
    kept: u32,
    clients: HashMap<Client, OfClient>,
    waiting: Vec<Audited>,
}

#[derive(Default)]
struct OfClient {
    kept: u32,
    left_out: u64,
    /// The first that was left out.
    first: Option<Audited>,
}

impl Refusals {
    /// Counts a refusal, and says whether it gets a row of its own.
    pub(super) fn note(
        &self,
        now: DateTime<Utc>,
        client: Client,
        audited: impl FnOnce() -> Audited,
    ) -> bool {
        let mut state = self.lock();
        state.go_on_to(now);
        let has_place = state.clients.len() < CLIENTS_MAX || state.clients.contains_key(&client);
        let State { kept, clients, waiting, .. } = &mut *state;
        let client = clients.entry(if has_place { client } else { Client::Others }).or_default();
        let is_kept =
            client.kept < OF_CLIENT_MAX && *kept < OF_ALL_MAX && waiting.len() < WAITING_MAX;
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

    /// It was not written: it waits for the next time. Says how many there was no room for.
    pub(super) fn put_back(&self, mut unwritten: Vec<Audited>) -> usize {
        let mut state = self.lock();
        let room = WAITING_MAX.saturating_sub(state.waiting.len());
        let lost = unwritten.len().saturating_sub(room);
        unwritten.truncate(room);
        unwritten.append(&mut state.waiting);
        state.waiting = unwritten;
        lost
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
        self.kept = 0;
        for (_, OfClient { left_out, first, .. }) in self.clients.drain() {
            let Some(mut first) = first.filter(|_| self.waiting.len() < WAITING_MAX) else {
                continue;
            };
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

    use hatch_domain::ids::TenantId;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).expect("in range")
    }

    fn audited() -> Audited {
        Audited {
            id: Uuid::nil(),
            tenant: TenantId::DEFAULT,
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

    fn client(n: u32) -> Client {
        Client::At(IpAddr::V4(Ipv4Addr::from_bits(n)))
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
        assert_eq!(kept, 600);
        assert!(refusals.lock().clients.len() <= CLIENTS_MAX + 1);
        let rows = refusals.take(at(60));
        assert!(rows.len() <= 600 + CLIENTS_MAX + 1, "{}", rows.len());
        let left_out = rows.iter().filter_map(|row| row.details["left_out"].as_u64());
        assert_eq!(left_out.sum::<u64>(), 49_400);
    }

    #[test]
    fn what_could_not_be_written_waits_while_there_is_room() {
        let refusals = Refusals::default();
        assert_eq!(refusals.put_back(vec![audited(); WAITING_MAX + 3]), 3);
        assert!(!refusals.note(at(0), client(1), audited));
        assert_eq!(refusals.take(at(0)).len(), WAITING_MAX);
    }
}
