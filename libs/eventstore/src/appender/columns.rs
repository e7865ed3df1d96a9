//! What the log keeps of events, column by column, in PostgreSQL's binary form.
//!
//! All but positions and versions is known before the log's lock is held, so it is encoded while PostgreSQL
//! waits for the lock and reads: what is done afterwards is done while every other appender waits.

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::{Append, NewEvent};

/// Columns of the log, for as many `rows`.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) rows: usize,
    pub(super) stream_ids: Encoded,
    pub(super) tenant_ids: Encoded,
    pub(super) event_ids: Encoded,
    pub(super) types: Encoded,
    pub(super) schema_versions: Encoded,
    pub(super) aggregates: Encoded,
    pub(super) conversation_ids: Encoded,
    pub(super) channels: Encoded,
    pub(super) priorities: Encoded,
    pub(super) metadata: Encoded,
    pub(super) payloads: Encoded,
}

/// The columns of all events of `batch`, once what was asked before is sent.
pub(super) async fn columns(batch: &[&Append]) -> Columns {
    // The connection sends what it was given before this goes on.
    tokio::task::yield_now().await;
    let writes = batch.iter().flat_map(|append| &append.writes);
    let events = writes.flat_map(|write| {
        write.events.iter().map(|event| (write.stream_id, write.tenant_id, event))
    });
    Columns::of(events.collect())
}

impl Columns {
    /// Of events with their streams and tenants.
    pub(super) fn of(events: Vec<(Uuid, Uuid, &NewEvent)>) -> Self {
        fn each<'e, T: ToSql>(
            events: &[(Uuid, Uuid, &'e NewEvent)],
            array: &Type,
            value: impl Fn(&'e NewEvent) -> T,
        ) -> Encoded {
            Encoded::new(array, events.iter().map(|(.., event)| value(event)).collect())
        }
        let ids = |of: fn(&(Uuid, Uuid, &NewEvent)) -> Uuid| {
            Encoded::new(&Type::UUID_ARRAY, events.iter().map(of).collect())
        };
        Self {
            rows: events.len(),
            stream_ids: ids(|(stream_id, ..)| *stream_id),
            tenant_ids: ids(|(_, tenant_id, _)| *tenant_id),
            event_ids: ids(|(.., event)| event.event_id),
            types: each(&events, &Type::TEXT_ARRAY, |event| event.event_type),
            schema_versions: each(&events, &Type::INT2_ARRAY, |event| event.schema_version),
            aggregates: each(&events, &Type::TEXT_ARRAY, |event| event.routing.aggregate),
            conversation_ids: each(&events, &Type::UUID_ARRAY, |event| {
                event.routing.conversation_id.map(|id| id.0)
            }),
            channels: each(&events, &Type::TEXT_ARRAY, |event| event.routing.channel),
            priorities: each(&events, &Type::TEXT_ARRAY, |event| event.routing.priority),
            metadata: each(&events, &Type::JSON_ARRAY, |event| Json(event.metadata.to_json())),
            payloads: each(&events, &Type::JSON_ARRAY, |event| Json(event.payload.as_str())),
        }
    }
}

/// An array as PostgreSQL takes it.
#[derive(Debug)]
pub(super) struct Encoded {
    array: Type,
    bytes: BytesMut,
}

impl Encoded {
    fn new<T: ToSql>(array: &Type, values: Vec<T>) -> Self {
        let mut bytes = BytesMut::new();
        let encoded = values.to_sql(array, &mut bytes);
        encoded.expect("ids, numbers and texts that a batch has room for can be encoded");
        Self { array: array.clone(), bytes }
    }
}

impl ToSql for Encoded {
    fn to_sql(
        &self,
        array: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        if *array != self.array {
            return Err(format!("an array of {} is no {array}", self.array).into());
        }
        out.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A JSON text of the type `json`, which PostgreSQL parses once; as `text` it would copy it before that.
#[derive(Debug)]
struct Json<T>(T);

impl<T: AsRef<str> + std::fmt::Debug> ToSql for Json<T> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_ref().as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::JSON
    }

    to_sql_checked!();
}
