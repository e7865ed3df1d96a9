//! Writing what was recorded, some of it at a time, and letting go what is old.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hatch_eventstore::log_unless_away;
use hatch_readmodel::{AnsweredRequest, Audited, QueryError, ReadModel, TrailKind, TrailPartition};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::noted::Answered;
use super::{Inner, TrailRules, mask};

/// Between two writes.
const WRITE_INTERVAL: Duration = Duration::from_millis(250);

/// Rows of a statement at most.
const ROWS_MAX: usize = 1_000;

/// Between two looks for partitions to make and to drop.
const KEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Days whose partitions are made ahead.
const DAYS_AHEAD: i32 = 3;

/// Days of requests that are over for less than this stay, however many bytes there are: PostgreSQL drops none of a day ago
/// by its own clock.
const DROPPED_AFTER: TimeDelta = TimeDelta::hours(25);

/// How far hatch's clock and PostgreSQL's may be apart.
const CLOCKS_DIFFER_MAX: TimeDelta = TimeDelta::hours(1);

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
        let (mut rows, mut taken) = (Vec::new(), 0);
        let (now, bytes_max) = (trail.clock.now(), trail.rules.requests_bytes_max);
        while taken < ROWS_MAX
            && let Ok(answered) = waiting.try_recv()
        {
            taken += 1;
            trail.shares.end(answered.row.tenant);
            let row = shaped(answered);
            if trail.shares.has_bytes(now, &row, bytes_max) {
                rows.push(row);
            } else {
                trail.stats.requests.of(&"dropped").increment();
            }
        }
        let is_full = taken == ROWS_MAX;
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
    let rules = trail.rules;
    let partitions = read_model.trail_partitions().await?;
    for name in past(&partitions, &rules, now) {
        drop_partition(read_model, name).await?;
    }
    for (kind, kept) in [(TrailKind::Requests, rules.requests), (TrailKind::Audit, rules.audit)] {
        // PostgreSQL has a clock of its own, and refuses what is too soon by it.
        let forgotten =
            read_model.forget_caught_trail(kind, now - kept - CLOCKS_DIFFER_MAX).await?;
        if forgotten > 0 {
            tracing::info!(forgotten, "records without a partition are no longer kept");
        }
    }
    let is_full = requests_bytes(&read_model.trail_partitions().await?) > rules.requests_bytes_max;
    if is_full && !trail.is_full.swap(is_full, Ordering::Relaxed) {
        tracing::warn!(
            bytes_max = rules.requests_bytes_max,
            "the request log has all the bytes that it may have: nothing more is written to it"
        );
    }
    trail.is_full.store(is_full, Ordering::Relaxed);
    Ok(())
}

/// Those of `partitions`, the oldest first, that are past their retention, or are requests for which there are too many
/// bytes.
fn past<'a>(
    partitions: &'a [TrailPartition],
    rules: &TrailRules,
    now: DateTime<Utc>,
) -> Vec<&'a str> {
    let mut bytes = requests_bytes(partitions);
    let is_past = |partition: &&TrailPartition| match partition.kind {
        TrailKind::Audit => partition.until <= now - rules.audit,
        TrailKind::Requests => {
            let may_go = partition.until <= now - DROPPED_AFTER;
            let goes = partition.until <= now - rules.requests
                || may_go && bytes > rules.requests_bytes_max;
            if goes {
                bytes = bytes.saturating_sub(partition.bytes);
            }
            goes
        }
    };
    partitions.iter().filter(is_past).map(|partition| partition.name.as_str()).collect()
}

fn requests_bytes(partitions: &[TrailPartition]) -> u64 {
    let requests = partitions.iter().filter(|partition| partition.kind == TrailKind::Requests);
    requests.map(|partition| partition.bytes).sum()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_goes_and_the_oldest_where_there_are_too_many_bytes() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let days = TimeDelta::days;
        let partition = |kind, name: &str, ago, bytes| TrailPartition {
            kind,
            name: name.to_owned(),
            until: now - days(ago),
            bytes,
        };
        let partitions = [
            partition(TrailKind::Audit, "audit_400", 400, 1_000),
            partition(TrailKind::Audit, "audit_40", 40, 1_000),
            partition(TrailKind::Requests, "requests_8", 8, 10),
            partition(TrailKind::Requests, "requests_5", 5, 10),
            partition(TrailKind::Requests, "requests_4", 4, 10),
            partition(TrailKind::Requests, "requests_0", 0, 10),
        ];
        for (logs_requests, requests_bytes_max, gone) in [
            (true, 40, vec!["audit_400", "requests_8"]),
            // What is written no more is kept no longer.
            (false, 40, vec!["audit_400", "requests_8"]),
            (true, 20, vec!["audit_400", "requests_8", "requests_5"]),
            (true, 0, vec!["audit_400", "requests_8", "requests_5", "requests_4"]),
        ] {
            let rules = TrailRules {
                logs_requests,
                requests: days(7),
                requests_bytes_max,
                audit: days(365),
            };
            assert_eq!(past(&partitions, &rules, now), gone, "{rules:?}");
        }
    }
}
