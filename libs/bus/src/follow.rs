//! A feed of the log's events as they are published.

use std::time::Duration;

use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config;

use crate::pull::{Item, Pull};
use crate::retry::Retry;
use crate::{Bus, Envelope, Error, consumer};

/// Events on their way to a reader at once.
const BATCH_MAX: usize = 500;

/// How long the server remembers a consumer that nobody asks.
const CONSUMER_IDLE_MAX: Duration = Duration::from_secs(10);

/// A feed of events from a position on, in log order, each at most once, without acknowledgements.
///
/// It is only a feed: what the stream no longer holds, what is lost with a connection and what comes
/// while NATS is away is missing, and the reader repairs such gaps from the log. It outlives server
/// restarts and goes on with the next generation.
pub struct BusReader {
    bus: Bus,
    next: i64,
    pull: Option<Pull>,
    retry: Retry,
}

impl Bus {
    /// A feed of the events at `position` and after it.
    #[must_use]
    pub fn follow(&self, position: i64) -> BusReader {
        BusReader { bus: self.clone(), next: position, pull: None, retry: Retry::default() }
    }
}

impl BusReader {
    /// Waits for the next event. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Envelope {
        loop {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(envelope)) => {
                    self.retry.succeeded();
                    return envelope;
                }
                Err(error) => {
                    self.pull = None;
                    self.retry.failed(&error);
                }
            }
        }
    }

    /// The generation that the last event came from; none while there is no consumer.
    #[must_use]
    pub fn generation(&self) -> Option<i32> {
        self.pull.as_ref().map(Pull::generation)
    }

    async fn step(&mut self) -> Result<Option<Envelope>, Error> {
        self.retry.wait().await;
        let pull = match &mut self.pull {
            Some(pull) => pull,
            None => self.pull.insert(Pull::open(&self.bus, config(self.next)).await?),
        };
        if !pull.is_open() {
            pull.request(BATCH_MAX, true).await?;
        }
        match pull.next().await? {
            Item::Ended => Ok(None),
            Item::Refused => {
                self.retry.pause();
                Ok(None)
            }
            // What was on its way is lost: a new consumer begins after what has come.
            Item::Reconnected => {
                self.pull = None;
                Ok(None)
            }
            Item::Message(message) => {
                let envelope = pull.event(&message).filter(|event| event.position >= self.next);
                if let Some(envelope) = &envelope {
                    self.next = envelope.position + 1;
                }
                Ok(envelope)
            }
        }
    }
}

fn config(position: i64) -> Config {
    Config {
        deliver_policy: consumer::from(position),
        ack_policy: AckPolicy::None,
        inactive_threshold: CONSUMER_IDLE_MAX,
        memory_storage: true,
        num_replicas: 1,
        ..Config::default()
    }
}
