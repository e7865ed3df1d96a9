//! What one client and one tenant have of the request log, so that neither leaves others out of it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use hatch_domain::ids::TenantId;
use hatch_readmodel::AnsweredRequest;

use super::WAITING_MAX;

/// Answers of a minute by which a client was told that it asks too often, of which each has a row. They cost it little.
const TOO_OFTEN_MAX: u32 = 10;

/// Clients of a minute that are told apart at most; those beyond have no such row.
const CLIENTS_MAX: usize = 4_096;

/// Of the rows that wait, those of one tenant at most.
const OF_TENANT_MAX: usize = WAITING_MAX / 2;

/// Of the bytes that the request log may have, those of one tenant and day at most are one such part.
const OF_TENANT_BYTES: u64 = 8;

/// Bytes of a row and of its places in indexes, beside its texts.
const ROW_BYTES: usize = 512;

/// The shares of a process.
#[derive(Default)]
pub(super) struct Shares(Mutex<State>);

#[derive(Default)]
struct State {
    /// Since 1970.
    minute: i64,
    too_often: HashMap<(TenantId, String), u32>,
    waiting: HashMap<TenantId, usize>,
    /// Since 1970.
    day: i64,
    /// What was written that day, as far as that can be told.
    bytes: HashMap<TenantId, u64>,
}

impl Shares {
    /// Whether there is a row for a request of `actor` that came too soon.
    pub(super) fn too_often(&self, now: DateTime<Utc>, tenant: TenantId, actor: &str) -> bool {
        let mut state = self.lock();
        let minute = now.timestamp().div_euclid(60);
        if minute != state.minute {
            state.minute = minute;
            state.too_often.clear();
        }
        let client = (tenant, actor.to_owned());
        if state.too_often.len() >= CLIENTS_MAX && !state.too_often.contains_key(&client) {
            return false;
        }
        let had = state.too_often.entry(client).or_default();
        *had = had.saturating_add(1);
        *had <= TOO_OFTEN_MAX
    }

    /// Whether another row of `tenant` may wait. It waits until [`end`](Self::end).
    pub(super) fn begin(&self, tenant: TenantId) -> bool {
        let mut state = self.lock();
        let waiting = state.waiting.entry(tenant).or_default();
        let has_room = *waiting < OF_TENANT_MAX;
        if has_room {
            *waiting += 1;
        }
        has_room
    }

    /// One of them waits no more.
    pub(super) fn end(&self, tenant: TenantId) {
        let mut state = self.lock();
        if let Some(waiting) = state.waiting.get_mut(&tenant) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                state.waiting.remove(&tenant);
            }
        }
    }

    /// Whether the row may be written, of `bytes_max` of all.
    pub(super) fn has_bytes(
        &self,
        now: DateTime<Utc>,
        row: &AnsweredRequest,
        bytes_max: u64,
    ) -> bool {
        let mut state = self.lock();
        let day = now.timestamp().div_euclid(86_400);
        if day != state.day {
            state.day = day;
            state.bytes.clear();
        }
        let had = state.bytes.entry(row.tenant).or_default();
        let has = had.saturating_add(bytes_of(row));
        let fits = has <= bytes_max / OF_TENANT_BYTES;
        if fits {
            *had = has;
        }
        fits
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes_of(row: &AnsweredRequest) -> u64 {
    let texts = [&row.query, &row.code, &row.actor, &row.key_id, &row.user_agent];
    let texts: usize = texts.into_iter().flatten().chain(&row.touched).map(String::len).sum();
    let body = row.body.as_ref().map_or(0, |body| body.to_string().len());
    let bytes = ROW_BYTES + row.request_id.len() + row.path.len() + row.route.len() + texts + body;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn tenant(n: u128) -> TenantId {
        TenantId(Uuid::from_u128(n))
    }

    #[test]
    fn who_asks_too_often_has_a_few_rows_a_minute() {
        let shares = Shares::default();
        let at = |second| {
            DateTime::from_timestamp(1_800_000_000 + i64::from(second), 0).expect("in range")
        };
        let count = |second, of, actor| {
            (0..1_000).filter(|_| shares.too_often(at(second), tenant(of), actor)).count()
        };
        assert_eq!((count(0, 1, "key:A"), count(1, 2, "key:A")), (10, 10), "two clients");
        assert_eq!((count(59, 1, "key:A"), count(60, 1, "key:A")), (0, 10));
        for n in 0..2 * CLIENTS_MAX {
            shares.too_often(at(61), tenant(3), &n.to_string());
        }
        assert_eq!(shares.lock().too_often.len(), CLIENTS_MAX);
    }

    #[test]
    fn one_tenant_has_a_part_of_a_days_bytes() {
        const BYTES_MAX: u64 = 1_000_000;
        let shares = Shares::default();
        let row = |of| AnsweredRequest {
            id: Uuid::nil(),
            tenant: tenant(of),
            request_id: "request".to_owned(),
            at: DateTime::UNIX_EPOCH,
            method: "POST",
            path: "/api/v1/messages".to_owned(),
            query: None,
            route: "/api/v1/messages".to_owned(),
            status: 202,
            code: None,
            actor: None,
            key_id: None,
            address: std::net::IpAddr::from([192, 0, 2, 1]),
            user_agent: Some("x".repeat(200)),
            duration_us: 1,
            position: None,
            touched: vec!["t".repeat(100)],
            body: Some(serde_json::json!({"body": "string"})),
        };
        let day = |day| DateTime::from_timestamp(86_400 * i64::from(day), 0).expect("in range");
        let written =
            |at, of| (0..1_000).filter(|_| shares.has_bytes(at, &row(of), BYTES_MAX)).count();
        let share = written(day(1), 1);
        assert!((100..=160).contains(&share), "{share}");
        assert_eq!((written(day(1), 1), written(day(1), 2)), (0, share), "nothing of others");
        assert_eq!(written(day(2), 1), share, "another day");
    }

    #[test]
    fn one_tenant_leaves_room_to_the_others() {
        let shares = Shares::default();
        let begun = (0..WAITING_MAX).filter(|_| shares.begin(tenant(1))).count();
        assert_eq!(begun, OF_TENANT_MAX);
        assert!(shares.begin(tenant(2)));
        shares.end(tenant(1));
        assert!(shares.begin(tenant(1)) && !shares.begin(tenant(1)));
        (0..OF_TENANT_MAX).for_each(|_| shares.end(tenant(1)));
        shares.end(tenant(2));
        assert!(shares.lock().waiting.is_empty());
    }
}
