//! A recorded event as a structured CloudEvents 1.0 JSON: attribute for attribute what travels the
//! bus.

use chrono::{DateTime, Utc};
use hatch_eventstore::{Position, RecordedEvent};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// Data over this size is left out of a stream, as it is on the bus, and named by `dataref`.
const DATA_BYTES_MAX: usize = 256 * 1024;

/// The CloudEvent. `position` and `streamversion` are JSON numbers although CloudEvents' own Integer
/// ends at 2^31, because readers compare them.
#[derive(Serialize)]
pub(super) struct CloudEvent<'a> {
    specversion: &'static str,
    id: Uuid,
    source: String,
    r#type: String,
    subject: Uuid,
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    time: DateTime<Utc>,
    datacontenttype: &'static str,
    position: Position,
    streamversion: i64,
    tenantid: Uuid,
    epoch: i32,
    aggregate: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversationid: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<&'a str>,
    correlationid: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<Uuid>,
    actor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataref: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

impl<'a> CloudEvent<'a> {
    /// As streams carry it: without data that is too large to travel.
    pub(super) fn travelling(event: &'a RecordedEvent) -> Self {
        let whole = Self::whole(event);
        if event.payload.get().len() <= DATA_BYTES_MAX {
            return whole;
        }
        Self { data: None, dataref: Some(format!("/api/v1/events/{}", event.position)), ..whole }
    }

    /// With its data, whatever its size.
    pub(super) fn whole(event: &'a RecordedEvent) -> Self {
        Self {
            specversion: "1.0",
            id: event.event_id,
            source: format!("/hatch/{}", event.tenant_id),
            r#type: format!("hatch.{}.v{}", event.event_type, event.schema_version),
            subject: event.stream_id,
            time: event.recorded_at,
            datacontenttype: "application/json",
            position: event.position,
            streamversion: event.version,
            tenantid: event.tenant_id,
            epoch: event.epoch,
            aggregate: &event.aggregate,
            conversationid: event.conversation_id,
            channel: event.channel.as_deref(),
            priority: event.priority.as_deref(),
            correlationid: event.metadata.correlation_id,
            causationid: event.metadata.causation_id,
            actor: &event.metadata.actor,
            traceparent: event.metadata.traceparent.as_deref(),
            dataref: None,
            data: Some(&event.payload),
        }
    }

    /// Its JSON text.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and JSON text always serialise")
    }
}
