//! The read side: every query names its tenant and reads the views.

mod conditions;
mod conversation;
mod message;
mod page;
mod past;
mod projections;
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
use std::time::Duration;

use futures::TryStreamExt as _;
use hatch_eventstore::{Connection, Connections};
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use self::conditions::Conditions;
use self::page::{Filling, ListKind, SortKey};
use crate::Error;

/// How long a read may take.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(4);

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
}

impl ReadModel {
    /// Queries over `connections`.
    #[must_use]
    pub const fn new(connections: Connections) -> Self {
        Self { connections }
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
        self.ask(async |client| {
            let mut rows = pin!(client.query_typed_raw(sql, conditions.values()).await?);
            let mut page = Filling::new(kind, limit);
            while let Some(row) = rows.try_next().await? {
                let (key, row) = read(&row)?;
                if !page.add(key, row) {
                    break;
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
