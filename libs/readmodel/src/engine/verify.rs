//! Comparing a projection's tables with what the log says that they are.

use hatch_eventstore::{Connection, Connections, Position};
use tokio_postgres::{GenericClient, IsolationLevel};

use super::bulk::RebuildProgress;
use super::catalog::{self, Durability};
use super::definition::Definition;
use super::replica::{Live, Lock, Replay, Replica};
use super::session::WHOLE_MAX;
use super::tables::{SchemaSlot, Tables};
use crate::{Error, MaintenanceError};

/// Differences of a table that are shown, in each direction.
const SHOWN_MAX: i64 = 5;

/// Whole tables are read: the order of the disk is the best.
const SCAN: &str = "SET LOCAL enable_seqscan = on";

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationReport {
    /// The tables are those of the log up to here.
    pub position: Position,
    /// Every table, by name.
    pub tables: Vec<Comparison>,
}

/// One table, compared row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Its name.
    pub table: String,
    /// How many rows it has.
    pub rows: i64,
    /// Rows that the log does not lead to.
    pub surplus: RowSample,
    /// Rows that the log leads to and that are not there. A row that was changed is one of each.
    pub missing: RowSample,
}

/// Rows of which the first few are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowSample {
    /// How many there are.
    pub count: i64,
    /// The first few, as PostgreSQL writes rows.
    pub first: Vec<String>,
}

impl VerificationReport {
    /// Whether every row is as it is to be.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.tables.iter().all(|table| table.surplus.count == 0 && table.missing.count == 0)
    }
}

/// Replays the log into tables of its own and compares each row of `definition`'s tables with them, at one
/// position, beside a running projector. Tells `on_progress` how far it is.
///
/// `connections` are to be two at least, and the tables' owner's.
///
/// # Errors
/// [`MaintenanceError::Busy`], [`MaintenanceError::NotOwner`]; what [`Projection::advance`](super::Projection::advance) refuses,
/// the log or PostgreSQL.
pub async fn verify(
    connections: &Connections,
    definition: &'static Definition,
    mut on_progress: impl FnMut(RebuildProgress),
) -> Result<VerificationReport, MaintenanceError> {
    let mut replica =
        Replica::begin(connections, definition, SchemaSlot::Scratch, Durability::Unlogged).await?;
    let verified = replay_and_compare(&mut replica, &mut on_progress).await;
    replica.abandon().await;
    verified
}

async fn replay_and_compare(
    replica: &mut Replica,
    on_progress: &mut impl FnMut(RebuildProgress),
) -> Result<VerificationReport, MaintenanceError> {
    replica.catch_up(on_progress).await?;
    let scratch = replica.replay.tables;
    replica.ask(WHOLE_MAX, async |c| catalog::analyze(&**c, scratch).await).await?;
    replica.catch_up(on_progress).await?;
    on_progress(RebuildProgress::Comparing);
    let Replica { client, replay, .. } = replica;
    client.within(WHOLE_MAX, async |client| compare_all(client, replay).await).await
}

/// Compares at the position that one snapshot shows. The last events are applied in it, so that the
/// copy is at the same position exactly; that is undone with it.
async fn compare_all(
    client: &mut Connection,
    replay: &Replay,
) -> Result<VerificationReport, MaintenanceError> {
    let builder = client.build_transaction();
    let transaction = builder.isolation_level(IsolationLevel::RepeatableRead).start().await?;
    let position = Live::read(&*transaction, replay.definition, Lock::None).await?.position;
    replay.finish(&transaction, position).await?;
    transaction.batch_execute(SCAN).await?;
    let mut tables = Vec::new();
    for table in catalog::names(&*transaction, replay.tables.at(SchemaSlot::Live)).await? {
        tables.push(compare(&*transaction, replay.tables, table).await?);
    }
    transaction.rollback().await?;
    Ok(VerificationReport { position, tables })
}

async fn compare(
    client: &impl GenericClient,
    replayed: Tables,
    table: String,
) -> Result<Comparison, Error> {
    let live = replayed.at(SchemaSlot::Live);
    let count = format!("SELECT count(*) FROM {}.{table}", live.schema());
    let rows = client.query_one(&count, &[]).await?.try_get(0)?;
    let surplus = except(client, &table, live, replayed).await?;
    let missing = except(client, &table, replayed, live).await?;
    Ok(Comparison { table, rows, surplus, missing })
}

/// The rows of `these` that `those` do not have, or have fewer of. They are compared as text: JSON
/// has no equality of its own.
async fn except(
    client: &impl GenericClient,
    table: &str,
    these: Tables,
    those: Tables,
) -> Result<RowSample, Error> {
    let sql = format!(
        "SELECT count(*) OVER (), row
           FROM (SELECT t::text AS row FROM {these}.{table} t
                 EXCEPT ALL
                 SELECT t::text FROM {those}.{table} t) AS rows
          ORDER BY row
          LIMIT $1",
        these = these.schema(),
        those = those.schema()
    );
    let mut rows = RowSample::default();
    for row in client.query(&sql, &[&SHOWN_MAX]).await? {
        rows.count = row.try_get(0)?;
        rows.first.push(row.try_get(1)?);
    }
    Ok(rows)
}
