//! The appender's connection: the two flights of an append as SQL.
//!
//! Within a flight the statements are sent together and answered together. What PostgreSQL does
//! with them has traps:
//! - The lock is a statement of its own: under READ COMMITTED a statement's snapshot is taken before
//!   it waits, so one that locks *and* reads would read what was true before it waited.
//! - COMMIT of a transaction that failed succeeds and rolls back: a batch counts as committed only
//!   if each of its statements did as well, with the right number of rows.
//! - Dropping a future does not end what it asked for; a session that was left in the middle is
//!   thrown away.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::future::{FutureExt, join_all, try_join_all};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Statement};
use uuid::Uuid;

use super::columns::{Columns, columns};
use super::failure::{Failure, committing, is_taken, not_committed, written};
use super::plan::{LogState, Plan, StreamState};
use super::statements::{ENSURE_PARTITIONS, HAS_COMMAND, Statements};
use crate::epoch::{self, DatabasePlace, Identity};
use crate::locks::LOG_LOCK;
use crate::postgres::{self, Connected, Database};
use crate::rows::RecordedCommand;
use crate::{Append, Position, SideRow, SideTable};

/// How long a flight may take; the server's own limits come first.
const FLIGHT_TIMEOUT: Duration = Duration::from_secs(6);

/// Partitions made in advance, 10 million positions each.
const PARTITIONS_AHEAD: i32 = 3;

/// Between two tries to make them.
const PARTITIONS_PAUSE: Duration = Duration::from_secs(5);

/// Durable commits; plans that are made once and stay good while tables grow from nothing; and limits
/// that free the log's lock when this process stalls or vanishes.
const SETTINGS: &str = "SET synchronous_commit = on; SET jit = off; SET enable_seqscan = off; \
     SET enable_hashjoin = off; SET plan_cache_mode = force_generic_plan; \
     SET lock_timeout = '3s'; SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '1s'; SET client_connection_check_interval = '1s'";

/// A connection with everything prepared.
pub(super) struct AppendSession {
    connection: Connected,
    /// The server's.
    identity: Identity,
    statements: Statements,
    side_rows: HashMap<&'static str, Statement>,
    /// When making partitions in advance failed, if that is how the last try ended.
    partitions_failed: Option<Instant>,
}

/// A transaction that holds the log's lock, and what it read.
pub(super) struct Begun {
    pub(super) state: LogState,
    pub(super) epoch: i32,
    recorded_at: DateTime<Utc>,
    /// Whether streams that should not exist were looked for.
    check_existing: bool,
    /// Of every event of the batch.
    columns: Columns,
}

/// The last event that a process appended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remembered {
    pub(super) position: Position,
    pub(super) event_id: Uuid,
    pub(super) epoch: i32,
}

/// How to recognise a transaction whose COMMIT was not answered: by something that it wrote and no other
/// could. Its number is none: after a failover another transaction may have that.
pub(super) enum Trace {
    /// Its first event.
    Event(Position, Uuid),
    /// Its first key.
    Command(Uuid),
    /// A side row of each table, by its first column. One may have been deleted since.
    SideRows(Vec<(&'static SideTable, String)>),
}

impl AppendSession {
    /// Connects to the primary and prepares.
    pub(super) async fn open(postgres: &Database, place: &DatabasePlace) -> Result<Self, Failure> {
        within(postgres::CONNECT_TIMEOUT, Self::connect(postgres, place)).await
    }

    async fn connect(postgres: &Database, place: &DatabasePlace) -> Result<Self, Failure> {
        let mut postgres = postgres.clone();
        postgres
            .application_name("hatch-appender")
            .target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
        let connection = postgres::connect(&postgres).await.map_err(not_committed)?;
        connection.batch_execute(SETTINGS).await.map_err(not_committed)?;
        let identity = Identity::read(&*connection, place).await.map_err(not_committed)?;
        let statements = Statements::prepare(&connection).await.map_err(not_committed)?;
        let mut session = Self {
            connection,
            identity,
            statements,
            side_rows: HashMap::new(),
            partitions_failed: None,
        };
        session.ensure_partitions().await;
        Ok(session)
    }

    /// Closes the fence if the log lacks the event that this process appended last, in `epoch`.
    pub(super) async fn check_memory(&self, last: Remembered) -> Result<(), Failure> {
        within(FLIGHT_TIMEOUT, async {
            let Remembered { position, event_id, epoch } = last;
            let lacks = epoch::contradiction(&self.connection, "an appender", position, event_id);
            if let Some(detail) = lacks.await.map_err(not_committed)? {
                let report = epoch::report_regression(&self.connection, epoch, &detail);
                report.await.map_err(not_committed)?;
            }
            Ok(())
        })
        .await
    }

    /// Whether the connection still stands, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        !self.connection.is_closed()
    }

    /// Whether it is time to try again to make partitions.
    pub(super) fn lacks_partitions(&self) -> bool {
        self.partitions_failed.is_some_and(|failed| failed.elapsed() >= PARTITIONS_PAUSE)
    }

    /// Makes partitions ahead of the head. Failing is not urgent: there are some in advance.
    pub(super) async fn ensure_partitions(&mut self) {
        let made = within(FLIGHT_TIMEOUT, async {
            let made = self.connection.execute(ENSURE_PARTITIONS, &[&PARTITIONS_AHEAD]).await;
            made.map_err(not_committed)
        });
        let made = made.await;
        self.partitions_failed = made.is_err().then(Instant::now);
        if let Err(failure) = made {
            tracing::warn!(
                ?failure,
                retry_in = ?PARTITIONS_PAUSE,
                "partitions of the log not made in advance; appends stop when the last is full"
            );
        }
    }

    /// Prepares the statement that inserts side rows into `table`.
    pub(super) async fn prepare_side_rows(
        &mut self,
        table: &'static SideTable,
    ) -> Result<(), Failure> {
        let SideTable { name, columns } = table;
        if self.side_rows.contains_key(name) {
            return Ok(());
        }
        let list = |each: &dyn Fn(usize, &str, &str) -> String| {
            let columns = columns.iter().enumerate();
            let each: Vec<_> = columns.map(|(n, (name, kind))| each(n + 1, name, kind)).collect();
            each.join(", ")
        };
        let sql = format!(
            "INSERT INTO {name} ({}) SELECT {}",
            list(&|_, name, _| name.to_owned()),
            list(&|n, _, kind| format!("unnest(${n}::text[])::{kind}")),
        );
        let prepared = within(FLIGHT_TIMEOUT, async {
            self.connection.prepare(&sql).await.map_err(|error| match error.code() {
                Some(&SqlState::UNDEFINED_TABLE) => {
                    Failure::Refused(format!("table {name} does not exist"))
                }
                _ => not_committed(error),
            })
        });
        let statement = prepared.await?;
        self.side_rows.insert(name, statement);
        Ok(())
    }

    /// Flight 1: begins, takes the lock and reads what the batch touches; streams that are to begin only if
    /// `check_existing`.
    pub(super) async fn begin(
        &self,
        batch: &[&Append],
        check_existing: bool,
    ) -> Result<Begun, Failure> {
        let read = async { self.read(batch, check_existing).await.map_err(not_committed) };
        within(FLIGHT_TIMEOUT, read).await
    }

    async fn read(&self, batch: &[&Append], check_existing: bool) -> Result<Begun, Error> {
        let (client, prepared) = (&self.connection, &self.statements);
        let stream_ids = batch.iter().flat_map(|append| append.stream_ids(check_existing));
        let stream_ids: Vec<Uuid> = stream_ids.collect();
        let keys: Vec<Uuid> = batch.iter().filter_map(|append| append.key.map(|k| k.id)).collect();
        let by_stream: [&(dyn ToSql + Sync); 1] = [&stream_ids];
        let by_key: [&(dyn ToSql + Sync); 1] = [&keys];
        // Sent in this order; try_join! polls its futures in order.
        let (_, _, head, streams, commands, columns) = futures::try_join!(
            // Each statement sees what was committed when it began, whatever the database's default.
            client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED"),
            client.execute(&prepared.lock, &[&LOG_LOCK]),
            client.query_one(&prepared.head, &[]),
            try_join_all(
                (!stream_ids.is_empty()).then(|| client.query(&prepared.streams, &by_stream))
            ),
            try_join_all((!keys.is_empty()).then(|| client.query(&prepared.commands, &by_key))),
            columns(batch).map(Ok),
        )?;
        let (epoch, recorded, regression) = epoch::recorded(&head, 2)?;
        let fenced = epoch::closed(epoch, recorded, regression, &self.identity).is_some();
        let head_position = Position(head.try_get(0)?);
        let mut state = LogState { head: head_position, fenced, ..LogState::default() };
        for row in streams.iter().flatten() {
            let kind: &str = row.try_get(2)?;
            let mut asked = batch.iter().flat_map(|append| append.kinds());
            let kind = asked.find(|asked| *asked == kind).unwrap_or_default();
            let stream = StreamState { tenant_id: row.try_get(1)?, kind, version: row.try_get(3)? };
            state.streams.insert(row.try_get(0)?, stream);
        }
        for row in commands.iter().flatten() {
            state.commands.insert(row.try_get(0)?, RecordedCommand::read(row, 1)?);
        }
        Ok(Begun { state, epoch, recorded_at: head.try_get(1)?, check_existing, columns })
    }

    /// Ends the transaction that [`begin`](Self::begin) began, with nothing written.
    pub(super) async fn rollback(&self) -> Result<(), Failure> {
        within(FLIGHT_TIMEOUT, async {
            self.connection.batch_execute("ROLLBACK").await.map_err(not_committed)
        })
        .await
    }

    /// Flight 2: writes `plan` and commits.
    pub(super) async fn commit(&self, plan: &Plan<'_>, begun: &Begun) -> Result<(), Failure> {
        match tokio::time::timeout(FLIGHT_TIMEOUT, self.write(plan, begun)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::InDoubt("no answer in time".to_owned())),
        }
    }

    async fn write(&self, plan: &Plan<'_>, begun: &Begun) -> Result<(), Failure> {
        // Sent in this order, COMMIT last; join! polls its futures in order.
        let (events, began, streams, commands, side_rows, notified, committed) = futures::join!(
            self.insert_events(plan, begun),
            self.insert_streams(plan),
            self.update_streams(plan),
            self.insert_commands(plan, begun),
            self.insert_side_rows(plan),
            self.notify(plan),
            self.connection.batch_execute("COMMIT"),
        );
        let mut counted = true;
        for right in [events, began, streams, commands, side_rows, notified] {
            counted &= right.map_err(|error| match error.as_db_error() {
                Some(db) if !begun.check_existing && is_taken(db) => Failure::StreamExists,
                _ => written(error),
            })?;
        }
        committed.map_err(committing)?;
        if counted {
            Ok(())
        } else {
            Err(Failure::Miscounted("a statement wrote another number of rows".to_owned()))
        }
    }

    async fn insert_events(&self, plan: &Plan<'_>, begun: &Begun) -> Result<bool, Error> {
        let events = &plan.events;
        let positions: Vec<i64> = events.iter().map(|e| e.position.0).collect();
        let versions: Vec<i64> = events.iter().map(|e| e.version).collect();
        let some = (events.len() != begun.columns.rows).then(|| {
            Columns::of(events.iter().map(|e| (e.stream_id, e.tenant_id, e.event)).collect())
        });
        let columns = some.as_ref().unwrap_or(&begun.columns);
        let parameters: [&(dyn ToSql + Sync); 15] = [
            &positions,
            &columns.stream_ids,
            &versions,
            &columns.tenant_ids,
            &columns.event_ids,
            &columns.types,
            &columns.schema_versions,
            &columns.aggregates,
            &columns.conversation_ids,
            &columns.channels,
            &columns.priorities,
            &columns.metadata,
            &columns.payloads,
            &begun.epoch,
            &begun.recorded_at,
        ];
        self.execute(&self.statements.insert_events, &parameters, events.len()).await
    }

    async fn insert_streams(&self, plan: &Plan<'_>) -> Result<bool, Error> {
        let ids: Vec<Uuid> = plan.new_streams.iter().map(|(id, _)| *id).collect();
        let tenants: Vec<Uuid> = plan.new_streams.iter().map(|(_, s)| s.tenant_id).collect();
        let kinds: Vec<&str> = plan.new_streams.iter().map(|(_, s)| s.kind).collect();
        let versions: Vec<i64> = plan.new_streams.iter().map(|(_, s)| s.version).collect();
        let statement = &self.statements.insert_streams;
        self.execute(statement, &[&ids, &tenants, &kinds, &versions], ids.len()).await
    }

    async fn update_streams(&self, plan: &Plan<'_>) -> Result<bool, Error> {
        let ids: Vec<Uuid> = plan.streams.iter().map(|(id, _)| *id).collect();
        let versions: Vec<i64> = plan.streams.iter().map(|(_, s)| s.version).collect();
        self.execute(&self.statements.update_streams, &[&ids, &versions], ids.len()).await
    }

    async fn insert_commands(&self, plan: &Plan<'_>, begun: &Begun) -> Result<bool, Error> {
        let keys: Vec<Uuid> = plan.commands.iter().map(|(key, ..)| key.id).collect();
        let hashes: Vec<&[u8]> = plan.commands.iter().map(|(k, ..)| &k.request_hash[..]).collect();
        let first: Vec<i64> = plan.commands.iter().map(|(_, first, _)| first.0).collect();
        let last: Vec<i64> = plan.commands.iter().map(|(.., last)| last.0).collect();
        let parameters: [&(dyn ToSql + Sync); 5] =
            [&keys, &hashes, &first, &last, &begun.recorded_at];
        self.execute(&self.statements.insert_commands, &parameters, keys.len()).await
    }

    async fn insert_side_rows(&self, plan: &Plan<'_>) -> Result<bool, Error> {
        let inserted = plan.side_rows.iter().map(|(table, rows)| async move {
            let column = |n: usize| rows.iter().map(move |row| row.values[n].as_deref());
            let columns: Vec<Vec<Option<&str>>> =
                (0..rows[0].values.len()).map(|n| column(n).collect()).collect();
            let columns: Vec<&(dyn ToSql + Sync)> =
                columns.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
            self.execute(&self.side_rows[table], &columns, rows.len()).await
        });
        // Unlike try_join_all this keeps polling the others when one fails, so that all are sent.
        let inserted: Vec<_> = join_all(inserted).await;
        inserted.into_iter().try_fold(true, |all, right| Ok(all & right?))
    }

    /// Wakes the readers when this is committed. A hint: they look by themselves as well.
    async fn notify(&self, plan: &Plan<'_>) -> Result<bool, Error> {
        match plan.events.last() {
            Some(last) => {
                let head = last.position.to_string();
                self.execute(&self.statements.notify, &[&head], 1).await
            }
            None => Ok(true),
        }
    }

    /// Whether `statement` wrote the expected number of rows; with none to write nothing is sent.
    async fn execute(
        &self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
        rows: usize,
    ) -> Result<bool, Error> {
        if rows == 0 {
            return Ok(true);
        }
        let written = self.connection.execute(statement, parameters).await?;
        Ok(usize::try_from(written) == Ok(rows))
    }

    /// Whether the transaction that left `trace` was committed. Takes the log's lock first: it may
    /// still have been under way.
    pub(super) async fn landed(&self, trace: &Trace) -> Result<bool, Failure> {
        within(FLIGHT_TIMEOUT, async {
            let found = self.look_for(trace).await.map_err(not_committed)?;
            self.connection.batch_execute("ROLLBACK").await.map_err(not_committed)?;
            Ok(found)
        })
        .await
    }

    async fn look_for(&self, trace: &Trace) -> Result<bool, Error> {
        let client = &self.connection;
        client.batch_execute("BEGIN").await?;
        client.execute(&self.statements.lock, &[&LOG_LOCK]).await?;
        match trace {
            Trace::Event(position, event_id) => {
                let row = client.query_opt(&self.statements.event_at, &[&position.0]).await?;
                Ok(row.map(|row| row.try_get(0)).transpose()? == Some(*event_id))
            }
            Trace::Command(key) => client.query_one(HAS_COMMAND, &[key]).await?.try_get(0),
            Trace::SideRows(rows) => {
                for (SideTable { name, columns }, value) in rows {
                    let (column, kind) = columns[0];
                    let sql = format!(
                        "SELECT EXISTS (SELECT FROM {name} WHERE {column} = $1::text::{kind})"
                    );
                    if client.query_one(&sql, &[value]).await?.try_get(0)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

impl Trace {
    /// What `plan` will have left once it is committed.
    pub(super) fn of(plan: &Plan<'_>) -> Self {
        if let Some(first) = plan.events.first() {
            return Self::Event(first.position, first.event.event_id);
        }
        if let Some((key, ..)) = plan.commands.first() {
            return Self::Command(key.id);
        }
        let named = |rows: &Vec<&SideRow>| {
            let row = rows.first()?;
            Some((row.table, row.values.first()?.clone()?))
        };
        Self::SideRows(plan.side_rows.values().filter_map(named).collect())
    }
}

async fn within<T>(
    limit: Duration,
    flight: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, flight).await {
        Ok(result) => result,
        Err(_) => Err(Failure::NotCommitted("no answer in time".to_owned())),
    }
}
