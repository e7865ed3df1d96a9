//! The fold of events into timers. Pure: what the table holds is not known here, so a fold is a list
//! of what is to be done to it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use hatch_domain::Decider;
use hatch_eventstore::{Position, RecordedEvent};
use uuid::Uuid;

use crate::kind::{DueKind, DueTime, KeptNote, WorkClass};

/// The part of an event that the fold uses.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fact<N> {
    pub(crate) position: Position,
    pub(crate) epoch: i32,
    pub(crate) recorded_at: DateTime<Utc>,
    /// None of an event of another kind.
    pub(crate) stream: Option<StreamFact<N>>,
}

/// The part of an event that is about its stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StreamFact<N> {
    pub(crate) tenant_id: Uuid,
    pub(crate) stream_id: Uuid,
    pub(crate) due: DueTime,
    /// The stream has no earlier event.
    pub(crate) begins: bool,
    pub(crate) note: Option<N>,
    pub(crate) place: WorkClass,
    /// For whom it waits from now on, where it is parked. Its timer was written at that moment.
    pub(crate) waits_for: Option<String>,
    /// This build cannot read the event. Somebody has to look at the stream at once: who can read it finds
    /// its true time.
    pub(crate) undecodable: bool,
}

type EventOf<K> = <<K as DueKind>::Stream as Decider>::Event;

impl<N> Fact<N> {
    pub(crate) fn of<K: DueKind<Note = N>>(recorded: &RecordedEvent) -> Self {
        let stream = (recorded.aggregate == K::Stream::KIND).then(|| {
            let read = recorded.decode::<EventOf<K>>().ok();
            let at_once = DueTime::At { step: None, at: recorded.recorded_at };
            StreamFact {
                tenant_id: recorded.tenant_id,
                stream_id: recorded.stream_id,
                due: read.as_ref().map_or(at_once, K::due),
                begins: recorded.version == 1,
                note: read.as_ref().and_then(K::note),
                place: K::place(recorded),
                waits_for: read.as_ref().and_then(K::waits_for),
                undecodable: read.is_none(),
            }
        });
        let RecordedEvent { position, epoch, recorded_at, .. } = *recorded;
        Self { position, epoch, recorded_at, stream }
    }

    /// Whether this build cannot read the event.
    pub(crate) fn is_undecodable(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.undecodable)
    }
}

/// The changes that a fold makes to the tables.
#[derive(Debug, PartialEq)]
pub(crate) struct Fold<N> {
    changes: HashMap<Uuid, TimerChange>,
    pub(crate) kept: Vec<KeptNote<N>>,
}

/// A timer as an event sets it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Timer {
    pub(crate) tenant_id: Uuid,
    pub(crate) due_at: DateTime<Utc>,
    /// The step that it speaks of; none: the next one.
    pub(crate) step: Option<u32>,
    pub(crate) position: Position,
    pub(crate) place: WorkClass,
    pub(crate) waits_for: Option<String>,
    /// This build cannot read the event.
    pub(crate) undecodable: bool,
}

#[derive(Debug, PartialEq)]
struct TimerChange {
    /// The stream began in this fold: the table has no row of it.
    began: bool,
    to: To,
}

#[derive(Debug, PartialEq)]
enum To {
    /// This timer.
    Set(Timer),
    /// No timer of this step or an earlier one; one of a later step stays.
    EarlierCleared(u32),
    /// No timer.
    Cleared,
}

impl<N: Clone> Fold<N> {
    /// Folds `facts`. What comes after them in the log is known already, as far as `ahead` reaches:
    /// a timer that is settled there need not be written, because whoever goes on from the end of
    /// `facts` meets what settles it.
    pub(crate) fn of<'a>(
        facts: impl Iterator<Item = &'a Fact<N>>,
        ahead: impl Iterator<Item = &'a Fact<N>>,
    ) -> Self
    where
        N: 'a,
    {
        let mut fold = Self { changes: HashMap::new(), kept: Vec::new() };
        for fact in facts {
            let Some(stream) = &fact.stream else { continue };
            fold.take(stream, fact.position);
            let StreamFact { tenant_id, stream_id, note, .. } = stream;
            fold.kept.extend(note.iter().map(|note| KeptNote {
                tenant_id: *tenant_id,
                stream_id: *stream_id,
                note: note.clone(),
            }));
        }
        fold.look_ahead(ahead);
        fold
    }

    /// The timers to write.
    pub(crate) fn set(&self) -> impl Iterator<Item = (&Uuid, &Timer)> {
        self.changes.iter().filter_map(|(id, change)| match &change.to {
            To::Set(timer) => Some((id, timer)),
            _ => None,
        })
    }

    /// The streams whose timer goes, with the step up to which it does.
    pub(crate) fn cleared(&self) -> impl Iterator<Item = (&Uuid, Option<u32>)> {
        self.changes.iter().filter(|(_, change)| !change.began).filter_map(|(id, change)| {
            match change.to {
                To::Set(_) => None,
                To::EarlierCleared(step) => Some((id, Some(step))),
                To::Cleared => Some((id, None)),
            }
        })
    }

    fn take(&mut self, fact: &StreamFact<N>, position: Position) {
        let change = self.changes.entry(fact.stream_id);
        let before =
            change.or_insert(TimerChange { began: fact.begins, to: To::EarlierCleared(0) });
        // Who stands in a line has a row at once.
        before.began &= fact.waits_for.is_none();
        before.to.after(fact, position);
    }

    fn look_ahead<'a>(&mut self, ahead: impl Iterator<Item = &'a Fact<N>>)
    where
        N: 'a,
    {
        let mut later: HashMap<Uuid, To> = HashMap::new();
        for fact in ahead {
            let Some(stream) = &fact.stream else { continue };
            if let Some((id, timer)) = self.timer(stream.stream_id) {
                later
                    .entry(id)
                    .or_insert_with(|| To::Set(timer.clone()))
                    .after(stream, fact.position);
            }
        }
        for (id, to) in later {
            if let (To::Cleared, Some(change)) = (to, self.changes.get_mut(&id)) {
                change.to = To::Cleared;
            }
        }
    }

    fn timer(&self, stream_id: Uuid) -> Option<(Uuid, &Timer)> {
        match &self.changes.get(&stream_id)?.to {
            To::Set(timer) => Some((stream_id, timer)),
            _ => None,
        }
    }
}

impl To {
    fn after<N>(&mut self, fact: &StreamFact<N>, position: Position) {
        match (fact.due, &*self) {
            (DueTime::At { step, at }, _) => {
                let StreamFact { tenant_id, place, undecodable, .. } = *fact;
                let (due_at, waits_for) = (at, fact.waits_for.clone());
                *self = Self::Set(Timer {
                    tenant_id,
                    due_at,
                    step,
                    position,
                    place,
                    waits_for,
                    undecodable,
                });
            }
            (DueTime::Over, _) => *self = Self::Cleared,
            (DueTime::Settled { step }, Self::Set(timer)) => {
                if timer.step.is_some_and(|held| held <= step) {
                    *self = Self::Cleared;
                }
            }
            (DueTime::Settled { step }, Self::EarlierCleared(before)) => {
                *self = Self::EarlierCleared(step.max(*before));
            }
            (DueTime::Settled { .. }, Self::Cleared) => {}
        }
    }
}

#[cfg(test)]
mod tests;
