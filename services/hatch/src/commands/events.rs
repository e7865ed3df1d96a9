//! `hatch events`: the log, as one JSON object a line.

use std::time::Duration;

use anyhow::ensure;
use chrono::{DateTime, Utc};
use hatch_domain::ids::TenantId;
use hatch_eventstore::{Log, Metadata, Position, RecordedEvent};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::pool;
use crate::cli::Tail;
use crate::output::line;
use crate::settings::Settings;

/// Events of a page.
const PAGE_EVENTS: usize = 500;
/// Between two looks at the log's head.
const POLL: Duration = Duration::from_millis(200);

/// Prints the newest events, then what comes, until it is interrupted.
pub(crate) async fn tail(settings: &Settings, flags: &Tail) -> anyhow::Result<()> {
    let log = Log::new(pool(settings)?);
    let head = log.head().await?;
    let mut after = Position((head.0 - i64::from(flags.lines)).max(0));
    loop {
        let page = log.read_page(after, PAGE_EVENTS).await?;
        for event in &page {
            print(event)?;
            after = event.position;
        }
        if page.is_empty() {
            if flags.no_follow {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Prints one stream.
pub(crate) async fn show(settings: &Settings, stream: Uuid) -> anyhow::Result<()> {
    let events = Log::new(pool(settings)?).read_stream(TenantId::DEFAULT.0, stream).await?;
    ensure!(!events.is_empty(), "there is no stream {stream}");
    for event in &events {
        print(event)?;
    }
    Ok(())
}

/// An event as it is printed.
#[derive(Serialize)]
struct Line<'a> {
    position: Position,
    #[serde(rename = "type")]
    event_type: &'a str,
    schema_version: i16,
    stream: Uuid,
    version: i64,
    recorded_at: DateTime<Utc>,
    data: &'a RawValue,
    metadata: &'a Metadata,
}

fn print(event: &RecordedEvent) -> anyhow::Result<()> {
    let printed = serde_json::to_string(&Line {
        position: event.position,
        event_type: &event.event_type,
        schema_version: event.schema_version,
        stream: event.stream_id,
        version: event.version,
        recorded_at: event.recorded_at,
        data: &event.payload,
        metadata: &event.metadata,
    });
    line(printed?).map_err(Into::into)
}
