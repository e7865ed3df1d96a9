//! Work that is handed out until it is acknowledged.
//!
//! The server keeps in memory how far a queue has come, and forgets it when it ends. Nobody relies on
//! that: whoever asks for the queue next makes it anew, from the position that [`Begin`] names.

use std::time::Duration;

use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::{AckKind, Message};
use futures::FutureExt;
use serde::Deserialize;
use tokio::time::timeout;

use crate::consumer::Begin;
use crate::pull::{Item, Pull};
use crate::retry::Retry;
use crate::subject::{self, Tokens};
use crate::{Bus, BusState, Envelope, Error, Foreign};

/// How long handing an acknowledgement to the connection may take.
const ACKNOWLEDGE_MAX: Duration = Duration::from_secs(1);

/// One kind of work: the events that are, and how they are handed out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Work {
    /// The aggregate of the events, such as `message`.
    pub aggregate: String,
    /// Their type, such as `MessageRequested`.
    pub event_type: String,
    /// Their channel; `None` is that of events without one.
    pub channel: Option<String>,
    /// Their priority; `None` is that of events without one.
    pub priority: Option<String>,
    /// How many may be out at once, over all processes, before more are handed out.
    pub ack_pending_max: i64,
    /// After this time without an acknowledgement an event is handed out again.
    pub ack_wait_ms: u64,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            aggregate: String::new(),
            event_type: String::new(),
            channel: None,
            priority: None,
            ack_pending_max: 1_000,
            ack_wait_ms: 30_000,
        }
    }
}

impl Work {
    fn tokens(&self) -> Tokens {
        let (channel, priority) = (self.channel.as_deref(), self.priority.as_deref());
        Tokens::new(&self.aggregate, &self.event_type, channel, priority)
    }

    fn includes(&self, envelope: &Envelope) -> bool {
        Tokens::of(envelope) == self.tokens()
    }
}

/// An acknowledged consumer of one kind of work. All processes that open the same kind share it; each
/// event goes to one of them. It does not outlive its server, nor the stream's generation: then it is
/// made anew and begins where [`Begin`] says, with the first event of the stream at the earliest.
pub struct WorkQueue {
    bus: Bus,
    work: Work,
    begin: Begin,
    pull: Option<Pull>,
    ready: Vec<Delivery>,
    retry: Retry,
}

/// One handing-out of an event.
pub struct Delivery {
    /// The event.
    pub envelope: Envelope,
    /// The generation that it came from.
    pub generation: i32,
    message: Box<Message>,
    bus: Bus,
}

impl Bus {
    /// The queue of one kind of work. `begin` is asked whenever the server does not have the queue.
    #[must_use]
    pub fn work_queue(&self, work: Work, begin: Begin) -> WorkQueue {
        let retry = Retry::default();
        WorkQueue { bus: self.clone(), work, begin, pull: None, ready: Vec::new(), retry }
    }
}

impl WorkQueue {
    /// Waits, at the server, until there is work, and takes what is there, up to `max` (at least 1).
    /// Cancelling it loses nothing.
    pub async fn fetch(&mut self, max: usize) -> Vec<Delivery> {
        let max = max.max(1);
        loop {
            if let Err(error) = self.gather(max).await {
                self.pull = None;
                self.retry.failed(&error);
            }
            if !self.ready.is_empty() {
                self.retry.succeeded();
                return self.ready.drain(..max.min(self.ready.len())).collect();
            }
        }
    }

    /// Takes what has come from the server, waiting for the first.
    async fn gather(&mut self, max: usize) -> Result<(), Error> {
        self.retry.wait().await;
        let pull = match &mut self.pull {
            Some(pull) => pull,
            None => {
                let config = config(&self.bus, &self.work);
                self.pull.insert(Pull::share(&self.bus, config, &self.begin).await?)
            }
        };
        if !pull.is_open() && self.ready.len() < max {
            pull.request(max - self.ready.len(), false).await?;
        }
        while pull.is_open() || !self.ready.is_empty() {
            let item = if self.ready.is_empty() {
                pull.next().await?
            } else {
                // What has not come yet stays with the request, for the next fetch.
                match pull.next().now_or_never() {
                    Some(item) => item?,
                    None => return Ok(()),
                }
            };
            match item {
                Item::Message(message) => match event(pull, &self.work, &message) {
                    Some(envelope) => {
                        let (generation, bus) = (pull.generation(), self.bus.clone());
                        self.ready.push(Delivery { envelope, generation, message, bus });
                    }
                    // It will not become one.
                    None => acknowledge(&self.bus, &message, AckKind::Term).await,
                },
                Item::Refused => {
                    self.retry.pause();
                    return Ok(());
                }
                Item::Ended | Item::Reconnected => return Ok(()),
            }
        }
        Ok(())
    }
}

impl Delivery {
    /// Says that this event need not be handed out again. It may be all the same, when the
    /// acknowledgement is lost.
    pub async fn ack(self) {
        acknowledge(&self.bus, &self.message, AckKind::Ack).await;
    }
}

/// The event of a message, if it is hatch's own and the work that the queue is for: a consumer that
/// somebody has changed hands out others.
fn event(pull: &Pull, work: &Work, message: &Message) -> Option<Envelope> {
    let envelope = pull.event(message)?;
    if work.includes(&envelope) {
        return Some(envelope);
    }
    pull.met_foreign(envelope.position, Foreign::OtherWork);
    None
}

async fn acknowledge(bus: &Bus, message: &Message, kind: AckKind) {
    // While there is no connection an acknowledgement would only fill the client's queue.
    let connected = matches!(bus.state(), BusState::Connected(_));
    if !connected || !matches!(timeout(ACKNOWLEDGE_MAX, message.ack_with(kind)).await, Ok(Ok(()))) {
        tracing::debug!("an acknowledgement was lost, the event will be handed out again");
    }
}

/// All of a queue's configuration but where it begins.
fn config(bus: &Bus, work: &Work) -> Config {
    let tokens = work.tokens();
    Config {
        durable_name: Some(subject::consumer_name(&tokens)),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_millis(work.ack_wait_ms),
        max_deliver: -1,
        max_ack_pending: work.ack_pending_max,
        filter_subject: subject::of_work(&bus.settings().prefix, &tokens),
        memory_storage: true,
        num_replicas: 1,
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::example;

    #[test]
    fn work_includes_the_events_of_its_channel_and_priority() {
        let work = Work {
            aggregate: "message".to_owned(),
            event_type: "MessageRequested".to_owned(),
            channel: Some("sms".to_owned()),
            priority: None,
            ..Work::default()
        };
        assert!(work.includes(&Envelope { priority: None, ..example() }));
        assert!(!work.includes(&example()), "of another priority");
    }
}
