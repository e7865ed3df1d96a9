//! A dispatcher that is killed between the claim of an attempt, its call and its outcome, again and again, while the
//! provider accepts messages without a word, or loses them: under `look_up` nobody gets a message twice, and no message
//! stays in doubt of which the provider can tell.
//!
//! Short by default. `HATCH_TEST_KILLS=1000` makes it long (`just doubts`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::fleet::{Fleet, Member};
use crate::time::eventually_within;

/// Accepted, and never answered: receipts come.
const MUTE: &str = "+18045550504";
/// Neither accepted nor answered.
const HOLE: &str = "+18045550503";

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// Messages to each of them before a kill.
const MUTE_AT_ONCE: usize = 4;
const HOLES_AT_ONCE: usize = 1;

const CLAIMS: &str = "SELECT count(*) FROM es.events WHERE type = 'SendAttempted'";
const DOUBTS: &str = "SELECT count(*) FROM es.events WHERE type = 'SendInDoubt'";
const OPEN: &str = "SELECT count(*) FROM rm.messages \
    WHERE status NOT IN ('sent', 'delivered', 'read', 'undelivered', 'failed', 'canceled')";
const BEHIND: &str = "SELECT (SELECT coalesce(max(position), 0) FROM es.events) \
    - (SELECT position FROM es.checkpoints WHERE name = 'messages')";

/// Between which two steps of an attempt a dispatcher is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    ClaimAndCall,
    CallAndOutcome,
    Outcome,
}

const MOMENTS: [Moment; 3] = [Moment::ClaimAndCall, Moment::CallAndOutcome, Moment::Outcome];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_a_message_twice_and_no_doubt_stays_whenever_a_dispatcher_is_killed() {
    let kills: usize =
        std::env::var("HATCH_TEST_KILLS").map_or(6, |text| text.parse().expect("a number"));
    let fleet = Fleet::start(
        1,
        &[
            ("HATCH_TWILIO__HTTP_TIMEOUT_MS", "1000"),
            ("HATCH_TWILIO__CONNECT_TIMEOUT_MS", "500"),
            ("HATCH_DISPATCHER__LEASE_MS", "2500"),
            ("HATCH_DISPATCHER__LOOK_UPS_MS", "300,900"),
            ("HATCH_DISPATCHER__TIMERS_LAG_MS", "200"),
            ("HATCH_DISPATCHER__DELIVERY_GRACE_MS", "500"),
            ("HATCH_DISPATCHER__RETRY__ATTEMPTS_MAX", "4"),
            ("HATCH_DISPATCHER__RETRY__BACKOFF_MIN_MS", "10"),
            ("HATCH_DISPATCHER__RETRY__BACKOFF_MAX_MS", "50"),
            // No call is answered, and the breaker is not to slow that down.
            ("HATCH_DISPATCHER__BREAKER__FAILURES", "1000000"),
            ("HATCH_DISPATCHER__BREAKER__CALLS_MIN", "1000000"),
        ],
    )
    .await;
    let api = fleet.api(0, "command,webhook,relay,projector").await;
    let mut dispatcher = fleet.serve("dispatcher").await;
    let mut sent = Sent::default();
    for n in 0..kills {
        let before =
            (fleet.count(CLAIMS).await, fleet.record().await.len(), fleet.count(DOUBTS).await);
        sent.some_more(&fleet, &api, n).await;
        let moment = MOMENTS[n % MOMENTS.len()];
        eventually_within(PATIENCE, &format!("{moment:?} of kill {n}"), async || {
            let is_there = match moment {
                Moment::ClaimAndCall => fleet.count(CLAIMS).await > before.0,
                Moment::CallAndOutcome => fleet.record().await.len() > before.1,
                Moment::Outcome => fleet.count(DOUBTS).await > before.2,
            };
            is_there.then_some(())
        })
        .await;
        dispatcher.signal(Signal::SIGKILL);
        dispatcher.ended().await;
        fleet.start_again(&mut dispatcher).await;
    }
    eventually_within(PATIENCE, "no message waits or is in doubt", async || {
        let is_settled = fleet.count(BEHIND).await == 0 && fleet.count(OPEN).await == 0;
        is_settled.then_some(())
    })
    .await;
    sent.assert_each_taken_once(&fleet).await;
    assert!(fleet.count(DOUBTS).await > 0, "there was something to tell");
}

/// What was accepted by us.
#[derive(Default)]
struct Sent {
    mute: BTreeSet<String>,
    holes: BTreeSet<String>,
}

impl Sent {
    async fn some_more(&mut self, fleet: &Fleet, api: &Member, n: usize) {
        for k in 0..MUTE_AT_ONCE {
            self.mute.insert(fleet.accepted(api, MUTE, &format!("mute {n} {k}")).await);
        }
        for k in 0..HOLES_AT_ONCE {
            self.holes.insert(fleet.accepted(api, HOLE, &format!("hole {n} {k}")).await);
        }
    }

    /// Holds what the provider took against what the log says of each message.
    async fn assert_each_taken_once(&self, fleet: &Fleet) {
        let mut taken: BTreeMap<String, u64> = BTreeMap::new();
        for line in fleet.record().await {
            let id = line["hatch_message_id"].as_str().expect("an id").to_owned();
            *taken.entry(id).or_default() += line["calls"].as_u64().expect("a number");
        }
        let twice: Vec<_> = taken.iter().filter(|(_, calls)| **calls > 1).collect();
        assert!(twice.is_empty(), "accepted twice: {twice:?}");
        for id in &self.mute {
            let events = fleet.events(id).await;
            let is_sent =
                events.iter().any(|one| one == "MessageSent" || one == "MessageDelivered");
            assert_eq!(taken.contains_key(id), is_sent, "{id}: {events:?}");
        }
        for id in &self.holes {
            assert!(!taken.contains_key(id), "{id} was lost");
            let events = fleet.events(id).await;
            assert_eq!(events.last().map(String::as_str), Some("MessageFailed"), "{events:?}");
        }
    }
}
