//! The fold of events into timers. Pure: what the table holds is not known here, so a fold is a list
//! of what is to be done to it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use hatch_domain::ids::is_provider_id;
use hatch_domain::message::AGGREGATE;
use hatch_domain::message::due::Due;
use hatch_domain::message::event::MessageEvent;
use hatch_domain::{Channel, Priority};
use hatch_eventstore::{Position, RecordedEvent};
use uuid::Uuid;

/// What the projection needs of one event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fact {
    pub(crate) position: Position,
    pub(crate) epoch: i32,
    pub(crate) recorded_at: DateTime<Utc>,
    /// None of an event that is no message's.
    pub(crate) message: Option<MessageFact>,
}

/// What an event says of its message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MessageFact {
    pub(crate) tenant_id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) due: Due,
    /// The message has no earlier event.
    pub(crate) begins: bool,
    /// What a provider calls it, and in which attempt it took it.
    pub(crate) provider_id: Option<(String, u32)>,
    /// Where it travels; none when this build does not know the channel.
    pub(crate) channel: Option<Channel>,
    pub(crate) priority: Priority,
    /// This build cannot read the event. Somebody has to look at the message at once: who can read it finds
    /// its true time.
    pub(crate) undecodable: bool,
}

impl Fact {
    pub(crate) fn of(recorded: &RecordedEvent) -> Self {
        let message = (recorded.aggregate == AGGREGATE).then(|| match recorded.decode() {
            Ok(event) => MessageFact::of(recorded, &event),
            Err(_) => MessageFact::undecodable(recorded),
        });
        let RecordedEvent { position, epoch, recorded_at, .. } = *recorded;
        Self { position, epoch, recorded_at, message }
    }

    /// Whether this build cannot read the event.
    pub(crate) fn is_undecodable(&self) -> bool {
        self.message.as_ref().is_some_and(|message| message.undecodable)
    }
}

impl MessageFact {
    fn of(recorded: &RecordedEvent, event: &MessageEvent) -> Self {
        use MessageEvent as E;
        let provider_id = match event {
            E::MessageSent(e) => Some((e.provider_message_id.clone(), e.attempt)),
            E::MessageDelivered(e) => Some((e.provider_message_id.clone(), e.attempt)),
            E::MessageUndelivered(e) => Some((e.provider_message_id.clone(), e.attempt)),
            E::MessageRead(e) => Some((e.provider_message_id.clone(), e.attempt)),
            _ => None,
        };
        Self {
            // The log may hold one that no index takes. No receipt without our ids is of it then.
            provider_id: provider_id.filter(|(id, _)| is_provider_id(id)),
            due: event.due(),
            ..Self::routed(recorded)
        }
    }

    fn undecodable(recorded: &RecordedEvent) -> Self {
        Self { undecodable: true, ..Self::routed(recorded) }
    }

    /// What every event says, read or not.
    fn routed(recorded: &RecordedEvent) -> Self {
        let (channel, priority) = (recorded.channel.as_deref(), recorded.priority.as_deref());
        let channel = Channel::ALL.into_iter().find(|known| Some(known.as_str()) == channel);
        let priority = Priority::ALL.into_iter().find(|known| Some(known.as_str()) == priority);
        Self {
            tenant_id: recorded.tenant_id,
            message_id: recorded.stream_id,
            due: Due::At { attempt: None, at: recorded.recorded_at },
            begins: recorded.version == 1,
            provider_id: None,
            channel,
            priority: priority.unwrap_or_default(),
            undecodable: false,
        }
    }
}

/// What is to be done to the tables.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Fold {
    changes: HashMap<Uuid, Change>,
    pub(crate) provider_ids: Vec<ProviderId>,
}

/// A timer as an event sets it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Timer {
    pub(crate) tenant_id: Uuid,
    pub(crate) due_at: DateTime<Utc>,
    /// The attempt that it speaks of; none: the next one.
    pub(crate) attempt: Option<u32>,
    pub(crate) position: Position,
    pub(crate) channel: Option<Channel>,
    pub(crate) priority: Priority,
    /// This build cannot read the event.
    pub(crate) undecodable: bool,
}

/// Whose message a provider's id is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProviderId {
    pub(crate) provider_message_id: String,
    pub(crate) tenant_id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) attempt: u32,
}

#[derive(Debug, PartialEq)]
struct Change {
    /// The message began in this fold: the table has no row of it.
    began: bool,
    to: To,
}

#[derive(Debug, PartialEq)]
enum To {
    /// This timer.
    Set(Timer),
    /// No timer of this attempt or an earlier one; one of a later attempt stays.
    EarlierCleared(u32),
    /// No timer.
    Cleared,
}

impl Fold {
    /// Folds `facts`. What comes after them in the log is known already, as far as `ahead` reaches:
    /// a timer that is settled there need not be written, because whoever goes on from the end of
    /// `facts` meets what settles it.
    pub(crate) fn of<'a>(
        facts: impl Iterator<Item = &'a Fact>,
        ahead: impl Iterator<Item = &'a Fact>,
    ) -> Self {
        let mut fold = Self::default();
        for fact in facts {
            let Some(message) = &fact.message else { continue };
            fold.take(message, fact.position);
            fold.provider_ids.extend(message.provider_id.iter().map(|(id, attempt)| ProviderId {
                provider_message_id: id.clone(),
                tenant_id: message.tenant_id,
                message_id: message.message_id,
                attempt: *attempt,
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

    /// The messages whose timer goes, with the attempt up to which it does.
    pub(crate) fn cleared(&self) -> impl Iterator<Item = (&Uuid, Option<u32>)> {
        self.changes.iter().filter(|(_, change)| !change.began).filter_map(|(id, change)| {
            match change.to {
                To::Set(_) => None,
                To::EarlierCleared(attempt) => Some((id, Some(attempt))),
                To::Cleared => Some((id, None)),
            }
        })
    }

    fn take(&mut self, fact: &MessageFact, position: Position) {
        let change = self.changes.entry(fact.message_id);
        let before = change.or_insert(Change { began: fact.begins, to: To::EarlierCleared(0) });
        before.to.after(fact, position);
    }

    fn look_ahead<'a>(&mut self, ahead: impl Iterator<Item = &'a Fact>) {
        let mut later: HashMap<Uuid, To> = HashMap::new();
        for fact in ahead {
            let Some(message) = &fact.message else { continue };
            if let Some((id, timer)) = self.timer(message.message_id) {
                later
                    .entry(id)
                    .or_insert_with(|| To::Set(timer.clone()))
                    .after(message, fact.position);
            }
        }
        for (id, to) in later {
            if let (To::Cleared, Some(change)) = (to, self.changes.get_mut(&id)) {
                change.to = To::Cleared;
            }
        }
    }

    fn timer(&self, message_id: Uuid) -> Option<(Uuid, &Timer)> {
        match &self.changes.get(&message_id)?.to {
            To::Set(timer) => Some((message_id, timer)),
            _ => None,
        }
    }
}

impl To {
    fn after(&mut self, fact: &MessageFact, position: Position) {
        match (fact.due, &*self) {
            (Due::At { attempt, at }, _) => {
                let MessageFact { tenant_id, channel, priority, undecodable, .. } = *fact;
                *self = Self::Set(Timer {
                    tenant_id,
                    due_at: at,
                    attempt,
                    position,
                    channel,
                    priority,
                    undecodable,
                });
            }
            (Due::Over, _) => *self = Self::Cleared,
            (Due::Settled { attempt }, Self::Set(timer)) => {
                if timer.attempt.is_some_and(|held| held <= attempt) {
                    *self = Self::Cleared;
                }
            }
            (Due::Settled { attempt }, Self::EarlierCleared(before)) => {
                *self = Self::EarlierCleared(attempt.max(*before));
            }
            (Due::Settled { .. }, Self::Cleared) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use hatch_domain::message::event::{
        AttemptAbandoned, MessageDeferred, MessageDelivered, MessageSent, RetryRequested,
        SendFailed,
    };
    use hatch_domain::{ErrorClass, SendError};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{at, attempted, requested};

    const MESSAGE: Uuid = Uuid::from_u128(7);

    fn sent(attempt: u32) -> MessageEvent {
        let provider_message_id = format!("SM{attempt}");
        MessageSent { attempt, provider_message_id, segments: None, at: at(2) }.into()
    }

    fn failed(attempt: u32) -> MessageEvent {
        let class = ErrorClass::Other;
        let error =
            SendError { code: "x".to_owned(), class, detail: "x".to_owned(), permanent: false };
        SendFailed { attempt, error, retry_at: Some(at(20)), at: at(2) }.into()
    }

    fn delivered(attempt: u32) -> MessageEvent {
        let provider_message_id = format!("SM{attempt}");
        let receipt_id = Uuid::nil();
        MessageDelivered { attempt, provider_message_id, receipt_id, at: at(2) }.into()
    }

    fn facts(first_position: i64, events: &[MessageEvent]) -> Vec<Fact> {
        (first_position..)
            .zip(events)
            .map(|(position, event)| Fact {
                position: Position(position),
                epoch: 1,
                recorded_at: at(0),
                message: Some(MessageFact {
                    tenant_id: Uuid::nil(),
                    message_id: MESSAGE,
                    due: event.due(),
                    begins: position == 1,
                    provider_id: None,
                    channel: Some(Channel::Sms),
                    priority: Priority::Normal,
                    undecodable: false,
                }),
            })
            .collect()
    }

    /// What a table that begins empty holds after `fold`.
    fn write(table: &mut Option<Timer>, fold: &Fold) {
        for (_, upto) in fold.cleared() {
            let goes = |timer: &Timer| match upto {
                Some(upto) => timer.attempt.is_some_and(|attempt| attempt <= upto),
                None => true,
            };
            if table.as_ref().is_some_and(goes) {
                *table = None;
            }
        }
        for (_, timer) in fold.set() {
            *table = Some(timer.clone());
        }
    }

    fn fold(events: &[MessageEvent]) -> Fold {
        Fold::of(facts(1, events).iter(), std::iter::empty())
    }

    #[test]
    fn what_begins_and_ends_in_a_page_writes_nothing() {
        let fold = fold(&[requested(), attempted(1), sent(1), delivered(1)]);
        assert_eq!((fold.set().count(), fold.cleared().count()), (0, 0));
    }

    #[test]
    fn what_is_settled_just_ahead_writes_nothing() {
        let all = facts(1, &[requested(), attempted(1), sent(1)]);
        let fold = Fold::of(all[..1].iter(), all[1..].iter());
        assert_eq!((fold.set().count(), fold.cleared().count()), (0, 0));
        let under_way = Fold::of(all[..1].iter(), all[1..2].iter());
        let timers: Vec<_> = under_way.set().map(|(_, timer)| timer.position).collect();
        assert_eq!(timers, [Position(1)], "as of its checkpoint");
    }

    #[test]
    fn what_is_under_way_has_the_time_of_its_last_word() {
        let fold = fold(&[requested(), attempted(1), failed(1)]);
        let (_, timer) = fold.set().next().expect("a timer");
        assert_eq!((timer.attempt, timer.due_at), (Some(1), at(20)));
    }

    #[test]
    fn a_late_word_of_an_old_attempt_does_not_clear_a_later_ones_time() {
        let history = [requested(), attempted(1), failed(1), attempted(2)];
        let mut table = None;
        write(&mut table, &fold(&history));
        let late = facts(5, &[sent(1)]);
        write(&mut table, &Fold::of(late.iter(), std::iter::empty()));
        assert_eq!(table.as_ref().map(|timer| timer.attempt), Some(Some(2)));
        let own = facts(6, &[sent(2)]);
        write(&mut table, &Fold::of(own.iter(), std::iter::empty()));
        assert_eq!(table, None);
    }

    #[test]
    fn no_word_of_an_earlier_attempt_clears_the_time_of_a_new_round() {
        let mut table = None;
        write(&mut table, &fold(&[requested(), attempted(1), RetryRequested { at: at(7) }.into()]));
        let late = facts(4, &[sent(1)]);
        write(&mut table, &Fold::of(late.iter(), std::iter::empty()));
        assert_eq!(table.map(|timer| timer.due_at), Some(at(7)));
    }

    #[test]
    fn what_cannot_be_read_is_looked_at_until_the_message_is_over() {
        let mut history = facts(1, &[requested(), attempted(1), sent(1)]);
        let unread = history[1].message.as_mut().expect("a message's");
        (unread.undecodable, unread.due) = (true, Due::At { attempt: None, at: at(0) });
        let marked = |fold: &Fold| fold.set().any(|(_, timer)| timer.undecodable);
        let ahead = || std::iter::empty();
        assert!(marked(&Fold::of(history.iter(), ahead())), "also when an attempt is settled");
        let over = facts(4, &[delivered(1)]);
        assert!(!marked(&Fold::of(history.iter().chain(&over), ahead())));
        let again = facts(4, &[RetryRequested { at: at(7) }.into()]);
        let again = Fold::of(history.iter().chain(&again), ahead());
        let (_, timer) = again.set().next().expect("a timer");
        assert_eq!((timer.undecodable, timer.due_at), (false, at(7)), "who looks then, finds out");
    }

    fn any_event() -> impl Strategy<Value = MessageEvent> {
        let abandoned =
            |attempt| AttemptAbandoned { attempt, reason: None, retry_at: at(9), at: at(3) }.into();
        let deferred =
            MessageDeferred { reason: "rate".to_owned(), until: at(30), at: at(3) }.into();
        prop_oneof![
            (1..4_u32).prop_map(attempted),
            (1..4_u32).prop_map(sent),
            (1..4_u32).prop_map(failed),
            (1..4_u32).prop_map(delivered),
            (1..4_u32).prop_map(abandoned),
            Just(deferred),
            Just(RetryRequested { at: at(7) }.into()),
        ]
    }

    proptest! {
        #[test]
        fn however_the_log_is_cut_into_pages_the_table_ends_the_same(
            rest in prop::collection::vec(any_event(), 0..20),
            cuts in prop::collection::vec(0..20_usize, 0..4),
        ) {
            let events: Vec<_> = std::iter::once(requested()).chain(rest).collect();
            let all = facts(1, &events);
            let mut whole = None;
            write(&mut whole, &Fold::of(all.iter(), std::iter::empty()));
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(all.len())).collect();
            cuts.push(all.len());
            cuts.sort_unstable();
            let (mut table, mut done) = (None, 0);
            for cut in cuts {
                write(&mut table, &Fold::of(all[done..cut].iter(), all[cut..].iter()));
                done = cut;
            }
            prop_assert_eq!(table, whole);
        }
    }
}
