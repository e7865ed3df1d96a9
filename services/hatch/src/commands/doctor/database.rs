//! PostgreSQL: the server, the schema, and the log in it.

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use hatch_bus::StreamReport;
use hatch_domain::Environment;
use hatch_eventstore::{
    ArchiveRecord, Closed, Connection, Connections, FenceState, LockHolder, Log, SystemEnvironment,
    fence_closed_since, fence_state,
};
use tokio_postgres::Client;

use super::finding::Finding;
use super::{LATE, bounded, made};
use crate::commands::{ANSWER_MAX, address, pool};
use crate::output::chain;
use crate::readiness::{OFFSET_MAX, offset_text};
use crate::roles::{place, postgres};
use crate::settings::Settings;

/// The oldest version that hatch works with, as the server numbers it.
const VERSION_MIN: i32 = 150_000;

/// Partitions of the log that wait for positions to come, at least.
const PARTITIONS_AHEAD_MIN: i64 = 2;

/// Settings without which a commit that was answered may be lost. `hatch` sets the first itself where
/// it counts.
const DURABILITY: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];

const SERVER: &str = "SELECT current_setting('server_version'), \
     current_setting('server_version_num')::int, pg_is_in_recovery(), clock_timestamp()";
const TURNED_OFF: &str =
    "SELECT name FROM pg_settings WHERE name = ANY($1) AND setting = 'off' ORDER BY name";

const BEHIND: &str = "run `hatch migrate`";
const AHEAD: &str = "run the build that fits: this one is older than the database";

/// A database that can be asked.
pub(super) struct Database {
    pub(super) pool: Connections,
    pub(super) log: Log,
    /// The time there, which events carry.
    pub(super) now: DateTime<Utc>,
}

/// A database, or why it cannot be asked.
pub(super) type Reached = Result<Database, &'static str>;

/// Finds out whether there is a server, and whether it has the schema of this build.
pub(super) async fn reach(settings: &Settings, embedded: bool) -> (Vec<Finding>, Reached) {
    const NO_ANSWER: &str = "PostgreSQL does not answer";
    let asked = bounded(async {
        let pool = pool(settings)?;
        let look = async |client: &mut Connection| {
            let before = SystemEnvironment.now();
            let row = client.query_one(SERVER, &[]).await?;
            let after = SystemEnvironment.now();
            let now: DateTime<Utc> = row.try_get(3)?;
            let findings = vec![
                server(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?),
                durability(client).await?,
                clock(before + (after - before) / 2 - now),
            ];
            let (schema, fits) = schema(client).await?;
            Ok::<_, anyhow::Error>((now, findings.into_iter().chain(schema), fits))
        };
        let (now, findings, fits) = pool.within(ANSWER_MAX, look).await?;
        Ok((pool, now, findings.collect::<Vec<_>>(), fits))
    });
    match asked.await {
        Ok((pool, now, findings, true)) => {
            (findings, Ok(Database { log: Log::new(pool.clone()), pool, now }))
        }
        Ok((.., findings, false)) => (findings, Err("the schema is not the one of this build")),
        Err(error) => {
            let remedy = if embedded {
                "`hatch up` starts it again by itself; .hatch/postgres.log says why it does not run"
            } else {
                "start the server, or set HATCH_DATABASE_URL to one that answers; its own log says \
                 why it does not"
            };
            let said = chain(&error);
            let what = match postgres(settings).map(|postgres| address(&postgres)) {
                Ok(at) if said.starts_with(&at) => said,
                Ok(at) => format!("does not answer at {at}: {said}"),
                Err(_) => format!("does not answer: {said}"),
            };
            let mut findings = vec![Finding::failure("postgresql", what, remedy)];
            let unknown = ["durability", "clock", "schema"];
            findings.extend(unknown.map(|check| Finding::not_checked(check, NO_ANSWER)));
            (findings, Err(NO_ANSWER))
        }
    }
}

/// A server that is away cannot say since when. The bus can say when it was there for the last time.
pub(super) fn last_seen(
    findings: Vec<Finding>,
    stream: &Result<Option<StreamReport>, &'static str>,
) -> Vec<Finding> {
    let newest = stream.as_ref().ok().and_then(Option::as_ref).and_then(|stream| stream.newest);
    let dated = |finding: Finding| match finding.is_failure_of("postgresql") {
        true => finding.since(newest),
        false => finding,
    };
    findings.into_iter().map(dated).collect()
}

fn server(version: &str, number: i32, in_recovery: bool) -> Finding {
    const CHECK: &str = "postgresql";
    if number < VERSION_MIN {
        let what = format!("version {version}");
        return Finding::failure(CHECK, what, "use PostgreSQL 15 or newer");
    }
    if in_recovery {
        let remedy = "set HATCH_DATABASE_URL to the primary, or promote this one";
        return Finding::failure(CHECK, "is a standby, which takes no writes", remedy);
    }
    Finding::good(CHECK, format!("version {version}"))
}

async fn durability(client: &Client) -> anyhow::Result<Finding> {
    const CHECK: &str = "durability";
    let rows = client.query(TURNED_OFF, &[&&DURABILITY[..]]).await?;
    let off: Vec<&str> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    if off.is_empty() {
        return Ok(Finding::good(CHECK, "a commit is on disk before it is answered"));
    }
    let off = off.join(" and ");
    let what = format!("{off} off: what was acknowledged can be lost in a crash of the machine");
    let remedy = "turn it on in postgresql.conf, unless this is a test";
    Ok(Finding::warning(CHECK, what, remedy))
}

fn clock(offset: TimeDelta) -> Finding {
    const CHECK: &str = "clock";
    let what = offset_text(offset);
    if offset.abs() < OFFSET_MAX {
        return Finding::good(CHECK, what);
    }
    let remedy = "set both by NTP: leases, schedules and the times of events follow PostgreSQL's";
    Finding::warning(CHECK, what, remedy)
}

/// Each schema that is another than this build's, or that all are right; and whether they are.
async fn schema(client: &Client) -> anyhow::Result<(Vec<Finding>, bool)> {
    let mut findings = Vec::new();
    for schema in crate::schemas::schemas() {
        let (current, expected) =
            (schema.current_version(client).await?, schema.expected_version());
        if current != expected {
            let since = schema.changed_at(client).await?;
            let what =
                format!("{} is at version {current}, this build expects {expected}", schema.name());
            let remedy = if current < expected { BEHIND } else { AHEAD };
            findings.push(Finding::failure("schema", what, remedy).since(since));
        }
    }
    let fits = findings.is_empty();
    if fits {
        findings.push(Finding::good("schema", "is the one of this build"));
    }
    Ok((findings, fits))
}

/// The log's fence and its partitions.
pub(super) async fn check(settings: &Settings, database: &Reached) -> Vec<Finding> {
    let database = match database {
        Ok(database) => database,
        Err(why) => {
            return ["fence", "appends", "partitions", "archives"]
                .map(|c| Finding::not_checked(c, why))
                .into();
        }
    };
    let (fence, appends, partitions, archives) = tokio::join!(
        made("fence", fence(settings, database)),
        made("appends", appends(database)),
        made("partitions", partitions(database)),
        made("archives", archives(database)),
    );
    vec![fence, appends, partitions, archives]
}

async fn fence(settings: &Settings, database: &Database) -> anyhow::Result<Finding> {
    const CHECK: &str = "fence";
    let place = place(settings, &postgres(settings)?);
    let look = async |client: &mut Connection| {
        Ok(match fence_state(client, &place).await? {
            FenceState::Open { epoch, .. } => {
                Finding::good(CHECK, format!("open, in epoch {epoch}"))
            }
            FenceState::Unknown => Finding::not_checked(CHECK, "PostgreSQL is away"),
            FenceState::Closed(closed) => {
                let since = fence_closed_since(client, &closed).await?;
                closed_fence(CHECK, &closed).since(Some(since))
            }
        })
    };
    database.pool.within(ANSWER_MAX, look).await
}

fn closed_fence(check: &'static str, closed: &Closed) -> Finding {
    let what = format!("closed, nothing is sent: {}: {}", closed.code(), closed.finding());
    let remedy = "make sure that this database is the one to go on with (docs/reliability.md), then \
        run `hatch fence lift`";
    Finding::failure(check, what, remedy)
}

/// Whether somebody has had the log's lock for so long that nobody else appends.
async fn appends(database: &Database) -> anyhow::Result<Finding> {
    const CHECK: &str = "appends";
    let look = async |client: &mut Connection| {
        Ok::<_, anyhow::Error>(hatch_eventstore::lock_holder(client).await?)
    };
    let holder = database.pool.within(ANSWER_MAX, look).await?;
    let Some(holder) = holder.filter(|holder| holder.seen_at - holder.since >= LATE) else {
        return Ok(Finding::good(CHECK, "nobody keeps the log's lock"));
    };
    let LockHolder { pid, application, user, address, state, since, .. } = holder;
    let from = address.map(|address| format!(" from {address}")).unwrap_or_default();
    let what = format!(
        "nobody can append: the log's lock is held by PostgreSQL's process {pid} ({application}, \
         user {user}{from}, {state})"
    );
    let remedy = format!(
        "end what that session does, or the session: SELECT pg_terminate_backend({pid}). What waits to \
         be appended goes on by itself"
    );
    Ok(Finding::failure(CHECK, what, &remedy).since(Some(since)))
}

async fn partitions(database: &Database) -> anyhow::Result<Finding> {
    const CHECK: &str = "partitions";
    let ahead = database.log.partitions_ahead().await.context("the log")?;
    let what = format!("{ahead} of the log are made ahead");
    if ahead >= PARTITIONS_AHEAD_MIN {
        return Ok(Finding::good(CHECK, what));
    }
    let remedy = "start `hatch serve --roles command`, which makes them; where it runs, its log lines \
        say why it cannot. Appends stop when the last is full";
    Ok(Finding::warning(CHECK, what, remedy))
}

/// Whether this machine has the files that hold the oldest part of the log.
async fn archives(database: &Database) -> anyhow::Result<Finding> {
    const CHECK: &str = "archives";
    let look = async |client: &mut Connection| {
        Ok::<_, anyhow::Error>(ArchiveRecord::all(&**client).await?)
    };
    let records = database.pool.within(ANSWER_MAX, look).await?;
    let Some(last) = records.last().map(|record| record.last) else {
        return Ok(Finding::good(CHECK, "the whole log is in the database"));
    };
    let missing = move || records.iter().find_map(ArchiveRecord::missing_file);
    Ok(match tokio::task::spawn_blocking(missing).await? {
        None => Finding::good(CHECK, format!("positions up to {last} are in files that are here")),
        Some(file) => {
            let what = format!("{} is missing, which holds events", file.display());
            let remedy = "mount its folder, or bring it back from the backup; if it was moved, set \
                es.archives.folder (docs/operations.md). Rebuilds and old messages wait for it";
            Finding::failure(CHECK, what, remedy)
        }
    })
}
