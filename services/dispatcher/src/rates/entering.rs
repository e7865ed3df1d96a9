//! Messages that are put into lines, until the timers know of them: who comes behind one of them does not go before it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::Priority;
use hatch_due::{InLine, Released, Timers};
use tokio::sync::Notify;
use uuid::Uuid;

use super::Load;

/// Those that were put into a line and are to be written, at most. The fold writes those that do not fit.
const ENTERING_MAX: usize = 20_000;

/// How many of them are written at a time.
const ENTERED_AT_ONCE: usize = 1_000;

/// Between two tries to write them.
const ENTER_AGAIN: Duration = Duration::from_millis(500);

/// The place of a message in a line. Those of one tenant and priority go by time, and then by their ids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    line: String,
    urgency: usize,
    tenant: Uuid,
    due_at: DateTime<Utc>,
    message: Uuid,
}

impl Spot {
    /// That of a message which is put into the line.
    pub(super) fn new(load: &Load<'_>, line: &str, due_at: DateTime<Utc>) -> Self {
        let Load { tenant, priority, message, .. } = *load;
        let (line, urgency, tenant) = (line.to_owned(), priority as usize, tenant.0);
        Self { line, urgency, tenant, due_at, message }
    }

    /// That of a message which was let go.
    pub(super) fn of(released: &Released) -> Self {
        let priority = Priority::named(&released.priority).unwrap_or_default();
        Self {
            line: released.waits_for.clone(),
            urgency: priority as usize,
            tenant: released.timer.tenant_id,
            due_at: released.due_at,
            message: released.timer.stream_id,
        }
    }

    fn has_turns_of(&self, other: &Self) -> bool {
        (&self.line, self.urgency, self.tenant) == (&other.line, other.urgency, other.tenant)
    }
}

type Spots = Arc<Mutex<BTreeSet<Spot>>>;

/// A message is on its way into a line, as long as this is held.
#[derive(Debug)]
pub(crate) struct OnItsWay {
    spot: Spot,
    among: Spots,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        lock(&self.among).remove(&self.spot);
    }
}

/// Messages that were put into lines and of which the timers are to know at once.
#[derive(Debug, Default)]
pub(crate) struct Entering {
    all: Mutex<Vec<(InLine, OnItsWay)>>,
    some: Notify,
    on_their_way: Spots,
}

impl Entering {
    /// A message is put into a line, or back into it.
    pub(super) fn begin(&self, spot: Spot) -> OnItsWay {
        lock(&self.on_their_way).insert(spot.clone());
        OnItsWay { spot, among: Arc::clone(&self.on_their_way) }
    }

    /// Whether one of the same tenant and priority is on its way to a place before this one.
    pub(super) fn has_before(&self, spot: &Spot) -> bool {
        let on_their_way = lock(&self.on_their_way);
        let before = on_their_way.range::<Spot, _>(..spot).next_back();
        before.is_some_and(|before| before.has_turns_of(spot))
    }

    /// It is written soon.
    pub(super) fn push(&self, one: InLine, on_its_way: OnItsWay) {
        let mut all = lock(&self.all);
        if all.len() < ENTERING_MAX {
            all.push((one, on_its_way));
        }
        drop(all);
        self.some.notify_one();
    }

    /// Writes them, for ever, and tells `entered` of it.
    pub(crate) async fn write(&self, timers: &Timers, entered: &Notify) {
        loop {
            self.some.notified().await;
            loop {
                let (rows, on_their_way) = self.some_of_them();
                if rows.is_empty() {
                    break;
                }
                let written = timers.enter(&rows).await;
                drop(on_their_way);
                if let Err(error) = written {
                    tracing::debug!(error = %error, "who was put into a line is known after the lag");
                    tokio::time::sleep(ENTER_AGAIN).await;
                }
                entered.notify_one();
            }
        }
    }

    fn some_of_them(&self) -> (Vec<InLine>, Vec<OnItsWay>) {
        let mut all = lock(&self.all);
        let number = all.len().min(ENTERED_AT_ONCE);
        all.drain(..number).unzip()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(line: &str, priority: Priority, tenant: u128, second: i64, message: u128) -> Spot {
        Spot {
            line: line.to_owned(),
            urgency: priority as usize,
            tenant: Uuid::from_u128(tenant),
            due_at: crate::testing::at(second),
            message: Uuid::from_u128(message),
        }
    }

    #[test]
    fn who_is_on_his_way_into_a_line_comes_before_those_behind_him_alone() {
        let entering = Entering::default();
        let normal = Priority::Normal;
        let on_its_way = entering.begin(spot("rate:one", normal, 2, 5, 7));
        for (place, waits) in [
            (spot("rate:one", normal, 2, 6, 1), true),
            (spot("rate:one", normal, 2, 5, 8), true),
            (spot("rate:one", normal, 2, 5, 7), false),
            (spot("rate:one", normal, 2, 4, 9), false),
            (spot("rate:one", normal, 3, 6, 9), false),
            (spot("rate:one", normal, 1, 6, 9), false),
            (spot("rate:one", Priority::High, 2, 6, 9), false),
            (spot("rate:one", Priority::Bulk, 2, 6, 9), false),
            (spot("rate:two", normal, 2, 6, 9), false),
        ] {
            assert_eq!(entering.has_before(&place), waits, "{place:?}");
        }
        drop(on_its_way);
        assert!(!entering.has_before(&spot("rate:one", normal, 2, 6, 1)), "it stands there");
    }
}
