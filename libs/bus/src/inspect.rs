//! A report on the current stream, for operators.

use async_nats::jetstream::consumer::Info as ConsumerInfo;
use async_nats::jetstream::stream::{Config, RawMessageErrorKind, Stream};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;

use crate::stream::{signed, unsigned};
use crate::{Bus, Error};

/// The current generation's stream, as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReport {
    /// Its generation, from 1.
    pub generation: i32,
    /// Its name.
    pub name: String,
    /// Its last sequence: the last position on the bus.
    pub last_sequence: i64,
    /// Bytes that it uses on the disk.
    pub bytes: i64,
    /// Bytes that it may use at most; at this limit the oldest events are deleted.
    pub bytes_max: i64,
    /// When the oldest event that it holds was stored.
    pub oldest: Option<DateTime<Utc>>,
    /// When the newest was.
    pub newest: Option<DateTime<Utc>>,
    /// Each part of its configuration that differs from what this build and these settings would make.
    pub differences: Vec<Difference>,
    /// Its work queues, by name.
    pub queues: Vec<QueueReport>,
}

/// A part of a stream's configuration that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// JetStream's name for it.
    pub what: &'static str,
    /// As it should be.
    pub expected: String,
    /// As it is.
    pub found: String,
    /// Whether hatch relies on it. What is not essential says how much is kept, and how often.
    pub essential: bool,
}

/// A work queue, as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueReport {
    /// Its name.
    pub name: String,
    /// How many events were not handed out yet.
    pub waiting: i64,
    /// How many were handed out and not acknowledged.
    pub unacknowledged: i64,
    /// How many of these there may be before no more are handed out.
    pub unacknowledged_max: i64,
    /// When the oldest of all these was stored.
    pub oldest: Option<DateTime<Utc>>,
}

impl Bus {
    /// Looks at the current generation; none where there is no stream.
    ///
    /// # Errors
    /// When NATS cannot be asked, or a foreign stream takes the subjects.
    pub async fn inspect(&self) -> Result<Option<StreamReport>, Error> {
        let Some((generation, name)) = self.current_stream().await? else { return Ok(None) };
        let stream = self.api()?.get_stream(&name).await;
        let stream = stream.map_err(Error::request("read the event stream's state"))?;
        let info = stream.cached_info();
        let (config, state) = (&info.config, &info.state);
        let first_position = signed(config.first_sequence.unwrap_or(1));
        let mut consumers: Vec<ConsumerInfo> = stream
            .consumers()
            .try_collect()
            .await
            .map_err(Error::request("list the consumers of the event stream"))?;
        consumers.retain(|consumer| consumer.config.durable_name.is_some());
        consumers.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut queues = Vec::with_capacity(consumers.len());
        for consumer in consumers {
            queues.push(queue(&stream, consumer).await?);
        }
        Ok(Some(StreamReport {
            generation,
            last_sequence: signed(state.last_sequence),
            bytes: signed(state.bytes),
            bytes_max: config.max_bytes,
            oldest: (state.messages > 0).then(|| time(state.first_timestamp)).flatten(),
            newest: (state.messages > 0).then(|| time(state.last_timestamp)).flatten(),
            differences: differences(&self.config(generation, first_position), config),
            queues,
            name,
        }))
    }
}

impl Bus {
    /// Whether what hatch relies on of the stream's configuration is as it was made.
    pub(crate) fn is_as_made(&self, generation: i32, first_position: i64, found: &Config) -> bool {
        let differences = differences(&self.config(generation, first_position), found);
        !differences.iter().any(|difference| difference.essential)
    }
}

fn differences(expected: &Config, found: &Config) -> Vec<Difference> {
    let essential = [
        ("subjects", format!("{:?}", expected.subjects), format!("{:?}", found.subjects)),
        ("retention", format!("{:?}", expected.retention), format!("{:?}", found.retention)),
        ("discard", format!("{:?}", expected.discard), format!("{:?}", found.discard)),
        ("storage", format!("{:?}", expected.storage), format!("{:?}", found.storage)),
        ("max_msgs", limit(expected.max_messages), limit(found.max_messages)),
        (
            "max_msgs_per_subject",
            limit(expected.max_messages_per_subject),
            limit(found.max_messages_per_subject),
        ),
        (
            "max_msg_size",
            limit(expected.max_message_size.into()),
            limit(found.max_message_size.into()),
        ),
        ("allow_direct", expected.allow_direct.to_string(), found.allow_direct.to_string()),
        ("sealed", expected.sealed.to_string(), found.sealed.to_string()),
    ];
    let sizes = [
        ("max_bytes", expected.max_bytes.to_string(), found.max_bytes.to_string()),
        ("max_age", format!("{:?}", expected.max_age), format!("{:?}", found.max_age)),
        ("num_replicas", expected.num_replicas.to_string(), found.num_replicas.to_string()),
        ("deny_delete", expected.deny_delete.to_string(), found.deny_delete.to_string()),
    ];
    let all = essential.map(|one| (one, true)).into_iter().chain(sizes.map(|one| (one, false)));
    all.filter(|((_, expected, found), _)| expected != found)
        .map(|((what, expected, found), essential)| Difference { what, expected, found, essential })
        .collect()
}

/// The server says -1 of what was left out.
fn limit(messages: i64) -> String {
    if messages > 0 { messages.to_string() } else { "without a limit".to_owned() }
}

async fn queue(stream: &Stream, consumer: ConsumerInfo) -> Result<QueueReport, Error> {
    let (waiting, unacknowledged) =
        (signed(consumer.num_pending), i64::try_from(consumer.num_ack_pending).unwrap_or(i64::MAX));
    let oldest = if waiting + unacknowledged > 0 {
        let after = signed(consumer.ack_floor.stream_sequence);
        stored_at(stream, &consumer.config.filter_subject, unsigned(after + 1)).await?
    } else {
        None
    };
    Ok(QueueReport {
        name: consumer.name,
        waiting,
        unacknowledged,
        unacknowledged_max: consumer.config.max_ack_pending,
        oldest,
    })
}

/// When the first event of `subject` from `sequence` on was stored.
async fn stored_at(
    stream: &Stream,
    subject: &str,
    sequence: u64,
) -> Result<Option<DateTime<Utc>>, Error> {
    match stream.get_first_raw_message_by_subject(subject, sequence).await {
        Ok(message) => Ok(time(message.time)),
        // It aged out meanwhile.
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(Error::request("read an event of the stream")(error)),
    }
}

fn time(at: async_nats::datetime::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(at.unix_timestamp(), at.nanosecond())
}
