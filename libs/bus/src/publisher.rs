//! Writing a generation: in log order, many at a time, and never out of place.

use std::future::IntoFuture;

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;

use crate::bus::WINDOW_MAX;
use crate::mac::{EVENT_ID, MAC, POSITION, TRACEPARENT};
use crate::stream::{signed, unsigned};
use crate::subject::{self, Tokens};
use crate::{Bus, Envelope, Error, Key};

/// Writes events to one generation, from one position on.
///
/// Each event names the sequence before its own, so the server refuses whatever is not next: the
/// rest of the window after a lost event, and a publisher that another has overtaken. Each is
/// acknowledged for itself: a foreign message in the place of one satisfies those after it, which are
/// stored as if nothing had happened. After an error the publisher is of no use; the caller resumes
/// with a new one after the stream's last sequence.
pub struct Publisher {
    bus: Bus,
    generation: i32,
    stream: String,
    key: Option<Key>,
    sent: i64,
    acknowledged: i64,
    window: FuturesOrdered<BoxFuture<'static, Result<PublishAck, PublishError>>>,
}

impl Bus {
    /// A publisher for `generation` whose first event is the one after position `after`.
    #[must_use]
    pub fn publisher(&self, generation: i32, after: i64) -> Publisher {
        Publisher {
            bus: self.clone(),
            generation,
            stream: self.stream_name(generation),
            key: self.likely_key_of(generation),
            sent: after,
            acknowledged: after,
            window: FuturesOrdered::new(),
        }
    }
}

impl Publisher {
    /// Sends the next event, and waits only while the window is full.
    ///
    /// # Errors
    /// When an event of the window was not stored. The whole window is dropped. [`Error::NotOnRecord`]
    /// without a key to sign by.
    ///
    /// # Panics
    /// When the event is not the next one: the caller read the log wrongly.
    pub async fn publish(&mut self, envelope: &Envelope) -> Result<(), Error> {
        assert_eq!(envelope.position, self.sent + 1, "events are published in log order");
        while self.window.len() >= WINDOW_MAX {
            self.acknowledge().await?;
        }
        let Some(key) = &self.key else {
            let error = Error::NotOnRecord(self.generation);
            return Err(self.drop_window(error).await);
        };
        let prefix = &self.bus.settings().prefix;
        let subject = subject::of_event(prefix, envelope.tenant_id, &Tokens::of(envelope));
        let (payload, mut headers) =
            (Bytes::from(envelope.travelling().to_json()), headers(envelope));
        let mac = key.sign(&self.stream, &subject, &headers, &payload);
        headers.insert(MAC, mac);
        let message = PublishMessage::build()
            .headers(headers)
            .payload(payload)
            .expected_stream(&self.stream)
            .expected_last_sequence(unsigned(self.sent));
        let sent = match self.bus.publishing() {
            Ok(context) => context.send_publish(subject, message).await,
            Err(error) => return Err(self.drop_window(error).await),
        };
        match sent {
            Ok(acknowledgement) => self.window.push_back(acknowledgement.into_future()),
            Err(source) => return Err(self.refused(source).await),
        }
        self.sent = envelope.position;
        Ok(())
    }

    /// Waits until everything sent is stored; at once when it is. Cancelling it loses no event;
    /// an error that it was about to return comes as a later one.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn flush(&mut self) -> Result<(), Error> {
        while !self.window.is_empty() {
            self.acknowledge().await?;
        }
        Ok(())
    }

    /// The last position that was sent.
    #[must_use]
    pub fn sent(&self) -> i64 {
        self.sent
    }

    /// The last position that is known to be stored.
    #[must_use]
    pub fn acknowledged(&self) -> i64 {
        self.acknowledged
    }

    async fn acknowledge(&mut self) -> Result<(), Error> {
        let position = self.acknowledged + 1;
        match self.window.next().await {
            None => Ok(()),
            Some(Ok(ack)) if signed(ack.sequence) == position => {
                self.acknowledged = position;
                Ok(())
            }
            Some(Ok(ack)) => {
                let misplaced = Error::Misplaced { position, sequence: ack.sequence };
                Err(self.drop_window(misplaced).await)
            }
            Some(Err(source)) => Err(self.refused(source).await),
        }
    }

    async fn refused(&mut self, source: PublishError) -> Error {
        let position = self.acknowledged + 1;
        self.drop_window(Error::Publish { position, source: Box::new(source) }).await
    }

    /// Waits for the answers to what is still on its way, so that it cannot meet what the next
    /// publisher sends. (Were it to, it would still land in its place or be refused.)
    async fn drop_window(&mut self, error: Error) -> Error {
        while self.window.next().await.is_some() {}
        error
    }
}

fn headers(envelope: &Envelope) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(POSITION, envelope.position.to_string());
    headers.insert(EVENT_ID, envelope.event_id.to_string());
    // A header ends at a line break, and what a client sent as its traceparent may hold one.
    let traceparent = envelope.traceparent.as_deref().filter(|text| !text.contains(['\r', '\n']));
    if let Some(traceparent) = traceparent {
        headers.insert(TRACEPARENT, traceparent);
    }
    headers
}
