//! One pull consumer's open request: what [`BusReader`](crate::BusReader) and
//! [`WorkQueue`](crate::WorkQueue) have in common.
//!
//! The client library's own iterators hide when a request ended, and some of them wait for over a
//! minute after a server restart; here every way in which a request can end is told to the caller.

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::{BatchConfig, Config};
use async_nats::jetstream::{Context, Message};
use async_nats::{HeaderMap, StatusCode, Subject, Subscriber};
use futures::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::consumer::{self, Begin, Created};
use crate::mac::Claim;
use crate::stream::signed;
use crate::{Bus, Envelope, Error, Foreign, ForeignMessage, Key};

/// How long the server keeps a request without anything to deliver.
const REQUEST_AGE_MAX: Duration = Duration::from_secs(30);

/// How often the server says that it still has the request, while it has nothing to deliver.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Silence after which the server is taken to have forgotten the request.
const SILENCE_MAX: Duration = Duration::from_millis(1_250);

/// A consumer of the current generation with at most one request open.
pub(crate) struct Pull {
    bus: Bus,
    generation: i32,
    stream: String,
    /// By which its messages are believed.
    key: Key,
    context: Context,
    consumer: PullConsumer,
    inbox: Subject,
    subscriber: Subscriber,
    connections: watch::Receiver<u64>,
    open: Option<Open>,
}

struct Open {
    batch: usize,
    remaining: usize,
    asked: Instant,
    heard: Instant,
}

impl Open {
    fn was_refused(&self) -> bool {
        self.remaining == self.batch && self.asked.elapsed() < REQUEST_AGE_MAX / 2
    }
}

/// The next thing that the open request brought.
pub(crate) enum Item {
    /// A message of the stream.
    Message(Box<Message>),
    /// The request has ended: as many as asked for came, or it aged.
    Ended,
    /// The request has ended with nothing, long before its time: asked again at once it would only
    /// end again. Others wait for the same events, or too many are out.
    Refused,
    /// The connection was made anew; the request is lost, and so may be what was on its way.
    Reconnected,
}

impl Pull {
    /// Reads by a consumer of its own.
    pub(crate) async fn open(bus: &Bus, config: Config) -> Result<Self, Error> {
        // A connection that is lost from here on may have lost the consumer with it.
        let connections = unchanged(bus);
        Self::by(bus, connections, consumer::own(bus, config).await?).await
    }

    /// Reads by the consumer that all processes share; [`consumer::shared`] says where it begins.
    pub(crate) async fn share(bus: &Bus, config: Config, begin: &Begin) -> Result<Self, Error> {
        let connections = unchanged(bus);
        Self::by(bus, connections, consumer::shared(bus, config, begin).await?).await
    }

    async fn by(
        bus: &Bus,
        connections: watch::Receiver<u64>,
        Created { generation, stream, context, consumer }: Created,
    ) -> Result<Self, Error> {
        let key = bus.key_of(generation)?;
        let inbox = Subject::from(bus.client().new_inbox());
        let subscribed = bus.client().subscribe(inbox.clone()).await;
        let subscriber = subscribed.map_err(Error::request("subscribe to an inbox"))?;
        Ok(Self {
            bus: bus.clone(),
            generation,
            stream,
            key,
            context,
            consumer,
            inbox,
            subscriber,
            connections,
            open: None,
        })
    }

    /// The event of a message that came; none when it is not hatch's own, which is said.
    pub(crate) fn event(&self, message: &Message) -> Option<Envelope> {
        let sequence = message.info().ok().map_or(0, |info| signed(info.stream_sequence));
        match decode(message, sequence, &self.stream, &self.key) {
            Ok(envelope) => envelope,
            Err(why) => {
                self.met_foreign(sequence, why);
                None
            }
        }
    }

    /// Says that the message at `sequence` is not what it should be.
    pub(crate) fn met_foreign(&self, sequence: i64, why: Foreign) {
        let generation = self.generation;
        self.bus.met_foreign(ForeignMessage { generation, sequence, why });
    }

    /// The generation that it reads.
    pub(crate) const fn generation(&self) -> i32 {
        self.generation
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Asks for up to `batch` messages. A greedy request stays until it got them all; another ends
    /// as soon as the server has delivered what it has, if that is any.
    pub(crate) async fn request(&mut self, batch: usize, greedy: bool) -> Result<(), Error> {
        self.check_generation()?;
        let request = BatchConfig {
            batch,
            expires: Some(REQUEST_AGE_MAX),
            no_wait: !greedy,
            idle_heartbeat: HEARTBEAT,
            ..BatchConfig::default()
        };
        // A connection made before this does not lose the request.
        self.connections.mark_unchanged();
        let sent = self.consumer.request_batch(request, self.inbox.clone()).await;
        sent.map_err(Error::request("ask a consumer for events"))?;
        let asked = Instant::now();
        self.open = Some(Open { batch, remaining: batch, asked, heard: asked });
        Ok(())
    }

    /// Fails once another generation is on record.
    fn check_generation(&self) -> Result<(), Error> {
        if self.bus.is_on_record(self.generation) {
            return Ok(());
        }
        Err(Error::Ended(format!("generation {} is over", self.generation)))
    }

    /// Waits for what comes next of the open request. Cancelling it loses nothing.
    ///
    /// After an error the consumer is to be opened anew.
    pub(crate) async fn next(&mut self) -> Result<Item, Error> {
        loop {
            let Some(open) = &mut self.open else { return Ok(Item::Ended) };
            let message = tokio::select! {
                biased;
                message = timeout_at(open.heard + SILENCE_MAX, self.subscriber.next()) => message,
                Ok(()) = self.connections.changed() => {
                    self.open = None;
                    return Ok(Item::Reconnected);
                }
            };
            let message = match message {
                Err(_) => return Err(Error::Silent),
                Ok(None) => return Err(Error::Ended("the connection was closed".to_owned())),
                Ok(Some(message)) => message,
            };
            open.heard = Instant::now();
            match message.status {
                None | Some(StatusCode::OK) => {
                    open.remaining = open.remaining.saturating_sub(1);
                    if open.remaining == 0 {
                        self.open = None;
                    }
                    let context = self.context.clone();
                    return Ok(Item::Message(Box::new(Message { message, context })));
                }
                // A stream that is taken out of hatch's subjects goes on bringing nothing.
                Some(StatusCode::IDLE_HEARTBEAT) => self.check_generation()?,
                Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => {
                    let refused = open.was_refused();
                    self.open = None;
                    return Ok(if refused { Item::Refused } else { Item::Ended });
                }
                Some(status) => {
                    self.open = None;
                    let reason = message.description.unwrap_or_else(|| status.to_string());
                    return Err(Error::Ended(reason));
                }
            }
        }
    }
}

/// The connections to come.
fn unchanged(bus: &Bus) -> watch::Receiver<u64> {
    let mut connections = bus.connections();
    connections.mark_unchanged();
    connections
}

/// The event of a message that proves to be hatch's own by `key`; nothing of it is parsed before. None
/// for one of a later build, which this one cannot read.
fn decode(
    message: &Message,
    sequence: i64,
    stream: &str,
    key: &Key,
) -> Result<Option<Envelope>, Foreign> {
    let none = HeaderMap::new();
    let claim = Claim {
        stream,
        sequence,
        subject: &message.subject,
        headers: message.headers.as_ref().unwrap_or(&none),
        payload: &message.payload,
    };
    claim.verify(Some(key))?;
    match Envelope::decode(&message.payload) {
        Ok(envelope) if envelope.position == sequence => Ok(Some(envelope)),
        Ok(_) => Err(Foreign::OutOfPlace),
        Err(error) => {
            tracing::warn!(%error, sequence, "skipped an event of the stream that cannot be read");
            Ok(None)
        }
    }
}
