//! The keys by which this process believes messages of the bus, and the foreign messages that it met.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::mac::{Foreign, Key};
use crate::{Bus, Error};

/// The keys by which messages are believed at the moment.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Of the log's epoch.
    pub epoch: Key,
    /// The newest generation on record, and the key of the epoch that it was begun in.
    pub generation: Option<(i32, Key)>,
}

/// A message that hatch did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignMessage {
    /// The generation in whose stream it is.
    pub generation: i32,
    /// Its sequence there, as the server says; 0 where it is the consumer that somebody changed.
    pub sequence: i64,
    /// What is wrong with it.
    pub why: Foreign,
}

impl std::fmt::Display for ForeignMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self { why: Foreign::Changed, .. } => write!(f, "the stream's configuration: changed"),
            Self { sequence: 0, why, .. } => write!(f, "a consumer: {}", why.as_str()),
            Self { sequence, why, .. } => {
                write!(f, "the message at sequence {sequence}: {}", why.as_str())
            }
        }
    }
}

/// The keys that all clones of a [`Bus`] share.
pub(crate) type SharedKeys = Arc<RwLock<Option<Keys>>>;

/// The foreign messages that this process met.
#[derive(Debug)]
pub(crate) struct Met {
    /// The first foreign message of the last generation in which one was met.
    found: watch::Sender<Option<ForeignMessage>>,
    counts: [AtomicU64; Foreign::ALL.len()],
}

impl Default for Met {
    fn default() -> Self {
        Self {
            found: watch::Sender::new(None),
            counts: [const { AtomicU64::new(0) }; Foreign::ALL.len()],
        }
    }
}

impl Bus {
    /// Says by which keys messages are believed from now on, by this one and its clones. Before the first
    /// time none is.
    pub fn trust(&self, keys: Keys) {
        *self.shared_keys().write().unwrap_or_else(PoisonError::into_inner) = Some(keys);
    }

    /// Follows the foreign messages that this process meets: the first one of each generation.
    #[must_use]
    pub fn foreign(&self) -> watch::Receiver<Option<ForeignMessage>> {
        self.met().found.subscribe()
    }

    /// How many foreign messages this process has met, by what was wrong with them.
    #[must_use]
    pub fn foreign_counts(&self) -> [(Foreign, u64); Foreign::ALL.len()] {
        let counts = &self.met().counts;
        std::array::from_fn(|n| (Foreign::ALL[n], counts[n].load(Ordering::Relaxed)))
    }

    /// Counts a foreign message, and says so once for each generation.
    pub fn met_foreign(&self, message: ForeignMessage) {
        let place = Foreign::ALL.iter().position(|why| *why == message.why);
        if let Some(count) = place.and_then(|place| self.met().counts.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let first = self.met().found.send_if_modified(|found| {
            let first = found.is_none_or(|before| before.generation != message.generation);
            if first {
                *found = Some(message);
            }
            first
        });
        if first {
            let ForeignMessage { generation, sequence, why } = message;
            tracing::error!(
                generation,
                sequence,
                why = why.as_str(),
                "a message of the event stream is not hatch's: somebody else can write to NATS. \
                 Nothing is sent or shown from it, and the next generation begins"
            );
        }
    }

    /// The key of a generation that is on record; a stream that is not is nobody's.
    pub(crate) fn key_of(&self, generation: i32) -> Result<Key, Error> {
        self.keys()
            .and_then(|keys| keys.generation)
            .filter(|(recorded, _)| *recorded == generation)
            .map(|(_, key)| key)
            .ok_or(Error::NotOnRecord(generation))
    }

    /// The key that the messages of a generation would bear, even if it is not on record: what a restored
    /// log does not know may be its own all the same.
    pub(crate) fn likely_key_of(&self, generation: i32) -> Option<Key> {
        self.key_of(generation).ok().or_else(|| self.keys().map(|keys| keys.epoch))
    }

    /// Whether a generation is the newest on record, as far as this process knows.
    pub(crate) fn is_on_record(&self, generation: i32) -> bool {
        let recorded = self.keys().and_then(|keys| keys.generation);
        recorded.is_some_and(|(recorded, _)| recorded == generation)
    }

    pub(crate) fn keys(&self) -> Option<Keys> {
        self.shared_keys().read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
