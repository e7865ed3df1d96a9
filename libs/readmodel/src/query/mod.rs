//! The read side: every query names its tenant and reads the views.

mod attempts;
mod audit;
pub(crate) mod conditions;
mod moment;
pub(crate) mod page;
mod projections;
mod requests;
mod sender_memory;
mod tally;
mod webhook_log;

pub use attempts::AttemptDetails;
pub use audit::{AuditEntry, AuditFilter, AuditObject};
pub(crate) use moment::MESSAGES_MAX;
pub use moment::{Moment, MomentError};
pub use page::{LIMIT_DEFAULT, LIMIT_MAX, List, Page, PageError, WholeList};
pub use projections::{Halt, ProjectionState, ProjectionStatus};
pub use requests::{LoggedRequest, RequestFilter};
pub use tally::{TALLY_MAX, Tally};
pub(crate) use webhook_log::Key as TimeKey;
pub use webhook_log::{LoggedWebhook, WebhookContent, WebhookFilter, WebhookOutcome};

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use hatch_eventstore::{Connection, Connections, Unanswered};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use self::conditions::Conditions;
use self::page::{Filling, ListKind, SortKey};
use crate::{Error, PROJECTIONS, Projections};

/// How long a read may take.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(4);

/// Lists that are read at a time: a quarter of a process's connections to PostgreSQL. The others wait, the first one first:
/// all at once would all be late, and one whose time is over before its turn has cost nothing.
const LISTS_MAX: usize = 4;

/// Contents that are in memory at a time, on their way to clients: 25 MiB each at most.
const CONTENTS_MAX: usize = 8;

/// Bytes of a page after which others have a turn at the processor, and a read whose time is over ends.
const YIELD_BYTES: usize = 64 * 1024;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The page cannot be had: the client's mistake.
    #[error(transparent)]
    Page(#[from] PageError),
    /// There is no answer as of that moment: the client's mistake.
    #[error(transparent)]
    Moment(#[from] MomentError),
    /// The tables cannot be read.
    #[error(transparent)]
    Database(#[from] Error),
}

/// The read models' queries. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReadModel {
    pub(crate) connections: Connections,
    pub(crate) projections: Projections,
    lists: Arc<Semaphore>,
    pub(crate) contents: Arc<Semaphore>,
}

impl ReadModel {
    /// Queries over `connections`.
    #[must_use]
    pub fn new(connections: Connections) -> Self {
        Self::of(connections, PROJECTIONS)
    }

    /// Queries over `connections`, where `projections` are kept.
    #[must_use]
    pub fn of(connections: Connections, projections: Projections) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let (lists, contents) = (semaphore(LISTS_MAX), semaphore(CONTENTS_MAX));
        Self { connections, projections, lists, contents }
    }

    /// The projections that write what it reads.
    #[must_use]
    pub const fn definitions(&self) -> Projections {
        self.projections
    }

    /// A page of a list. It is planned each time for its values, since the best plan for a participant of three
    /// messages is a bad one for an address that is in all of them. Rows beyond the page are not kept.
    pub(crate) async fn list<K: SortKey, T: Serialize>(
        &self,
        kind: ListKind,
        limit: u32,
        sql: &str,
        conditions: &Conditions,
        read: impl Fn(&Row) -> Result<(K, T), Error>,
    ) -> Result<List<T>, Error> {
        // As long for the turn as for the answer.
        let turn = tokio::time::timeout(READ_TIMEOUT, self.lists.acquire()).await;
        let _turn = turn.map_err(|_| Unanswered::Silent(READ_TIMEOUT))?;
        self.ask(async |client| {
            let mut rows = pin!(client.query_typed_raw(sql, conditions.values()).await?);
            let mut page = Filling::new(kind, limit);
            while let Some(row) = rows.try_next().await? {
                let (key, row) = read(&row)?;
                let before = page.bytes() / YIELD_BYTES;
                if !page.add(key, row) {
                    break;
                }
                if page.bytes() / YIELD_BYTES > before {
                    tokio::task::yield_now().await;
                }
            }
            Ok(page.list())
        })
        .await
    }

    /// A look-up by key, for which one plan fits all values.
    pub(crate) async fn prepared(
        &self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.ask(async |client| {
            let statement = client.prepare_cached(sql).await?;
            Ok(client.query(&statement, values).await?)
        })
        .await
    }

    /// Asks PostgreSQL, with a limit, so that the client hears in time that it is away.
    pub(crate) async fn ask<T>(
        &self,
        read: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.connections.within(READ_TIMEOUT, read).await
    }
}
