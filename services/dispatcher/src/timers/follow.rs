//! Follows the log at a distance and folds it into the timers. One dispatcher does; the checkpoint's
//! compare-and-set refuses the others, which stand by and take over when it no longer moves.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use hatch_eventstore::{Checkpoint, CheckpointError, FenceState, Log, LogError, Position};
use tokio::time::sleep;

use super::fold::{Fact, Fold};
use super::{Error, Timers};
use crate::{Config, Dependencies};

/// Events of a page of the log.
const PAGE_EVENTS: usize = 2_000;

/// Events that wait to be old enough, at most; with more to come, the rest waits in the log.
const WAITING_EVENTS_MAX: usize = 20_000;

/// Events folded in one transaction, at most.
const FOLD_EVENTS_MAX: usize = 5_000;

/// Waits while PostgreSQL is away: from the first, doubling, to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How much longer than its distance from the head a checkpoint may stand still before the folder
/// that moves it counts as gone.
const STANDSTILL_MARGIN: Duration = Duration::from_secs(1);

/// An event that waits to be old enough to be folded.
struct Waiting {
    fact: Fact,
    read: Instant,
}

impl Waiting {
    /// Whether it was recorded before `before`, or read `lag` ago. The time that it was recorded at may lie in
    /// the future: PostgreSQL's clock may have been set back since.
    fn is_old(&self, before: DateTime<Utc>, lag: Duration) -> bool {
        self.fact.recorded_at <= before || self.read.elapsed() >= lag
    }
}

/// How long a fold waits that the log itself stops, until it tries again.
const HALTED_WAIT: Duration = Duration::from_secs(5);

/// Follows for ever. What damage of the log stops is tried again, and goes on by itself when that is repaired; the
/// sweepers go on with the timers as they are meanwhile.
pub(crate) async fn run(dependencies: &Dependencies, config: &Config, timers: &Timers) {
    let mut backoff = BACKOFF.0;
    loop {
        let Err(error) = follow(dependencies, config, timers, &mut backoff).await;
        match &error {
            Error::Checkpoint(CheckpointError::Fenced { .. }) => {
                tracing::info!("another dispatcher folds the timers, standing by");
                stand_by(dependencies, config, timers).await;
                tracing::info!("the timers stand still, taking over");
            }
            // The checkpoint, read anew, says how to go on.
            Error::Ahead(_) | Error::Log(LogError::Regressed { .. }) => {
                tracing::warn!(error = %error, "the timers look at their checkpoint again");
                sleep(BACKOFF.1).await;
            }
            Error::Log(unavailable) if unavailable.is_unavailable() => {
                wait(&error, &mut backoff).await;
            }
            Error::Log(damage) => {
                let why = damage.to_string();
                if dependencies.stats.timers.halt(&why) {
                    tracing::error!(error = why, "the timers have halted");
                }
                sleep(HALTED_WAIT).await;
            }
            _ => wait(&error, &mut backoff).await,
        }
    }
}

async fn wait(error: &Error, backoff: &mut Duration) {
    tracing::warn!(error = %error, retry_in = ?*backoff, "the timers wait for PostgreSQL");
    sleep(*backoff).await;
    *backoff = (*backoff * 2).min(BACKOFF.1);
}

async fn follow(
    dependencies: &Dependencies,
    config: &Config,
    timers: &Timers,
    backoff: &mut Duration,
) -> Result<Infallible, Error> {
    let store = &dependencies.store;
    dependencies.head.fence().known().await;
    let mut checkpoint = validated(dependencies, timers).await?;
    let mut read = checkpoint.position;
    let mut waiting = VecDeque::new();
    let mut ticks = tokio::time::interval(tick(config));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        // At this distance from the head the log is read in few large pages: live events would cost
        // more.
        let has_more = fill(store.log(), &mut read, &mut waiting).await?;
        let (now, lag) = (store.environment().now(), config.timers_lag);
        let folded = checkpoint.position;
        checkpoint = fold_until(timers, checkpoint, &mut waiting, now, lag).await?;
        *backoff = BACKOFF.0;
        dependencies.stats.timers.go_on();
        if !has_more || checkpoint.position == folded {
            ticks.tick().await;
        }
    }
}

/// Reads the log after `read` into `waiting`, as far as there is room; whether the log may have more.
async fn fill(
    log: &Log,
    read: &mut Position,
    waiting: &mut VecDeque<Waiting>,
) -> Result<bool, Error> {
    while waiting.len() < WAITING_EVENTS_MAX {
        let page = log.read_page(*read, PAGE_EVENTS).await?;
        let Some(last) = page.last() else { return Ok(false) };
        *read = last.position;
        let now = Instant::now();
        let facts = page.iter().map(Fact::of).map(|fact| Waiting { fact, read: now });
        let before = waiting.len();
        waiting.extend(facts);
        tell_undecodable(waiting.iter().skip(before).map(|waiting| &waiting.fact));
    }
    Ok(true)
}

/// The checkpoint, if the log has the event that it was set at. Where the log does not, some of the
/// database is older than the rest: the fence is closed, and once somebody has lifted it the timers
/// are made anew from the log that is to go on.
async fn validated(dependencies: &Dependencies, timers: &Timers) -> Result<Checkpoint, Error> {
    let checkpoint = timers.checkpoint().await?;
    if checkpoint.position == Position::START {
        return Ok(checkpoint);
    }
    let event = dependencies.store.log().read_at(checkpoint.position).await?;
    if event.is_some_and(|event| event.epoch == checkpoint.epoch) {
        return Ok(checkpoint);
    }
    match dependencies.head.fence().state() {
        FenceState::Open { epoch, .. } if epoch > checkpoint.epoch => {
            timers.begin_anew(&checkpoint, epoch).await?;
        }
        _ => timers.report_ahead(&checkpoint).await?,
    }
    Err(Error::Ahead(checkpoint.position))
}

/// Folds the events that are older than `lag`, in the order of the log.
async fn fold_until(
    timers: &Timers,
    mut checkpoint: Checkpoint,
    waiting: &mut VecDeque<Waiting>,
    now: DateTime<Utc>,
    lag: Duration,
) -> Result<Checkpoint, Error> {
    let before = now - delta(lag);
    loop {
        let old = waiting.iter().take(FOLD_EVENTS_MAX).take_while(|w| w.is_old(before, lag));
        let count = old.count();
        let Some(last) = count.checked_sub(1).and_then(|last| waiting.get(last)) else {
            return Ok(checkpoint);
        };
        let (position, epoch) = (last.fact.position, last.fact.epoch);
        let facts = || waiting.iter().map(|waiting| &waiting.fact);
        let fold = Fold::of(facts().take(count), facts().skip(count));
        checkpoint = timers.apply(&checkpoint, &fold, position, epoch).await?;
        waiting.drain(..count);
    }
}

/// One line for the undecodable events of a page: each has its message's id in the timers.
fn tell_undecodable<'a>(facts: impl Iterator<Item = &'a Fact>) {
    let mut unread = facts.filter(|fact| fact.is_undecodable());
    if let Some(first) = unread.next() {
        let (position, events) = (first.position.0, 1 + unread.count());
        tracing::error!(
            position,
            events,
            "this build cannot read events: their messages wait for one that can"
        );
    }
}

/// Waits until the log has something that no other folder folds.
async fn stand_by(dependencies: &Dependencies, config: &Config, timers: &Timers) {
    let mut seen: Option<Position> = None;
    loop {
        sleep(config.timers_lag + tick(config) + STANDSTILL_MARGIN).await;
        // While PostgreSQL is away, nobody is active and nothing can be taken over.
        let Ok(checkpoint) = timers.checkpoint().await else { continue };
        let waits = dependencies.head.current() > checkpoint.position;
        if waits && seen == Some(checkpoint.position) {
            return;
        }
        seen = waits.then_some(checkpoint.position);
    }
}

/// Between two folds: short against the lag, so that the lag is what decides.
fn tick(config: &Config) -> Duration {
    (config.timers_lag / 4).clamp(Duration::from_millis(20), Duration::from_millis(500))
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
