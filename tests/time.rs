//! How tests wait: until something is so, or not at all, because they set the clocks.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hatch::settings::Settings;
use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use hatch_eventstore::testing::Found;
pub(crate) use hatch_eventstore::testing::{eventually, eventually_within};
use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::harness::{Hatch, set_of};

/// Seconds after which what a sweeper holds comes back, and a little more: a shorter wait is not passed over, because
/// the sweeper may be at it.
const HOLD_SECONDS: f64 = 6.0;

/// Times as they are in production: they pass at the test's word. Calls take real time, and are short.
pub(crate) fn as_in_production(settings: &mut Settings) {
    for name in ["twilio", "sendgrid"] {
        set_of(settings, name, "http_timeout_ms", json!(400));
        set_of(settings, name, "connect_timeout_ms", json!(300));
    }
    let dispatcher = &mut settings.dispatcher;
    dispatcher.lease_ms = 60_000;
    dispatcher.look_ups_ms = [30_000, 120_000];
    dispatcher.receipt_wait_ms = 600_000;
    dispatcher.delivery_grace_ms = 10_000;
    (dispatcher.retry.backoff_min_ms, dispatcher.retry.backoff_max_ms) = (10_000, 600_000);
    // In real time, too, since the log is read at this distance.
    dispatcher.timers_lag_ms = 200;
}

/// Ticks at once, and then never sooner than `period` after the last tick.
pub(crate) fn paced(period: Duration) -> Interval {
    let mut pace = interval(period);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

/// As [`eventually_within`], with looks no sooner than `period` after each other.
pub(crate) async fn eventually_paced<F: Found>(
    period: Duration,
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> F,
) -> F::Thing {
    let mut pace = paced(period);
    eventually_within(patience, what, async || {
        pace.tick().await;
        look().await
    })
    .await
}

impl Hatch {
    /// Waits until `look` finds something.
    pub(crate) async fn eventually<T>(
        &self,
        what: &str,
        look: impl AsyncFn(&Self) -> Option<T>,
    ) -> T {
        eventually(what, async || look(self).await).await
    }

    /// The clocks of the machine that the roles run on.
    pub(crate) fn machine(&self) -> Arc<dyn Environment> {
        match &self.clock {
            Some(clock) => Arc::new(clock.clone()),
            None => Arc::new(SystemEnvironment),
        }
    }

    /// The time that is `delta` away.
    pub(crate) fn in_time(&self, delta: TimeDelta) -> DateTime<Utc> {
        self.machine().now() + delta
    }

    /// Sets all clocks forward: the machine's, PostgreSQL's and the providers'. What is due by then is due at once.
    pub(crate) async fn advance(&self, by: TimeDelta) {
        let clock = self.clock.as_ref().expect("started with a clock that can be set");
        let by = by.to_std().expect("forward");
        self.providers_clock.set_forward(by);
        clock.advance(by).await;
    }

    /// The same, to a time that is to come.
    pub(crate) async fn advance_to(&self, time: DateTime<Utc>) {
        self.advance(time - self.in_time(TimeDelta::zero())).await;
    }

    /// Sets the clocks to when something is due of a message, unless a call of it may be under way, or somebody does
    /// what is due.
    pub(crate) async fn pass_time(&self, id: &str) {
        let sql = format!(
            "SELECT extract(epoch FROM t.look_at - now())::float8 FROM due.timers t
               JOIN es.streams s ON s.stream_id = t.stream_id
               JOIN es.events e ON e.stream_id = s.stream_id AND e.version = s.version
              WHERE t.stream_id = '{id}' AND e.type <> 'SendAttempted'"
        );
        let wait = self.rows(&sql).await.first().map(|row| row.get::<_, f64>(0));
        if let Some(wait) = wait.filter(|wait| *wait > HOLD_SECONDS) {
            self.advance(TimeDelta::from_std(Duration::from_secs_f64(wait)).expect("soon")).await;
        }
    }

    /// The message, once it has the status. Until then the [time passes](Self::pass_time) in which nothing happens.
    pub(crate) async fn hasten(&self, id: &str, status: &str) -> Value {
        let what = format!("message {id} is {status} after some time");
        self.eventually(&what, async |hatch| {
            let message = hatch.get(&format!("/api/v1/messages/{id}")).await.body;
            if message["status"] == status {
                return Some(message);
            }
            hatch.pass_time(id).await;
            None
        })
        .await
    }
}
