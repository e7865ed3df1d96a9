//! What one client and one tenant have of the request log, so that neither leaves others out of it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use hatch_domain::ids::TenantId;

use super::WAITING_MAX;

/// Answers of a minute by which a client was told that it asks too often, of which each has a row. They cost it little.
const TOO_OFTEN_MAX: u32 = 10;

/// Clients of a minute that are told apart at most; those beyond have no such row.
const CLIENTS_MAX: usize = 4_096;

/// Of the rows that wait, those of one tenant at most.
const OF_TENANT_MAX: usize = WAITING_MAX / 2;

/// The shares of a process.
#[derive(Default)]
pub(super) struct Shares(Mutex<State>);

#[derive(Default)]
struct State {
    /// Since 1970.
    minute: i64,
    too_often: HashMap<(TenantId, String), u32>,
    waiting: HashMap<TenantId, usize>,
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        let at = |second| DateTime::from_timestamp(1_800_000_000 + i64::from(second), 0).expect("in range");
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
