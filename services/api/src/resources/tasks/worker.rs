//! Does the tasks that were asked for: several at a time, each by one process at a time.
//!
//! The parts that are begun with are written down before, and each is done by a command with a key of its own: a
//! process that goes on with a task does none of them twice. Tasks take turns: one that is slow, or long, keeps no
//! other from being begun.

use std::time::Duration;

use chrono::TimeDelta;
use futures::StreamExt as _;
use hatch_domain::actor::Actor;
use hatch_domain::ids::MessageId;
use hatch_domain::message::command::MessageRejection;
use hatch_domain::message::status::Status;
use hatch_eventstore::{AppendError, CommandKey, ExecuteError, Position, Store};
use hatch_readmodel::{
    LeasedTask, MessageFilter, QueryError, ReadModel, TASK_ERRORS_MAX, TaskError,
};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::redrive::{KIND, Redrive, Which};
use crate::commands::{Change, retry};

/// Between two looks at what is to be done.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tasks that a process does at a time.
const AT_ONCE: usize = 4;

/// How long a task is one process's, unless that says that it goes on.
const LEASE_SECONDS: f64 = 60.0;

/// How long a process stays with a task until others have their turn, and how long it waits for the next part
/// meanwhile.
const TURN: Duration = Duration::from_secs(5);
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Messages of a part at most, and of these under way at a time.
const PAGE_MAX: u32 = 100;
const UNDER_WAY_MAX: usize = 16;

/// How often the log is tried for one message, and between two times.
const TRIES_MAX: usize = 20;
const TRY_EVERY: Duration = Duration::from_millis(500);

/// Messages that are counted beforehand at most, and those that failed of which a page is looked for at a time: however
/// few of them a filter lets through, PostgreSQL answers in time.
const COUNTED_MAX: u32 = 100_000;
const LOOKED_AT: i64 = 5_000;

/// How long a task is kept that is over, and between two looks at which are not.
const KEPT: TimeDelta = TimeDelta::days(30);
const FORGET_EVERY: Duration = Duration::from_secs(3_600);

/// Namespace of the keys of a task's commands: a `UUIDv4` drawn once for hatch.
const NAMESPACE: Uuid = Uuid::from_u128(0x71b0_5c2e_9f84_4d1a_8e36_a4c7_02d9_5b18);

/// What became of a part of a task.
enum Part {
    Done,
    Failed(TaskError),
    /// The log did not answer: it is to be tried again later.
    Open,
}

/// Why a task does not go on here.
enum Stop {
    /// Another process has it, or will: nothing is to be written.
    Left,
    /// The tables did not answer.
    Unread(QueryError),
}

impl From<QueryError> for Stop {
    fn from(error: QueryError) -> Self {
        Self::Unread(error)
    }
}

#[derive(Clone)]
struct Worker {
    store: Store,
    read_model: ReadModel,
    shutdown: CancellationToken,
}

/// Does tasks until `shutdown`.
pub async fn run(store: Store, read_model: ReadModel, shutdown: CancellationToken) {
    let worker = Worker { store, read_model, shutdown: shutdown.clone() };
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut under_way, mut forget_at) = (JoinSet::new(), Instant::now());
    while shutdown.run_until_cancelled(next_look(&mut ticks, &mut under_way)).await.is_some() {
        while under_way.len() < AT_ONCE {
            let lease = worker.store.environment().new_id();
            let now = worker.store.environment().now();
            match worker.read_model.lease_task(&[KIND], (lease, LEASE_SECONDS), now).await {
                Ok(Some(task)) => drop(under_way.spawn(worker.clone().work(task, lease))),
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(error = %error, "what is to be done cannot be read");
                    break;
                }
            }
        }
        if Instant::now() >= forget_at {
            let before = worker.store.environment().now() - KEPT;
            // Those that remain are forgotten next time.
            let _ = worker.read_model.forget_tasks(before).await;
            forget_at = Instant::now() + FORGET_EVERY;
        }
    }
    while under_way.join_next().await.is_some() {}
}

/// Until it is time, or there is room for one more.
async fn next_look(ticks: &mut Interval, under_way: &mut JoinSet<()>) {
    tokio::select! {
        _ = ticks.tick() => {}
        Some(_) = under_way.join_next() => {}
    }
    while under_way.try_join_next().is_some() {}
}

impl Worker {
    async fn work(self, task: LeasedTask, lease: Uuid) {
        let id = task.id;
        match self.redrive(task, lease).await {
            Ok(()) => tracing::info!(%id, "a task is over"),
            Err(Stop::Left) => tracing::debug!(%id, "a task is left to whoever goes on with it"),
            Err(Stop::Unread(error)) => {
                tracing::warn!(%id, error = %error, "a task goes on later");
            }
        }
    }

    async fn redrive(&self, mut task: LeasedTask, lease: Uuid) -> Result<(), Stop> {
        let Ok(request) = serde_json::from_value::<Redrive>(task.request.clone()) else {
            let detail = "this build does not know how to do it".to_owned();
            task.errors.push(TaskError { id: task.id, detail });
            self.advance(&task, lease, LEASE_SECONDS).await?;
            return self.end(&task, lease, false).await;
        };
        let asked_at = self.read_model.task(task.tenant, task.id).await?;
        let Some(asked_at) = asked_at.map(|task| task.created_at) else { return Err(Stop::Left) };
        let turn_ends = Instant::now() + TURN;
        loop {
            if task.page.is_empty() {
                let is_more = match &request.which {
                    Which::Ids(ids) => next_of(ids, &mut task, request.rate_per_s),
                    Which::Filter(filter) => {
                        let filter = filter.as_ref().clone().until(asked_at);
                        self.next_failed(&filter, &mut task, request.rate_per_s).await?
                    }
                };
                if !is_more {
                    return self.end(&task, lease, true).await;
                }
                self.advance(&task, lease, LEASE_SECONDS).await?;
            }
            let done = self.do_page(&mut task, request.rate_per_s).await;
            // Who ends leaves it to others at once.
            let is_over = self.shutdown.is_cancelled();
            let Some(wait) = done else {
                let seconds = if is_over { 0.0 } else { LEASE_SECONDS };
                self.advance(&task, lease, seconds).await?;
                return Err(Stop::Left);
            };
            if is_over || wait > WAIT_MAX || Instant::now() >= turn_ends {
                self.advance(&task, lease, wait.as_secs_f64()).await?;
                return Err(Stop::Left);
            }
            self.advance(&task, lease, LEASE_SECONDS).await?;
            sleep(wait).await;
        }
    }

    /// Begins with the next of those that failed and that the filter lets through, if there may be any. Of very many,
    /// it looks at some, and goes on behind these.
    async fn next_failed(
        &self,
        filter: &MessageFilter,
        task: &mut LeasedTask,
        rate_per_s: f64,
    ) -> Result<bool, Stop> {
        let (tenant, read) = (task.tenant, &self.read_model);
        if task.total.is_none() && task.place.is_none() {
            // It is for people. Where that takes too long, nobody is told.
            task.total = read.count_messages(tenant, filter, COUNTED_MAX).await.unwrap_or_default();
        }
        let before = task.place.map_or(Position(i64::MAX), Position);
        let from = read.oldest_of_some(tenant, Status::Failed, before, LOOKED_AT).await?;
        let Some(from) = from else { return Ok(false) };
        let limit = page_of(rate_per_s);
        let found = read.message_ids(tenant, filter, (from, before), limit).await?;
        let is_full = found.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let last = found.last().filter(|_| is_full);
        task.place = Some(last.map_or(from.0, |(position, _)| position.0));
        task.page = found.into_iter().map(|(_, id)| id.0).collect();
        Ok(true)
    }

    /// Does the parts that are begun with, at the rate that was asked for, and says how long the next ones have to
    /// wait; none where the log did not answer for one of them: all of them are begun with again.
    async fn do_page(&self, task: &mut LeasedTask, rate_per_s: f64) -> Option<Duration> {
        let begun = Instant::now();
        let slot = |n: usize| begun + Duration::from_secs_f64(f64::from(small(n)) / rate_per_s);
        let actor: Actor = task.actor.parse().unwrap_or_else(|never| match never {});
        let parts = futures::stream::iter(task.page.clone().into_iter().enumerate());
        let parts = parts.map(|(n, id)| {
            let (at, change) = (slot(n), change_of(task, &actor, id));
            async move {
                sleep_until(at).await;
                self.send_again(change, id).await
            }
        });
        let parts: Vec<Part> = parts.buffer_unordered(UNDER_WAY_MAX).collect().await;
        if parts.iter().any(|part| matches!(part, Part::Open)) {
            return None;
        }
        for part in parts {
            match part {
                Part::Done => task.done += 1,
                Part::Failed(error) => {
                    task.failed += 1;
                    if task.errors.len() < TASK_ERRORS_MAX {
                        task.errors.push(error);
                    }
                }
                Part::Open => {}
            }
        }
        let page = std::mem::take(&mut task.page);
        Some(slot(page.len()).saturating_duration_since(Instant::now()))
    }

    /// Begins a new round for one message, unless this task has begun one before.
    async fn send_again(&self, change: Change, id: Uuid) -> Part {
        let failed = |detail: String| Part::Failed(TaskError { id, detail });
        for _ in 0..TRIES_MAX {
            match retry(&self.store, change.clone(), MessageId(id)).await {
                Ok(_) => return Part::Done,
                Err(error) if is_final(&error) => return failed(told(&error)),
                Err(_) if self.shutdown.is_cancelled() => return Part::Open,
                Err(_) => sleep(TRY_EVERY).await,
            }
        }
        Part::Open
    }

    async fn advance(&self, task: &LeasedTask, lease: Uuid, seconds: f64) -> Result<(), Stop> {
        let is_ours = self.read_model.advance_task(task, lease, seconds).await?;
        if is_ours { Ok(()) } else { Err(Stop::Left) }
    }

    async fn end(&self, task: &LeasedTask, lease: Uuid, is_done: bool) -> Result<(), Stop> {
        let now = self.store.environment().now();
        let is_ours = self.read_model.end_task(task, lease, (is_done, now)).await?;
        if is_ours { Ok(()) } else { Err(Stop::Left) }
    }
}

/// Whether the same would fail again, however often it is tried.
fn is_final(error: &ExecuteError<MessageRejection>) -> bool {
    use AppendError as E;
    match error {
        ExecuteError::Rejected(_) | ExecuteError::Decode(_) => true,
        ExecuteError::Append(error) => {
            matches!(error, E::KeyReused | E::ForeignTenant(_) | E::ForeignKind(_) | E::Refused(_))
        }
        ExecuteError::Log(_) => false,
    }
}

/// What such an error is, for people.
fn told(error: &ExecuteError<MessageRejection>) -> String {
    match error {
        ExecuteError::Rejected(rejection) => rejection.to_string(),
        ExecuteError::Append(error) => error.to_string(),
        ExecuteError::Decode(_) => "this build cannot read the message".to_owned(),
        ExecuteError::Log(error) => error.to_string(),
    }
}

/// Who sends a message of the task again, once.
fn change_of(task: &LeasedTask, actor: &Actor, message: Uuid) -> Change {
    let name = format!("{}\n{message}", task.id);
    let key = CommandKey {
        id: Uuid::new_v5(&NAMESPACE, name.as_bytes()),
        request_hash: Sha256::digest(name.as_bytes()).into(),
    };
    Change { tenant_id: task.tenant, actor: actor.clone(), key: Some(key) }
}

/// Begins with the next of the messages that were named, if there are any.
fn next_of(ids: &[Uuid], task: &mut LeasedTask, rate_per_s: f64) -> bool {
    let from = task.place.and_then(|place| usize::try_from(place).ok()).unwrap_or_default();
    let size = usize::try_from(page_of(rate_per_s)).unwrap_or(1);
    task.page = ids.iter().skip(from).take(size).copied().collect();
    task.place = i64::try_from(from + task.page.len()).ok();
    !task.page.is_empty()
}

/// Messages that take about a second.
fn page_of(rate_per_s: f64) -> u32 {
    (1..=PAGE_MAX).rev().find(|size| f64::from(*size) <= rate_per_s).unwrap_or(1)
}

/// A place in a page.
fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(PAGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_will_never_take_is_not_tried_for_ever() {
        let failed = |error: AppendError| ExecuteError::<MessageRejection>::Append(error);
        for error in [
            AppendError::Refused("the stream has too many events".to_owned()),
            AppendError::KeyReused,
            AppendError::ForeignKind(Uuid::nil()),
        ] {
            assert!(is_final(&failed(error)));
        }
        for error in [AppendError::Unavailable, AppendError::Overloaded, AppendError::Fenced] {
            assert!(!is_final(&failed(error)));
        }
    }

    #[test]
    fn a_part_takes_about_a_second() {
        let pages = [0.1, 1.0, 49.9, 1_000.0].map(page_of);
        assert_eq!(pages, [1, 1, 49, PAGE_MAX]);
    }
}
