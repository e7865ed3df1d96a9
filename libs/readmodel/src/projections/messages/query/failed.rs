//! The messages that failed, by what went wrong with them. However few of very many a filter lets through, PostgreSQL
//! answers in time: some thousands of those that failed are looked at by one statement.

use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::message::status::Status;
use hatch_eventstore::Position;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::message::Message;
use super::messages::{LIST, MessageFilter, conditions, joins, keyed_message};
use crate::query::conditions::Conditions;
use crate::query::page::{List, ListKind, Page, encode};
use crate::{Error, QueryError, ReadModel};

/// Messages that failed of which a page of a list is looked for.
const LOOKED_AT: i64 = 5_000;

const OLDEST_OF_SOME: &str = "
    SELECT min(created_position)
      FROM (SELECT created_position FROM rm.message_statuses
             WHERE tenant_id = $1 AND status = $2 AND created_position < $3
             ORDER BY created_position DESC LIMIT $4) AS looked_at";

/// Wherever messages began.
const ALL: (Position, Position) = (Position::START, Position(i64::MAX));

impl ReadModel {
    /// The messages of `tenant` that failed and that `filter`, which asks for no other status, lets through, the newest
    /// first. Where hardly any of very many are such, a page has fewer rows than it may have, or none, and goes on.
    ///
    /// # Errors
    /// As [`messages`](Self::messages).
    pub async fn failed_messages(
        &self,
        tenant: TenantId,
        filter: &MessageFilter,
        page: &Page,
    ) -> Result<List<Message>, QueryError> {
        if !filter.is_of_error() {
            return self.messages(tenant, filter, page).await;
        }
        let (kind, before) = (ListKind::Messages, page.before(ListKind::Messages)?);
        let from = self.oldest_of_some(tenant, Status::Failed, before, LOOKED_AT).await?;
        let Some(from) = from else { return Ok(List { data: Vec::new(), next_cursor: None }) };
        let (sql, conditions) = list_sql(tenant, filter, (from, before), page.limit());
        let mut list = self.list(kind, page.limit(), &sql, &conditions, keyed_message).await?;
        if list.next_cursor.is_none() {
            let older = self.oldest_of_some(tenant, Status::Failed, from, 1).await?;
            list.next_cursor = older.map(|_| encode(kind, &from));
        }
        Ok(list)
    }

    /// Of the messages of `tenant` with that status, the newest `count` that began before `before`: where the oldest of
    /// them began; none where there are none.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn oldest_of_some(
        &self,
        tenant: TenantId,
        status: Status,
        before: Position,
        count: i64,
    ) -> Result<Option<Position>, QueryError> {
        let values: [&(dyn ToSql + Sync); 4] = [&tenant.0, &status.as_str(), &before.0, &count];
        let rows = self.prepared(OLDEST_OF_SOME, &values).await?;
        let oldest = rows.first().map(|row| row.try_get::<_, Option<i64>>(0));
        Ok(oldest.transpose().map_err(Error::from)?.flatten().map(Position))
    }

    /// Those of `tenant` that `filter` lets through and that began at `from` or later and before `before`, the newest
    /// first: where each began, and its id.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn message_ids(
        &self,
        tenant: TenantId,
        filter: &MessageFilter,
        between: (Position, Position),
        limit: u32,
    ) -> Result<Vec<(Position, MessageId)>, QueryError> {
        let (sql, conditions) = ids_sql(tenant, filter, between, limit);
        let rows = self
            .ask(async |client| Ok(client.query_typed(&sql, &conditions.values()).await?))
            .await?;
        let read = |row: &Row| {
            Ok::<_, Error>((
                Position(row.try_get("created_position")?),
                MessageId(row.try_get("id")?),
            ))
        };
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// How many of `tenant` `filter` lets through; none where these are more than `most`.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn count_messages(
        &self,
        tenant: TenantId,
        filter: &MessageFilter,
        most: u32,
    ) -> Result<Option<i64>, QueryError> {
        let (sql, conditions) = ids_sql(tenant, filter, ALL, most + 1);
        let sql = format!("SELECT count(*) FROM ({sql}) AS counted");
        let count: i64 = self
            .ask(async |client| {
                let rows = client.query_typed(&sql, &conditions.values()).await?;
                Ok(rows.first().map_or(Ok(0), |row| row.try_get(0))?)
            })
            .await?;
        Ok((count <= i64::from(most)).then_some(count))
    }
}

/// The statement of the list of those that began at `from` or later, which each table names, too.
fn list_sql(
    tenant: TenantId,
    filter: &MessageFilter,
    between: (Position, Position),
    limit: u32,
) -> (String, Conditions) {
    let columns = format!("{LIST}, m.created_position AS place");
    sql(&columns, tenant, filter, between, limit + 1)
}

/// The ids alone, and where each message began.
fn ids_sql(
    tenant: TenantId,
    filter: &MessageFilter,
    between: (Position, Position),
    limit: u32,
) -> (String, Conditions) {
    sql("SELECT m.id, m.created_position", tenant, filter, between, limit)
}

fn sql(
    columns: &str,
    tenant: TenantId,
    filter: &MessageFilter,
    (from, before): (Position, Position),
    limit: u32,
) -> (String, Conditions) {
    let conditions = conditions(tenant, filter, before, "m.created_position", "m").and(
        "m.created_position >= ",
        "",
        from.0,
        Type::INT8,
    );
    let within = |of: &str| format!("{of} < $2 AND {of} >= {}", from.0);
    let sql = format!(
        "{columns} FROM rm.messages m
         {}{}ORDER BY m.created_position DESC LIMIT {limit}",
        joins(filter, &within("p.created_position"), &within("s.created_position")),
        conditions.sql()
    );
    (sql, conditions)
}
