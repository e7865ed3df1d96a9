//! Fills the log as appends would leave it, only faster.

use std::fmt::Write as _;

use anyhow::Context as _;
use bytes::Bytes;
use futures::SinkExt as _;
use hatch_eventstore::testing::TestDatabase;
use hatch_eventstore::{Position, RecordedEvent};
use tokio_postgres::Client;

use crate::shared::{LIFE_EVENTS, TENANT, page};

/// Messages that go through their steps side by side.
const ROUND_MESSAGES: u32 = 1_000;
const ROUND_EVENTS: i64 = ROUND_MESSAGES as i64 * LIFE_EVENTS as i64;

const COPY: &str = "COPY es.events (position, stream_id, version, tenant_id, event_id, type, \
     schema_version, epoch, recorded_at, aggregate, conversation_id, channel, priority, metadata, \
     payload) FROM STDIN";
const STREAMS: &str = "INSERT INTO es.streams (stream_id, tenant_id, version) \
     SELECT stream_id, tenant_id, max(version) FROM es.events \
     WHERE position > $1 GROUP BY stream_id, tenant_id ON CONFLICT (stream_id) DO NOTHING";
/// Every message was asked for with a key, and those are in no order.
const COMMANDS: &str = "INSERT INTO es.commands \
     (command_key, request_hash, first_position, last_position, at) \
     SELECT gen_random_uuid(), sha256(stream_id::text::bytea), position, position, recorded_at \
     FROM es.events WHERE position > $1 AND version = 1";

/// Fills the log up to about `events`, in whole rounds; returns its head.
pub(crate) async fn fill(database: &TestDatabase, events: i64) -> anyhow::Result<i64> {
    let client = database.connect().await;
    let head: i64 = client
        .query_one("SELECT coalesce(max(position), 0) FROM es.events", &[])
        .await?
        .try_get(0)?;
    let mut last = Position(head);
    while last.0 + ROUND_EVENTS <= events {
        client.execute("SELECT es.ensure_partitions(3)", &[]).await?;
        last = copy(&client, last, events).await?;
    }
    client.execute(STREAMS, &[&head]).await.context("the streams' versions")?;
    client.execute(COMMANDS, &[&head]).await.context("the clients' keys")?;
    Ok(last.0)
}

/// One COPY, of a quarter of a partition at most.
async fn copy(client: &Client, after: Position, events: i64) -> anyhow::Result<Position> {
    let sink = client.copy_in(COPY).await?;
    let mut sink = std::pin::pin!(sink);
    let (mut last, mut text) = (after, String::new());
    while last.0 + ROUND_EVENTS <= events.min(after.0 + 2_500_000) {
        // Numbers of messages, which decide on text and conversation.
        let first = u32::try_from(last.0 / LIFE_EVENTS as i64)?;
        for event in page(last, first, ROUND_MESSAGES) {
            line(&mut text, &event)?;
            last = event.position;
        }
        sink.send(Bytes::from(std::mem::take(&mut text))).await?;
    }
    sink.finish().await?;
    Ok(last)
}

/// An event in COPY's text format. None of its texts has anything but a backslash to escape.
fn line(text: &mut String, event: &RecordedEvent) -> anyhow::Result<()> {
    let or_null = |value: Option<String>| value.unwrap_or_else(|| "\\N".to_owned());
    writeln!(
        text,
        "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
        event.position.0,
        event.stream_id,
        event.version,
        TENANT.0,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.epoch,
        event.recorded_at.to_rfc3339(),
        event.aggregate,
        or_null(event.conversation_id.map(|id| id.to_string())),
        or_null(event.channel.clone()),
        or_null(event.priority.clone()),
        serde_json::to_string(&event.metadata)?.replace('\\', "\\\\"),
        event.payload.get().replace('\\', "\\\\"),
    )?;
    Ok(())
}

/// Leaves nothing for PostgreSQL to catch up with while something is measured.
pub(crate) async fn settle(database: &TestDatabase) -> anyhow::Result<()> {
    let client = database.connect().await;
    client.batch_execute("VACUUM ANALYZE").await?;
    client.batch_execute("CHECKPOINT").await?;
    Ok(())
}
