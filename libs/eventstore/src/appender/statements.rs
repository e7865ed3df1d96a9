//! The statements of an append.

use tokio_postgres::{Client, Error, Statement};

use crate::epoch::{epoch_columns, epoch_tables};

const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";
/// The clock is read once, under the lock: all events of a batch were recorded at that time.
const HEAD: &str = concat!(
    "SELECT (SELECT coalesce(max(position), 0) FROM es.events), clock_timestamp(), ",
    epoch_columns!(),
    " FROM ",
    epoch_tables!()
);
const STREAMS: &str =
    "SELECT stream_id, tenant_id, kind, version FROM es.streams WHERE stream_id = ANY($1)";
const COMMANDS: &str = "SELECT command_key, request_hash, first_position, last_position \
     FROM es.commands WHERE command_key = ANY($1)";
/// The arrays are unnested one beside the other in the select list: in FROM, PostgreSQL would copy each
/// column of each row into a store of its own first, a seventh of the statement's time.
const INSERT_EVENTS: &str = "INSERT INTO es.events (position, stream_id, version, tenant_id, \
     event_id, type, schema_version, epoch, recorded_at, aggregate, conversation_id, channel, \
     priority, metadata, payload) \
     SELECT unnest($1::bigint[]), unnest($2::uuid[]), unnest($3::bigint[]), unnest($4::uuid[]), \
     unnest($5::uuid[]), unnest($6::text[]), unnest($7::smallint[]), $14::int, $15::timestamptz, \
     unnest($8::text[]), unnest($9::uuid[]), unnest($10::text[]), unnest($11::text[]), \
     unnest($12::json[]), unnest($13::json[])";
/// Under the lock it is known which streams there are. Telling them apart is cheaper than an INSERT
/// that looks for each whether it is there.
const INSERT_STREAMS: &str = "INSERT INTO es.streams (stream_id, tenant_id, kind, version) \
     SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::text[]), unnest($4::bigint[])";
const UPDATE_STREAMS: &str = "UPDATE es.streams AS s SET version = u.version \
     FROM (SELECT unnest($1::uuid[]) AS stream_id, unnest($2::bigint[]) AS version) AS u \
     WHERE s.stream_id = u.stream_id";
const INSERT_COMMANDS: &str = "INSERT INTO es.commands \
     (command_key, request_hash, first_position, last_position, at) \
     SELECT unnest($1::uuid[]), unnest($2::bytea[]), unnest($3::bigint[]), unnest($4::bigint[]), \
     $5::timestamptz";
const NOTIFY: &str = "SELECT pg_notify('hatch_head', $1)";
const EVENT_AT: &str = "SELECT event_id FROM es.events WHERE position = $1";
pub(super) const HAS_COMMAND: &str =
    "SELECT EXISTS (SELECT FROM es.commands WHERE command_key = $1)";
pub(super) const ENSURE_PARTITIONS: &str = "SELECT es.ensure_partitions($1)";

/// Statements that a session prepares when it opens, each by its text.
macro_rules! statements {
    ($($name:ident: $text:expr,)*) => {
        pub(super) struct Statements {
            $(pub(super) $name: Statement,)*
        }

        impl Statements {
            /// Prepares all of them in one flight.
            pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
                // In boxes: together they would make the appender's futures large.
                let ($($name,)*) = futures::try_join!($(Box::pin(client.prepare($text)),)*)?;
                Ok(Self { $($name,)* })
            }
        }
    };
}

statements! {
    lock: LOCK,
    head: HEAD,
    streams: STREAMS,
    commands: COMMANDS,
    insert_events: INSERT_EVENTS,
    insert_streams: INSERT_STREAMS,
    update_streams: UPDATE_STREAMS,
    insert_commands: INSERT_COMMANDS,
    notify: NOTIFY,
    event_at: EVENT_AT,
}
