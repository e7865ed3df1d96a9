//! The envelope's JSON, attribute by attribute.

use std::borrow::Cow;

use chrono::SecondsFormat;

use super::{DATA_BYTES_MAX, DateTime, DecodeError, Deserialize, Envelope, RawValue, Serialize};
use super::{Utc, Uuid};

/// CloudEvents attributes in the order in which they are written.
#[derive(Serialize, Deserialize)]
pub(super) struct Wire<'a> {
    specversion: Cow<'a, str>,
    id: Uuid,
    source: Cow<'a, str>,
    r#type: Cow<'a, str>,
    subject: Uuid,
    #[serde(serialize_with = "in_microseconds")]
    time: DateTime<Utc>,
    datacontenttype: Cow<'a, str>,
    position: i64,
    streamversion: i64,
    tenantid: Uuid,
    epoch: i32,
    aggregate: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conversationid: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    channel: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<Cow<'a, str>>,
    correlationid: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causationid: Option<Uuid>,
    actor: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dataref: Option<Cow<'a, str>>,
    // A JSON null is data too; only a missing key is none.
    #[serde(
        borrow,
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    data: Option<&'a RawValue>,
}

/// Always with six digits of a second.
fn in_microseconds<S: serde::Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(
    d: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

impl<'a> From<&'a Envelope> for Wire<'a> {
    fn from(envelope: &'a Envelope) -> Self {
        let data = envelope.data.as_deref().filter(|data| data.get().len() <= DATA_BYTES_MAX);
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
}

impl TryFrom<Wire<'_>> for Envelope {
    type Error = DecodeError;

    fn try_from(wire: Wire<'_>) -> Result<Self, Self::Error> {
        if wire.data.is_none() && wire.dataref.is_none() {
            return Err(DecodeError::NoData);
        }
        let named = wire.r#type.strip_prefix("hatch.").and_then(|rest| rest.rsplit_once(".v"));
        let typed = named.and_then(|(name, version)| Some((name, version.parse().ok()?)));
        let (event_type, schema_version) =
            typed.ok_or_else(|| DecodeError::Type(wire.r#type.clone().into_owned()))?;
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
