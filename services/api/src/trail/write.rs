//! Writing what was recorded, some of it at a time, and letting go what is old.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_eventstore::log_unless_away;
use hatch_readmodel::{AnsweredRequest, Audited, QueryError, ReadModel, TrailKind};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::noted::Answered;
use super::{Inner, mask};

/// Between two writes.
const WRITE_INTERVAL: Duration = Duration::from_millis(250);

/// Rows of a statement at most.
const ROWS_MAX: usize = 1_000;

/// Between two looks for partitions to make and to drop.
const KEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Days whose partitions are made ahead.
const DAYS_AHEAD: i32 = 3;

/// How often, and how long after each other, a partition is tried that is in use. Nobody waits for a lock on it,
/// because everybody else would wait behind.
const TRIES_MAX: u32 = 100;
const TRY_PAUSE: Duration = Duration::from_millis(50);

/// Writes until `shutdown`, and then what has come by then.
pub(super) async fn run(
    trail: Arc<Inner>,
    mut waiting: mpsc::Receiver<Answered>,
    read_model: ReadModel,
    shutdown: CancellationToken,
) {
    let writing = async {
        // What is being written is never given up.
        while shutdown.run_until_cancelled(tokio::time::sleep(WRITE_INTERVAL)).await.is_some() {
            write(&trail, &mut waiting, &read_model).await;
        }
        write(&trail, &mut waiting, &read_model).await;
        audit(&trail, &read_model, trail.refusals.take_all()).await;
    };
    let keeping = shutdown.run_until_cancelled(keep(&trail, &read_model));
    let ((), _) = tokio::join!(writing, keeping);
}

async fn write(trail: &Inner, waiting: &mut mpsc::Receiver<Answered>, read_model: &ReadModel) {
    loop {
        let mut rows = Vec::new();
        while rows.len() < ROWS_MAX
            && let Ok(answered) = waiting.try_recv()
        {
            rows.push(shaped(answered));
        }
        let is_full = rows.len() == ROWS_MAX;
        if !rows.is_empty() {
            let count = u64::try_from(rows.len()).unwrap_or_default();
            let outcome = match read_model.add_requests(&rows).await {
                Ok(()) => "written",
                Err(error) => {
                    log_unless_away!(warn, &error, error = %error, count, "requests are not in the request log");
                    "dropped"
                }
            };
            trail.stats.requests.of(&outcome).add(count);
        }
        if !is_full {
            break;
        }
    }
    audit(trail, read_model, trail.refusals.take(trail.clock.now())).await;
}

async fn audit(trail: &Inner, read_model: &ReadModel, rows: Vec<Audited>) {
    if !rows.is_empty()
        && let Err(error) = read_model.add_audited(&rows).await
    {
        log_unless_away!(warn, &error, error = %error, count = rows.len(), "refusals are not in the audit yet");
        trail.refusals.put_back(rows);
    }
    trail.stats.refusals.of(&"lost").add(trail.refusals.take_lost());
}

/// The row, with the shape of the body.
fn shaped(Answered { row, body }: Answered) -> AnsweredRequest {
    AnsweredRequest { body: body.map(|body| mask::shape(&body)), ..row }
}

/// Makes partitions, and drops those that are past their retention, every some minutes, for ever.
async fn keep(trail: &Inner, read_model: &ReadModel) -> Infallible {
    loop {
        if let Err(error) = keep_once(trail, read_model).await {
            log_unless_away!(warn, &error, error = %error, "the request log is not looked after; it is tried again");
        }
        tokio::time::sleep(KEEP_INTERVAL).await;
    }
}

async fn keep_once(trail: &Inner, read_model: &ReadModel) -> Result<(), QueryError> {
    let now = trail.clock.now();
    ensure(read_model, now).await?;
    // What is dropped cannot be had back, so it waits until it is certain what the time is.
    if !trail.clock.is_certain() {
        return Ok(());
    }
    for partition in read_model.trail_partitions().await? {
        let kept = match partition.kind {
            TrailKind::Requests => trail.rules.requests,
            TrailKind::Audit => Some(trail.rules.audit),
        };
        // Where no request log is written, what there is of it is another process's.
        if kept.is_some_and(|kept| partition.until <= now - kept) {
            drop_partition(read_model, &partition.name).await?;
        }
    }
    Ok(())
}

async fn ensure(read_model: &ReadModel, now: DateTime<Utc>) -> Result<(), QueryError> {
    for _ in 1..TRIES_MAX {
        match read_model.ensure_trail_partitions(now, DAYS_AHEAD).await {
            Err(error) if error.is_busy() => tokio::time::sleep(TRY_PAUSE).await,
            done => return done.map(drop),
        }
    }
    read_model.ensure_trail_partitions(now, DAYS_AHEAD).await.map(drop)
}

/// One that is in use all the time stays until the next look.
async fn drop_partition(read_model: &ReadModel, name: &str) -> Result<(), QueryError> {
    for _ in 0..TRIES_MAX {
        match read_model.drop_trail_partition(name).await {
            Ok(dropped) => {
                tracing::info!(partition = name, dropped, "records of requests are no longer kept");
                return Ok(());
            }
            Err(error) if error.is_busy() => tokio::time::sleep(TRY_PAUSE).await,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
