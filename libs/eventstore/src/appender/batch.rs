//! Which waiting commands make the next batch. Pure: no I/O, no clock.

use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

use crate::append::{Append, BATCH_BYTES_MAX, BATCH_EVENTS_MAX};

/// Commands of a batch at most.
pub(crate) const BATCH_COMMANDS_MAX: usize = 256;

/// Takes the next batch from the front of `waiting`, oldest first.
///
/// At most one command for each written stream and for each key, so that no command of a batch
/// depends on how another one of it ends. The rest keeps its order: a command also waits for those
/// before it that wait, or a busy stream could keep a command over several streams waiting for ever.
pub(crate) fn take<T: AsRef<Append>>(waiting: &mut VecDeque<T>) -> Vec<T> {
    let expected = waiting.len().min(BATCH_COMMANDS_MAX);
    let mut batch = Vec::with_capacity(expected);
    let mut later = VecDeque::new();
    // A stream and a key each, as a rule.
    let mut taken = HashSet::with_capacity(2 * expected);
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

/// A name that no two commands of a batch may share.
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
enum Name {
    Stream(Uuid),
    Key(Uuid),
}

fn names(append: &Append) -> impl Iterator<Item = Name> {
    let streams = append.writes.iter().map(|write| Name::Stream(write.stream_id));
    streams.chain(append.key.map(|key| Name::Key(key.id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommandKey, ExpectedVersion, Metadata, NewEvent, SideRow, SideTable, StreamWrite};

    struct Numbered(usize, Append);

    impl AsRef<Append> for Numbered {
        fn as_ref(&self) -> &Append {
            &self.1
        }
    }

    fn append(streams: &[u128], key: Option<u128>) -> Append {
        let event = NewEvent {
            event_id: Uuid::nil(),
            event_type: "Happened",
            schema_version: 1,
            routing: hatch_domain::Routing::default(),
            metadata: Metadata::default(),
            payload: "{}".to_owned(),
        };
        let write = |stream: &u128| StreamWrite {
            stream_id: Uuid::from_u128(*stream),
            tenant_id: Uuid::nil(),
            expected: ExpectedVersion::Any,
            events: vec![event.clone()],
        };
        Append {
            key: key.map(|id| CommandKey { id: Uuid::from_u128(id), request_hash: [0; 32] }),
            writes: streams.iter().map(write).collect(),
            ..Append::default()
        }
    }

    /// The batches that `appends` make, by the number of each command.
    fn batches(appends: impl IntoIterator<Item = Append>) -> Vec<Vec<usize>> {
        let mut waiting: VecDeque<_> =
            appends.into_iter().enumerate().map(|(n, append)| Numbered(n, append)).collect();
        let mut batches = Vec::new();
        while !waiting.is_empty() {
            let batch: Vec<_> = take(&mut waiting).into_iter().map(|n| n.0).collect();
            assert!(!batch.is_empty(), "a batch without a command would be taken for ever");
            batches.push(batch);
        }
        batches
    }

    #[test]
    fn commands_of_one_stream_or_one_key_come_one_a_batch() {
        let appends = [
            append(&[1], None),
            append(&[1], None),
            append(&[2], Some(7)),
            append(&[3], Some(7)),
            append(&[4], None),
        ];
        assert_eq!(batches(appends), [vec![0, 2, 4], vec![1, 3]]);
    }

    #[test]
    fn a_command_over_several_streams_is_not_overtaken_for_ever() {
        let appends =
            [append(&[1], None), append(&[1, 2], None), append(&[2], None), append(&[3], None)];
        assert_eq!(batches(appends), [vec![0, 3], vec![1], vec![2]]);
    }

    #[test]
    fn a_key_that_equals_a_stream_is_another_name() {
        assert_eq!(batches([append(&[1], Some(1)), append(&[2], None)]), [[0, 1]]);
    }

    #[test]
    fn a_batch_ends_at_its_limits() {
        let small = (0..300).map(|n| append(&[n], None));
        let sizes: Vec<_> = batches(small).iter().map(Vec::len).collect();
        assert_eq!(sizes, [BATCH_COMMANDS_MAX, 300 - BATCH_COMMANDS_MAX]);

        let wide = (0..3).map(|n| append(&(n * 200..(n + 1) * 200).collect::<Vec<_>>(), None));
        assert_eq!(batches(wide), [vec![0, 1], vec![2]], "600 events");

        static TABLE: SideTable = SideTable { name: "t", columns: &[("text", "text")] };
        let row = || SideRow { table: &TABLE, values: vec![Some("x".repeat(600 * 1024))] };
        let heavy = (0..2).map(|_| Append { side_rows: vec![row()], ..Append::default() });
        assert_eq!(batches(heavy), [[0], [1]], "1.2 MiB");
    }
}
