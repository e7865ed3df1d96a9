//! The envelope's JSON, attribute by attribute.

use std::borrow::Cow;

use utoipa::ToSchema;

use super::{DateTime, Deserialize, Envelope, EnvelopeError, RawValue, Serialize, Utc, Uuid};

/// An event as every reader gets it: a structured CloudEvents 1.0 JSON.
// In the order in which they are written.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = CloudEvent)]
pub struct CloudEvent<'a> {
    /// The version of CloudEvents: `1.0`.
    #[schema(value_type = String)]
    specversion: Cow<'a, str>,
    /// The event's id, unique for ever.
    id: Uuid,
    /// Whose it is: `/hatch/` and the id of the tenant.
    #[schema(value_type = String)]
    source: Cow<'a, str>,
    /// What happened and in which version its data is written: `hatch.<EventType>.v<N>`.
    #[schema(value_type = String)]
    r#type: Cow<'a, str>,
    /// The stream that it belongs to, such as the id of the message.
    subject: Uuid,
    /// When it was recorded, with six digits of a second, in UTC.
    #[serde(serialize_with = "crate::time::serialize")]
    time: DateTime<Utc>,
    /// `application/json`.
    #[schema(value_type = String)]
    datacontenttype: Cow<'a, str>,
    /// Its place in the log, from 1 and without a gap. Order events by it.
    position: i64,
    /// Its place in its stream, from 1 and without a gap.
    streamversion: i64,
    /// Whose it is.
    tenantid: Uuid,
    /// The epoch of the log that it was written in, from 1; another begins when a database was restored.
    epoch: i32,
    /// The kind of stream, such as `message`.
    #[schema(value_type = String)]
    aggregate: Cow<'a, str>,
    /// The conversation that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conversationid: Option<Uuid>,
    /// The channel, such as `sms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    channel: Option<Cow<'a, str>>,
    /// The priority, such as `normal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    priority: Option<Cow<'a, str>>,
    /// The same for all that one first cause set off.
    correlationid: Uuid,
    /// The id of the event that caused this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causationid: Option<Uuid>,
    /// Who did it, such as `api`, `dispatcher` or `webhook:twilio`.
    #[schema(value_type = String)]
    actor: Cow<'a, str>,
    /// The W3C Trace Context of the request that did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    traceparent: Option<Cow<'a, str>>,
    /// There in place of `data` where that has over 256 KiB and the event travels, by the live feed or on NATS:
    /// the path by which hatch answers the event with its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    dataref: Option<Cow<'a, str>>,
    /// What happened, in the shape of `type`.
    // A JSON null is data too; only a missing key is none.
    #[serde(
        borrow,
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<Object>)]
    data: Option<&'a RawValue>,
}

fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(
    d: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

impl<'a> CloudEvent<'a> {
    /// The one form of an event; data over `data_bytes_max` is referred to.
    pub(super) fn of(envelope: &'a Envelope, data_bytes_max: usize) -> Self {
        let data = envelope.data.as_deref().filter(|data| data.get().len() <= data_bytes_max);
        Self {
            specversion: "1.0".into(),
            id: envelope.event_id,
            source: format!("/hatch/{}", envelope.tenant_id).into(),
            r#type: format!("hatch.{}.v{}", envelope.event_type, envelope.schema_version).into(),
            subject: envelope.stream_id,
            time: envelope.recorded_at,
            datacontenttype: "application/json".into(),
            position: envelope.position,
            streamversion: envelope.stream_version,
            tenantid: envelope.tenant_id,
            epoch: envelope.epoch,
            aggregate: (&*envelope.aggregate).into(),
            conversationid: envelope.conversation_id,
            channel: envelope.channel.as_deref().map(Into::into),
            priority: envelope.priority.as_deref().map(Into::into),
            correlationid: envelope.correlation_id,
            causationid: envelope.causation_id,
            actor: (&*envelope.actor).into(),
            traceparent: envelope.traceparent.as_deref().map(Into::into),
            dataref: data.is_none().then(|| format!("/api/v1/events/{}", envelope.position).into()),
            data,
        }
    }

    /// Its JSON text.
    ///
    /// # Panics
    /// Never: strings, numbers and JSON text always serialise.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and JSON text always serialise")
    }
}

impl TryFrom<CloudEvent<'_>> for Envelope {
    type Error = EnvelopeError;

    fn try_from(wire: CloudEvent<'_>) -> Result<Self, Self::Error> {
        if wire.data.is_none() && wire.dataref.is_none() {
            return Err(EnvelopeError::NoData);
        }
        let named = wire.r#type.strip_prefix("hatch.").and_then(|rest| rest.rsplit_once(".v"));
        let typed = named.and_then(|(name, version)| Some((name, version.parse().ok()?)));
        let (event_type, schema_version) =
            typed.ok_or_else(|| EnvelopeError::Type(wire.r#type.clone().into_owned()))?;
        Ok(Self {
            position: wire.position,
            event_id: wire.id,
            tenant_id: wire.tenantid,
            event_type: event_type.to_owned(),
            schema_version,
            stream_id: wire.subject,
            stream_version: wire.streamversion,
            epoch: wire.epoch,
            recorded_at: wire.time,
            aggregate: wire.aggregate.into_owned(),
            conversation_id: wire.conversationid,
            channel: wire.channel.map(Cow::into_owned),
            priority: wire.priority.map(Cow::into_owned),
            correlation_id: wire.correlationid,
            causation_id: wire.causationid,
            actor: wire.actor.into_owned(),
            traceparent: wire.traceparent.map(Cow::into_owned),
            data: wire.data.map(ToOwned::to_owned),
        })
    }
}
