//! Which waiting commands make the next batch. Pure: no I/O, no clock.

use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

use crate::Append;

/// Commands of a batch at most.
pub(crate) const BATCH_COMMANDS_MAX: usize = 256;

/// Events of a batch, and of a command, at most.
pub(crate) const BATCH_EVENTS_MAX: usize = 512;

/// Bytes of a batch, and of a command, at most.
pub(crate) const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Takes the next batch from the front of `waiting`, oldest first.
///
/// At most one command for each written stream and for each key, so that no command of a batch
/// depends on how another one of it ends. The rest keeps its order: a command also waits for those
/// before it that wait, or a busy stream could keep a command over several streams waiting for ever.
pub(crate) fn take<T: AsRef<Append>>(waiting: &mut VecDeque<T>) -> Vec<T> {
    let mut batch = Vec::new();
    let mut later = VecDeque::new();
    let mut taken = HashSet::new();
    let (mut events, mut bytes) = (0, 0);
    while let Some(item) = waiting.pop_front() {
        let append = item.as_ref();
        let (its_events, its_bytes) = (append.events(), append.bytes());
        let full = batch.len() == BATCH_COMMANDS_MAX
            || events + its_events > BATCH_EVENTS_MAX
            || bytes + its_bytes > BATCH_BYTES_MAX;
        if full && !batch.is_empty() {
            waiting.push_front(item);
            break;
        }
        // Every name is claimed, also those of a command that has to wait.
        let claimed = names(append).filter(|name| taken.insert(*name)).count();
        if claimed == names(append).count() {
            events += its_events;
            bytes += its_bytes;
            batch.push(item);
        } else {
            later.push_back(item);
        }
    }
    later.append(waiting);
    *waiting = later;
    batch
}

/// What no two commands of a batch may share.
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
enum Name {
    Stream(Uuid),
    Key(Uuid),
}

fn names(append: &Append) -> impl Iterator<Item = Name> {
    let streams = append.writes.iter().map(|write| Name::Stream(write.stream_id));
    streams.chain(append.key.map(|key| Name::Key(key.id)))
}
