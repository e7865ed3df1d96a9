//! The read side: every query names its tenant and reads the views.

/// The first 100 addresses of a column. As many as a mail may have, in each row of a page, would take most of its time.
macro_rules! first_addresses {
    ($column:literal) => {
        concat!(
            "CASE WHEN json_array_length(",
            $column,
            ") > 100 THEN jsonb_path_query_array(",
            $column,
            "::jsonb, '$[0 to 99]')::json ELSE ",
            $column,
            " END"
        )
    };
}

mod conditions;
mod conversation;
mod message;
mod page;
mod past;
mod projections;
mod send_error;
mod tally;
mod webhook_log;

pub use conversation::{Conversation, ConversationFilter};
pub use message::{Message, MessageFilter, SentAs};
pub use page::{LIMIT_DEFAULT, LIMIT_MAX, List, Page, PageError};
pub use past::{Moment, MomentError};
pub use projections::{Halt, ProjectionState, ProjectionStatus};
pub use tally::{TALLY_MAX, Tally};
pub use webhook_log::{LoggedWebhook, WebhookContent, WebhookFilter, WebhookOutcome};

#[cfg(test)]
pub(crate) use {
    conversation::list_sql as conversation_list_sql, message::list_sql as message_list_sql,
};

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
use crate::Error;

/// How long a read may take.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(4);

/// Lists that are read at a time: a quarter of a process's connections to PostgreSQL. The others wait, the first one first:
/// all at once would all be late, and one whose time is over before its turn has cost nothing.
const LISTS_MAX: usize = 4;

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
    lists: Arc<Semaphore>,
}

impl ReadModel {
    /// Queries over `connections`.
    #[must_use]
    pub fn new(connections: Connections) -> Self {
        Self { connections, lists: Arc::new(Semaphore::new(LISTS_MAX)) }
    }

    /// A page of a list. It is planned each time for its values, since the best plan for a participant of three
    /// messages is a bad one for an address that is in all of them. Rows beyond the page are not kept.
    async fn list<K: SortKey, T: Serialize>(
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
