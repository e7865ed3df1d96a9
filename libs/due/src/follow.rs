//! Follows the log at a distance and folds it into the timers of a kind. One process does, the others stand by.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::time;
use hatch_eventstore::{
    Backoff, Checkpoint, CheckpointError, FenceState, Follow, Follower, HeadWatch, Log, LogError,
    Position, Stop, Store, log_unless_away,
};
use tokio::time::sleep;

use crate::fold::{Fact, Fold};
use crate::{DueKind, Error, Timers};

/// Events of a page of the log.
const PAGE_EVENTS: usize = 2_000;

/// Events that wait to be old enough, at most; with more to come, the rest waits in the log.
const WAITING_EVENTS_MAX: usize = 20_000;

/// Events folded in one transaction, at most.
const FOLD_EVENTS_MAX: usize = 5_000;

/// How much longer than its distance from the head a checkpoint may stand still before the process
/// that moves it counts as gone.
const STANDSTILL_MARGIN: Duration = Duration::from_secs(1);

/// How long a fold waits that the log itself stops, until it tries again.
const HALTED_WAIT: Duration = Duration::from_secs(5);

/// How far behind the log's head timers are folded.
#[derive(Debug, Clone, Copy)]
pub struct Lag(pub Duration);

impl Lag {
    /// Between two folds, the time that one takes not counted: short against the lag, so that the lag is what decides.
    fn tick(self) -> Duration {
        (self.0 / 4).clamp(Duration::from_millis(20), Duration::from_millis(500))
    }

    /// As a difference of times.
    fn delta(self) -> TimeDelta {
        time::delta(self.0)
    }
}

/// Whether something stands still that only a repair sets going.
#[derive(Debug, Default)]
pub struct Halts(Mutex<Option<String>>);

impl Halts {
    /// Why it stands still, if it does.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        self.lock().clone()
    }

    /// It stands still, for this reason; whether that is news.
    fn halt(&self, why: &str) -> bool {
        self.lock().replace(why.to_owned()).as_deref() != Some(why)
    }

    fn go_on(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Folds the log into the timers of a kind, for ever. What damage of the log stops is tried again, and goes on by
/// itself when that is repaired; the sweepers go on with the timers as they are meanwhile.
pub async fn run<K: DueKind>(
    store: Store,
    head: HeadWatch,
    timers: Timers,
    lag: Lag,
    halts: Arc<Halts>,
) -> Infallible {
    let follower = Follower {
        name: K::CHECKPOINT.0,
        head: head.clone(),
        standstill: lag.0 + lag.tick() + STANDSTILL_MARGIN,
    };
    let fold = Folding::<K> { store, head, timers, lag, halts, kind: PhantomData };
    follower.run(fold).await
}

struct Folding<K> {
    store: Store,
    head: HeadWatch,
    timers: Timers,
    lag: Lag,
    halts: Arc<Halts>,
    kind: PhantomData<fn() -> K>,
}

/// An event that waits to be old enough to be folded.
struct WaitingFact<N> {
    fact: Fact<N>,
    read: Instant,
}

impl<N> WaitingFact<N> {
    /// Whether it was recorded before `before`, or read `lag` ago. The time that it was recorded at may lie in
    /// the future: PostgreSQL's clock may have been set back since.
    fn is_old(&self, before: DateTime<Utc>, lag: Duration) -> bool {
        self.fact.recorded_at <= before || self.read.elapsed() >= lag
    }
}

type Facts<K> = VecDeque<WaitingFact<<K as DueKind>::Note>>;

impl<K: DueKind> Follow for Folding<K> {
    type Reason = Error;

    async fn follow(&mut self, backoff: &mut Backoff) -> Result<Infallible, Stop<Error>> {
        Err(match self.fold_for_ever(backoff).await {
            Err(Error::Checkpoint(CheckpointError::Fenced { .. })) => Stop::Fenced,
            Err(error) => Stop::For(error),
        })
    }

    async fn position(&self) -> Option<Position> {
        self.timers.checkpoint().await.ok().map(|checkpoint| checkpoint.position)
    }

    async fn wait_out(&mut self, error: Error, backoff: &mut Backoff) {
        let name = K::CHECKPOINT.0;
        match &error {
            // The checkpoint, read anew, says how to go on.
            Error::Ahead(_) | Error::Log(LogError::Regressed { .. }) => {
                tracing::warn!(name, error = %error, "timers look at their checkpoint again");
                sleep(backoff.last()).await;
            }
            Error::Log(damage) if !damage.is_unavailable() => {
                let why = damage.to_string();
                if self.halts.halt(&why) {
                    tracing::error!(name, error = why, "timers have halted");
                }
                sleep(HALTED_WAIT).await;
            }
            _ => {
                let retry_in = backoff.upcoming();
                log_unless_away!(warn, &error, name, error = %error, ?retry_in, "timers wait for PostgreSQL");
                backoff.wait().await;
            }
        }
    }
}

impl<K: DueKind> Folding<K> {
    async fn fold_for_ever(&self, backoff: &mut Backoff) -> Result<Infallible, Error> {
        self.head.fence().known().await;
        let mut checkpoint = self.validated().await?;
        let mut read = checkpoint.position;
        let mut waiting = VecDeque::new();
        loop {
            // At this distance from the head the log is read in few large pages: live events would cost
            // more.
            let has_more = fill::<K>(self.store.log(), &mut read, &mut waiting).await?;
            let folded = checkpoint.position;
            checkpoint = self.fold_until(checkpoint, &mut waiting).await?;
            backoff.reset();
            self.halts.go_on();
            if !has_more || checkpoint.position == folded {
                self.store.environment().sleep(self.lag.tick()).await;
            }
        }
    }

    /// The checkpoint, if the log has the event that it was set at. Where the log does not, some of the
    /// database is older than the rest: the fence is closed, and once somebody has lifted it the timers
    /// are made anew from the log that is to go on.
    async fn validated(&self) -> Result<Checkpoint, Error> {
        let checkpoint = self.timers.checkpoint().await?;
        if checkpoint.position == Position::START {
            return Ok(checkpoint);
        }
        let event = self.store.log().read_at(checkpoint.position).await?;
        if event.is_some_and(|event| event.epoch == checkpoint.epoch) {
            return Ok(checkpoint);
        }
        match self.head.fence().state() {
            FenceState::Open { epoch, .. } if epoch > checkpoint.epoch => {
                self.timers.begin_anew(&checkpoint, epoch).await?;
            }
            _ => self.timers.report_ahead(&checkpoint).await?,
        }
        Err(Error::Ahead(checkpoint.position))
    }

    /// Folds the events that are older than the lag, in the order of the log.
    async fn fold_until(
        &self,
        mut checkpoint: Checkpoint,
        waiting: &mut Facts<K>,
    ) -> Result<Checkpoint, Error> {
        let (before, lag) = (self.store.environment().now() - self.lag.delta(), self.lag.0);
        loop {
            let old = waiting.iter().take(FOLD_EVENTS_MAX).take_while(|w| w.is_old(before, lag));
            let count = old.count();
            let Some(last) = count.checked_sub(1).and_then(|last| waiting.get(last)) else {
                return Ok(checkpoint);
            };
            let (position, epoch) = (last.fact.position, last.fact.epoch);
            let facts = || waiting.iter().map(|waiting| &waiting.fact);
            let fold = Fold::of(facts().take(count), facts().skip(count));
            checkpoint = self.timers.apply::<K>(&checkpoint, &fold, position, epoch).await?;
            waiting.drain(..count);
        }
    }
}

/// Reads the log after `read` into `waiting`, as far as there is room; whether the log may have more.
async fn fill<K: DueKind>(
    log: &Log,
    read: &mut Position,
    waiting: &mut Facts<K>,
) -> Result<bool, Error> {
    while waiting.len() < WAITING_EVENTS_MAX {
        let page = log.read_page(*read, PAGE_EVENTS).await?;
        let Some(last) = page.last() else { return Ok(false) };
        *read = last.position;
        let now = Instant::now();
        let facts = page.iter().map(|event| WaitingFact { fact: Fact::of::<K>(event), read: now });
        let before = waiting.len();
        waiting.extend(facts);
        tell_undecodable(waiting.iter().skip(before).map(|waiting| &waiting.fact));
    }
    Ok(true)
}

/// One line for the undecodable events of a page: each has its stream's id in the timers.
fn tell_undecodable<'a, N: 'a>(facts: impl Iterator<Item = &'a Fact<N>>) {
    let mut unread = facts.filter(|fact| fact.is_undecodable());
    if let Some(first) = unread.next() {
        let (position, events) = (first.position.0, 1 + unread.count());
        tracing::error!(
            position,
            events,
            "this build cannot read events: their streams wait for one that can"
        );
    }
}
