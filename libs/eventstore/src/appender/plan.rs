//! The decision between the two flights of an append: which commands of a batch are accepted, and
//! at which versions and positions. Pure: no I/O, no clock.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::rows::RecordedCommand;
use crate::{
    Append, AppendError, Appended, CommandKey, ExpectedVersion, NewEvent, Position, SideRow,
};

/// The state of everything that a batch touches, read under the log's lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogState {
    /// The last position.
    pub(crate) head: Position,
    /// Whether nothing may be sent by this log.
    pub(crate) fenced: bool,
    /// The streams that exist.
    pub(crate) streams: HashMap<Uuid, StreamState>,
    /// The keys that were used before.
    pub(crate) commands: HashMap<Uuid, RecordedCommand>,
}

/// A stream that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamState {
    pub(crate) tenant_id: Uuid,
    /// The aggregate of its events; empty when the batch names no such kind.
    pub(crate) kind: &'static str,
    pub(crate) version: i64,
}

/// The result of planning a batch.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// One for each command, in order; final only once the rest of the plan is committed.
    pub(crate) outcomes: Vec<Result<Appended, AppendError>>,
    /// The events to insert, in order of their dense positions.
    pub(crate) events: Vec<PlannedEvent<'a>>,
    /// The streams that begin, with their versions.
    pub(crate) new_streams: Vec<(Uuid, StreamState)>,
    /// The others that are written, with their new versions.
    pub(crate) streams: Vec<(Uuid, StreamState)>,
    /// The keys to record.
    pub(crate) commands: Vec<(CommandKey, Position, Position)>,
    /// The side rows to insert, by table.
    pub(crate) side_rows: BTreeMap<&'static str, Vec<&'a SideRow>>,
}

/// An event with its place.
#[derive(Debug)]
pub(crate) struct PlannedEvent<'a> {
    pub(crate) position: Position,
    pub(crate) stream_id: Uuid,
    pub(crate) tenant_id: Uuid,
    pub(crate) version: i64,
    pub(crate) event: &'a NewEvent,
}

impl Plan<'_> {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.commands.is_empty() && self.side_rows.is_empty()
    }
}

/// Decides on `batch`, in order: each command sees what those before it changed. No two of them
/// write the same stream or carry the same key.
pub(crate) fn plan<'a>(
    batch: impl ExactSizeIterator<Item = &'a Append>,
    mut state: LogState,
) -> Plan<'a> {
    // A stream and an event each, at least.
    let commands = batch.len();
    state.streams.reserve(commands);
    let mut plan = Plan {
        outcomes: Vec::with_capacity(commands),
        events: Vec::with_capacity(commands),
        new_streams: Vec::new(),
        streams: Vec::new(),
        commands: Vec::new(),
        side_rows: BTreeMap::new(),
    };
    for append in batch {
        let outcome = match judge(append, &state) {
            Ok(None) => Ok(accept(append, &mut state, &mut plan)),
            Ok(Some(duplicate)) => Ok(duplicate),
            Err(error) => Err(error),
        };
        plan.outcomes.push(outcome);
    }
    plan
}

/// Whether `append` may happen; some if it has happened already.
fn judge(append: &Append, state: &LogState) -> Result<Option<Appended>, AppendError> {
    if let Some(key) = append.key
        && let Some(recorded) = state.commands.get(&key.id)
    {
        return if recorded.request_hash == key.request_hash {
            Ok(Some(Appended::Duplicate { first: recorded.first, last: recorded.last }))
        } else {
            Err(AppendError::KeyReused)
        };
    }
    if append.sends && state.fenced {
        return Err(AppendError::Fenced);
    }
    for write in &append.writes {
        let actual = version(write.stream_id, write.tenant_id, write.kind(), state)?;
        expect(write.stream_id, write.expected, actual, false)?;
    }
    // After what is written: a guard is said to have moved only where no stream that was read and is written has.
    for guard in &append.guards {
        let actual = version(guard.stream_id, guard.tenant_id, guard.kind, state)?;
        expect(guard.stream_id, guard.expected, actual, true)?;
    }
    Ok(None)
}

/// The stream's version; 0 when it does not exist. It must be of this tenant and kind.
fn version(
    stream_id: Uuid,
    tenant_id: Uuid,
    kind: &str,
    state: &LogState,
) -> Result<i64, AppendError> {
    match state.streams.get(&stream_id) {
        None => Ok(0),
        Some(stream) if stream.tenant_id != tenant_id => Err(AppendError::ForeignTenant(stream_id)),
        Some(stream) if stream.kind != kind => Err(AppendError::ForeignKind(stream_id)),
        Some(stream) => Ok(stream.version),
    }
}

fn expect(
    stream_id: Uuid,
    expected: ExpectedVersion,
    actual: i64,
    guarded: bool,
) -> Result<(), AppendError> {
    if expected.holds(actual) {
        Ok(())
    } else {
        Err(AppendError::Conflict { stream_id, expected, actual, guarded })
    }
}

/// Gives `append` its versions and positions.
fn accept<'a>(append: &'a Append, state: &mut LogState, plan: &mut Plan<'a>) -> Appended {
    let before = state.head;
    for write in &append.writes {
        let stream = state.streams.entry(write.stream_id).or_insert_with(|| StreamState {
            tenant_id: write.tenant_id,
            kind: write.kind(),
            version: 0,
        });
        let written = if stream.version == 0 { &mut plan.new_streams } else { &mut plan.streams };
        for event in &write.events {
            stream.version += 1;
            state.head = state.head.next();
            plan.events.push(PlannedEvent {
                position: state.head,
                stream_id: write.stream_id,
                tenant_id: write.tenant_id,
                version: stream.version,
                event,
            });
        }
        written.push((write.stream_id, *stream));
    }
    for side in &append.side_rows {
        plan.side_rows.entry(side.table.name).or_default().push(side);
    }
    let last = state.head;
    let first = if last > before { before.next() } else { last };
    if let Some(key) = append.key {
        let recorded = RecordedCommand { request_hash: key.request_hash, first, last };
        state.commands.insert(key.id, recorded);
        plan.commands.push((key, first, last));
    }
    Appended::Committed { first, last }
}

#[cfg(test)]
mod tests;
