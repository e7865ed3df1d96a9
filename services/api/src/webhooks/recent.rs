//! The messages that receipts were about lately, as this process left them.
//!
//! A provider reports on a message within milliseconds: sent, delivered. Receipts of one message take
//! turns here, so that they do not run into each other in the log, and the next one finds the state
//! that the last one left and reads nothing. The state may have passed meanwhile. Whoever appends
//! expects its exact version, so that the log refuses what was decided on an old one; and a receipt
//! that would change nothing has to be decided again on the stream itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hatch_domain::ids::MessageId;
use hatch_domain::message::Message;
use hatch_eventstore::Loaded;
use tokio::sync::OwnedMutexGuard;

/// Messages that are remembered at most.
const MESSAGES_MAX: usize = 4_096;

/// Bytes of text and files of a message that is remembered at most.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// How long a receipt waits for its turn. It goes on without one then: turns are only about the cost.
const TURN_WAIT_MAX: Duration = Duration::from_millis(500);

type Turn = tokio::sync::Mutex<Option<Loaded<Message>>>;

/// What is remembered; shared by the requests of a process.
#[derive(Default)]
pub struct Recent {
    turns: Mutex<HashMap<MessageId, Arc<Turn>>>,
}

/// The turns of one webhook: nobody else of this process appends to these messages meanwhile.
#[derive(Default)]
pub(super) struct Turns(BTreeMap<MessageId, OwnedMutexGuard<Option<Loaded<Message>>>>);

impl Recent {
    /// Waits until it is the caller's turn with all of `messages`, or gives up and has none. They are
    /// in order and different, so that two callers never wait for each other.
    pub(super) async fn take_turns(&self, messages: &[MessageId]) -> Turns {
        let turns: Vec<Arc<Turn>> = messages.iter().map(|id| self.turn(*id)).collect();
        let taken = async {
            let mut taken = BTreeMap::new();
            for (id, turn) in messages.iter().zip(turns) {
                taken.insert(*id, turn.lock_owned().await);
            }
            Turns(taken)
        };
        tokio::time::timeout(TURN_WAIT_MAX, taken).await.unwrap_or_default()
    }

    fn turn(&self, message: MessageId) -> Arc<Turn> {
        let mut turns = self.turns.lock().expect("nothing panics while it holds the turns");
        if turns.len() >= MESSAGES_MAX {
            // Those that somebody holds or waits for stay.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(message).or_default())
    }
}

impl Turns {
    /// What is remembered of a message.
    pub(super) fn recall(&self, message: MessageId) -> Option<&Loaded<Message>> {
        self.0.get(&message)?.as_ref()
    }

    /// Remembers a message for whoever comes next.
    pub(super) fn remember(&mut self, message: MessageId, loaded: Loaded<Message>) {
        if let Some(remembered) = self.0.get_mut(&message) {
            **remembered = is_small(&loaded.state).then_some(loaded);
        }
    }

    /// Forgets everything: some of it has passed.
    pub(super) fn forget(&mut self) {
        for remembered in self.0.values_mut() {
            **remembered = None;
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
