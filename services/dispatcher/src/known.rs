//! Consents that were read lately: the next claim that one of them guards knows what to expect.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// Streams of a generation at most; two generations are remembered.
const GENERATION_MAX: usize = 16_384;

/// A consent as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// The stream's version, from 1.
    pub(crate) version: i64,
    /// Whether it forbids messages by itself.
    pub(crate) forbids: bool,
}

/// The consents that were read last. It may be behind the log, which checks what is expected because of it.
#[derive(Debug, Default)]
pub(crate) struct KnownConsents(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Uuid, Known>,
    old: HashMap<Uuid, Known>,
}

impl KnownConsents {
    /// What is known of the stream.
    pub(crate) fn get(&self, stream_id: Uuid) -> Option<Known> {
        let generations = self.lock();
        let found = generations.young.get(&stream_id).or_else(|| generations.old.get(&stream_id));
        found.copied()
    }

    /// Remembers the stream; version 0 is that of none, which everybody expects anyway.
    pub(crate) fn keep(&self, stream_id: Uuid, known: Known) {
        let mut generations = self.lock();
        if known.version == 0 {
            generations.young.remove(&stream_id);
            generations.old.remove(&stream_id);
            return;
        }
        if generations.young.len() >= GENERATION_MAX {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(stream_id, known);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_no_more_than_two_generations() {
        let consents = KnownConsents::default();
        let id = |n: usize| Uuid::from_u128(n as u128);
        let known = |version| Known { version, forbids: false };
        for n in 0..3 * GENERATION_MAX {
            consents.keep(id(n), known(1));
        }
        assert_eq!(consents.get(id(0)), None);
        assert_eq!(consents.get(id(3 * GENERATION_MAX - 1)), Some(known(1)));
        consents.keep(id(3 * GENERATION_MAX - 1), known(2));
        assert_eq!(consents.get(id(3 * GENERATION_MAX - 1)), Some(known(2)));
        let generations = consents.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION_MAX);
    }

    #[test]
    fn a_stream_that_is_gone_is_forgotten() {
        let consents = KnownConsents::default();
        consents.keep(Uuid::nil(), Known { version: 3, forbids: true });
        consents.keep(Uuid::nil(), Known { version: 0, forbids: false });
        assert_eq!(consents.get(Uuid::nil()), None);
    }
}
