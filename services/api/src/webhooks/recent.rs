//! The messages that receipts were about lately, as this process left them.
//!
//! A provider reports on a message within milliseconds: sent, delivered. Receipts of one message take
//! turns here, so that they do not run into each other in the log, and the next one finds the state
//! that the last one left and reads nothing. The state may have passed meanwhile: the append checks its
//! version, also where a receipt changes nothing, so that the log refuses what was decided on an old one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hatch_domain::ids::MessageId;
use hatch_domain::message::Message;
use hatch_eventstore::{Loaded, Streams, UnitOfWork};
use tokio::sync::OwnedMutexGuard;

/// Messages that are remembered at most.
const MESSAGES_MAX: usize = 4_096;

/// Bytes of text and files of a message that is remembered at most.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// How long a receipt waits for its turn. It goes on without one then: turns are only about the cost.
const TURN_WAIT_MAX: Duration = Duration::from_millis(500);

type RecentStream = tokio::sync::Mutex<Option<Loaded<Message>>>;

/// The messages that a process remembers for its webhooks; its requests share them.
#[derive(Default)]
pub struct RememberedMessages {
    turns: Mutex<HashMap<MessageId, Arc<RecentStream>>>,
}

/// The remembered messages that one webhook holds: no other request of this process appends to them meanwhile.
#[derive(Default)]
pub(super) struct RecentStreams(BTreeMap<MessageId, OwnedMutexGuard<Option<Loaded<Message>>>>);

impl RememberedMessages {
    /// Waits until it is the caller's turn with all of `messages`, or gives up and has none. They are
    /// in order and different, so that two callers never wait for each other.
    pub(super) async fn take_turns(&self, messages: &[MessageId]) -> RecentStreams {
        let turns: Vec<Arc<RecentStream>> = messages.iter().map(|id| self.turn(*id)).collect();
        let taken = async {
            let mut taken = BTreeMap::new();
            for (id, turn) in messages.iter().zip(turns) {
                taken.insert(*id, turn.lock_owned().await);
            }
            RecentStreams(taken)
        };
        tokio::time::timeout(TURN_WAIT_MAX, taken).await.unwrap_or_default()
    }

    fn turn(&self, message: MessageId) -> Arc<RecentStream> {
        let mut turns = self.turns.lock().expect("nothing panics while it holds the turns");
        if turns.len() >= MESSAGES_MAX {
            // The ones that a webhook holds or waits for stay.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(message).or_default())
    }
}

impl RecentStreams {
    /// Lets a unit of work begin with what is remembered.
    pub(super) fn offer(&self, work: &mut UnitOfWork) {
        for (message, remembered) in &self.0 {
            if let Some(loaded) = &**remembered {
                work.assume(message.0, loaded.clone());
            }
        }
    }

    /// Remembers the messages as a unit of work left them, for whoever comes next.
    pub(super) fn keep(&mut self, streams: &mut Streams) {
        for (message, remembered) in &mut self.0 {
            if let Some(loaded) = streams.take::<Message>(message.0) {
                // Nothing else of it is needed.
                let loaded = Loaded {
                    traceparent: loaded.traceparent,
                    ..Loaded::at(loaded.state, loaded.version)
                };
                **remembered = is_small(&loaded.state).then_some(loaded);
            }
        }
    }
}

fn is_small(message: &Message) -> bool {
    let length = |text: Option<&String>| text.map_or(0, String::len);
    message.requested().is_some_and(|request| {
        let html = request.email.as_ref().and_then(|email| email.html.as_ref());
        let files: usize =
            request.attachments.iter().map(|file| length(file.content.as_ref())).sum();
        length(request.body.as_ref()) + length(html) + files <= MESSAGE_BYTES_MAX
    })
}
