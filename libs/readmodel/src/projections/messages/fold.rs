//! The fold of one page of the log: rows and events in, changed rows out. No I/O and no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hatch_domain::ids::{ConversationId, MessageId, TenantId, is_provider_id};
use hatch_domain::message::AGGREGATE;
use hatch_domain::message::event::MessageEvent;
use hatch_eventstore::{Position, RecordedEvent};
use uuid::Uuid;

use super::conversation::{ConversationRow, preview_of};
use super::joined::{Elsewhere, JoinedMessage};
use super::message::{MessageContent, files_of};
use super::state::MessageState;
use crate::Error;

/// The version of a stream's first event.
const FIRST_VERSION: i64 = 1;

/// An event of a message, decoded.
pub(crate) struct MessageFact {
    position: Position,
    event_type: String,
    message_id: MessageId,
    tenant_id: TenantId,
    version: i64,
    event: MessageEvent,
}

/// The events of `page` that are about messages, in log order. Events of other aggregates are not
/// this projection's business.
///
/// # Errors
/// [`Error::Undecodable`] for a message event that this build does not know: it is never skipped.
pub(crate) fn message_facts(page: &[Arc<RecordedEvent>]) -> Result<Vec<MessageFact>, Error> {
    page.iter().filter(|recorded| recorded.aggregate == AGGREGATE).map(|r| fact(r)).collect()
}

fn fact(recorded: &RecordedEvent) -> Result<MessageFact, Error> {
    let event = recorded.decode().map_err(|source| Error::Undecodable {
        position: recorded.position,
        event_type: recorded.event_type.clone(),
        source,
    })?;
    Ok(MessageFact {
        position: recorded.position,
        event_type: recorded.event_type.clone(),
        message_id: MessageId(recorded.stream_id),
        tenant_id: TenantId(recorded.tenant_id),
        version: recorded.version,
        event,
    })
}

impl MessageFact {
    pub(crate) const fn message_id(&self) -> MessageId {
        self.message_id
    }
}

/// The messages whose rows exist already and that `facts` go on with, without those that are `known`.
pub(crate) fn messages_to_load(
    facts: &[MessageFact],
    known: &BTreeMap<MessageId, StateRow>,
) -> Vec<Uuid> {
    let mut first_seen: BTreeMap<Uuid, i64> = BTreeMap::new();
    for fact in facts.iter().filter(|fact| !known.contains_key(&fact.message_id)) {
        first_seen.entry(fact.message_id.0).or_insert(fact.version);
    }
    first_seen
        .into_iter()
        .filter_map(|(id, version)| (version != FIRST_VERSION).then_some(id))
        .collect()
}

/// The conversations that `facts` add a message to, or that have one which reads otherwise.
pub(crate) fn conversations_to_load(facts: &[MessageFact]) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = facts
        .iter()
        .filter_map(|fact| match &fact.event {
            MessageEvent::MessageRequested(event) => Some(event.conversation_id.0),
            MessageEvent::MessageReceived(event) => Some(event.conversation_id.0),
            MessageEvent::MessageReread(event) => Some(event.message.conversation_id.0),
            MessageEvent::MessageJoinedConversation(event) => Some(event.conversation_id.0),
            _ => None,
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The messages that `facts` read again: the conversations that they joined before have to be loaded.
pub(crate) fn messages_reread(facts: &[MessageFact]) -> Vec<MessageId> {
    let reread = |fact: &&MessageFact| matches!(fact.event, MessageEvent::MessageReread(_));
    facts.iter().filter(reread).map(MessageFact::message_id).collect()
}

/// The messages that began before `facts`, and join a conversation by them: what they say has to be loaded.
pub(crate) fn messages_joining(facts: &[MessageFact]) -> Vec<MessageId> {
    let of = |wanted: fn(&MessageFact) -> bool| {
        facts.iter().filter(move |fact| wanted(fact)).map(MessageFact::message_id)
    };
    let began: BTreeSet<MessageId> = of(|fact| fact.version == FIRST_VERSION).collect();
    let joins =
        |fact: &MessageFact| matches!(fact.event, MessageEvent::MessageJoinedConversation(_));
    of(joins).filter(|id| !began.contains(id)).collect()
}

/// A message whose content is written already.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StateRow {
    pub(crate) created_position: Position,
    pub(crate) tenant_id: TenantId,
    pub(crate) state: MessageState,
}

/// What a provider calls one attempt of an outbound message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProviderMessage {
    /// The event that it was learned from.
    pub(crate) position: Position,
    pub(crate) tenant_id: TenantId,
    pub(crate) provider: String,
    pub(crate) provider_message_id: String,
    pub(crate) account: String,
    pub(crate) message_id: MessageId,
    pub(crate) attempt: u32,
}

/// Where a file of a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttachmentRow {
    pub(crate) tenant_id: TenantId,
    pub(crate) id: Uuid,
    /// The event that brings it.
    pub(crate) position: Position,
    /// Its place among the files of that event.
    pub(crate) place: usize,
}

/// The rows that a page touches: as they were loaded, and then as they are to be written. Ordered
/// maps, so that two writers of the same rows would lock them in the same order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct MessageRows {
    /// Messages that began in this page.
    pub(crate) contents: Vec<MessageContent>,
    /// Messages that were read again in this page, by their first event; the last reading of each.
    pub(crate) reread: BTreeMap<Position, MessageContent>,
    pub(crate) states: BTreeMap<MessageId, StateRow>,
    /// Learned in this page.
    pub(crate) provider_messages: Vec<ProviderMessage>,
    pub(crate) conversations: BTreeMap<ConversationId, ConversationRow>,
    /// The files that came in this page.
    pub(crate) attachments: Vec<AttachmentRow>,
    /// The messages that joined a further conversation in this page.
    pub(crate) joined: Vec<JoinedMessage>,
    /// How messages read that began before this page, and join or were read again in it.
    pub(crate) elsewhere: Elsewhere,
    /// Conversations that began in this page.
    pub(crate) opened: Vec<ConversationId>,
}

impl MessageRows {
    /// Applies one page, in order.
    ///
    /// # Errors
    /// [`Error::Misplaced`] when an event does not fit its message's row, which no log that hatch
    /// wrote can do.
    pub(crate) fn after(self, facts: &[MessageFact]) -> Result<Self, Error> {
        let known = (self.contents.len(), self.joined.len());
        Ok(self.messages_after(facts)?.conversations_after(known))
    }

    /// Applies one page, in order, to the messages alone. What they do to their conversations is left
    /// to [`conversations_after`](Self::conversations_after).
    ///
    /// # Errors
    /// As [`after`](Self::after).
    pub(crate) fn messages_after(mut self, facts: &[MessageFact]) -> Result<Self, Error> {
        for fact in facts {
            self.apply(fact)?;
        }
        Ok(self)
    }

    /// The conversations of the messages that began, joined or were read again, each once.
    pub(crate) fn conversations_joined(&self) -> Vec<Uuid> {
        let contents = self.contents.iter().chain(self.reread.values());
        let began = contents.map(|content| content.conversation_id);
        let joined = self.joined.iter().map(|joined| joined.conversation_id);
        let mut ids: Vec<Uuid> =
            began.chain(joined).chain(self.elsewhere.conversations()).map(|id| id.0).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Adds the messages that began and those that joined to their conversations, in order, without the first `known`
    /// of each, which are in them.
    pub(crate) fn conversations_after(mut self, (began, joined): (usize, usize)) -> Self {
        let mut entries: Vec<Entry> = (began..self.contents.len()).map(Entry::Began).collect();
        entries.extend((joined..self.joined.len()).map(Entry::Joined));
        entries.sort_by_key(|entry| match entry {
            Entry::Began(n) => self.contents[*n].created_position,
            Entry::Joined(n) => self.joined[*n].position,
        });
        for entry in entries {
            let id = match entry {
                Entry::Began(n) => self.contents[n].conversation_id,
                Entry::Joined(n) => self.joined[n].conversation_id,
            };
            let before = self.conversations.remove(&id);
            if before.is_none() {
                self.opened.push(id);
            }
            let row = match entry {
                Entry::Began(n) => ConversationRow::with(before, &self.contents[n]),
                Entry::Joined(n) => {
                    let joined = &self.joined[n];
                    ConversationRow::joined_by(before, joined, self.preview_of(joined))
                }
            };
            self.conversations.insert(id, row);
        }
        for content in self.reread.values() {
            let here = self.joined.iter().filter(|joined| joined.message_id == content.id);
            let joined = here.map(|joined| joined.conversation_id);
            let before = self.elsewhere.conversations_of(content.id);
            for id in std::iter::once(content.conversation_id).chain(joined).chain(before) {
                if let Some(conversation) = self.conversations.get_mut(&id) {
                    conversation.reread(content);
                }
            }
        }
        self
    }

    /// The beginning of what a message says that joins a conversation. Where it is read again, before or after, the
    /// latest reading counts, as it does for rows that are there.
    fn preview_of(&self, joined: &JoinedMessage) -> Option<String> {
        let reread = self.reread.get(&joined.created_position);
        // They are in the order of the log.
        let place = self
            .contents
            .binary_search_by_key(&joined.created_position, |content| content.created_position);
        match reread.or_else(|| self.contents.get(place.ok()?)) {
            Some(content) => preview_of(content),
            None => self.elsewhere.preview_of(joined.message_id),
        }
    }

    fn apply(&mut self, fact: &MessageFact) -> Result<(), Error> {
        let MessageFact { position, message_id, tenant_id, ref event, .. } = *fact;
        let begun = MessageContent::begun_by(event, position, message_id, tenant_id);
        let before = match (self.states.remove(&message_id), begun) {
            (Some(row), None) if row.state.position < position => row,
            (None, Some(content)) => {
                let state = MessageState::new(content.created_at, position);
                self.contents.push(content);
                StateRow { created_position: position, tenant_id, state }
            }
            _ => {
                let event_type = fact.event_type.clone();
                return Err(Error::Misplaced { position, event_type });
            }
        };
        if let MessageEvent::MessageJoinedConversation(event) = event {
            let began = (before.created_position, message_id, tenant_id);
            self.joined.push(JoinedMessage::by(event, position, began));
        }
        for (place, file) in files_of(event).iter().enumerate() {
            let id = file.id(message_id, place);
            self.attachments.push(AttachmentRow { tenant_id, id, position, place });
        }
        let began = before.created_position;
        if let Some(content) = MessageContent::reread_by(event, began, message_id, tenant_id) {
            self.reread.insert(began, content);
        }
        let called_before = before.state.provider_message_id.clone();
        let row = StateRow { state: before.state.after(event, position), ..before };
        let outbound = !matches!(
            event,
            MessageEvent::MessageReceived(_)
                | MessageEvent::MessageReread(_)
                | MessageEvent::MessageJoinedConversation(_)
        );
        if outbound && row.state.provider_message_id != called_before {
            self.provider_messages.extend(provider_message(message_id, &row));
        }
        self.states.insert(message_id, row);
        Ok(())
    }
}

/// A message after `events`, the beginning of its stream; none when that begins no message.
///
/// # Errors
/// As [`message_facts`] and [`MessageRows::after`].
pub(crate) fn fold_message(
    events: &[Arc<RecordedEvent>],
) -> Result<Option<(MessageContent, MessageState)>, Error> {
    let MessageRows { contents, reread, states, .. } =
        MessageRows::default().after(&message_facts(events)?)?;
    let state = states.into_values().next().map(|row| row.state);
    let content = reread.into_values().next().or_else(|| contents.into_iter().next());
    Ok(content.zip(state))
}

/// A conversation with the messages at `places`, each later in the log than all that it had: by the event where its part
/// in the conversation begins, and by its first one, which are the same for most. `events` are all of these.
///
/// # Errors
/// As [`message_facts`].
pub(crate) fn fold_conversation(
    before: Option<ConversationRow>,
    places: &[(Position, Position)],
    events: &[Arc<RecordedEvent>],
) -> Result<Option<ConversationRow>, Error> {
    let (mut contents, mut joined) = (BTreeMap::new(), BTreeMap::new());
    for MessageFact { position, message_id, tenant_id, event, .. } in message_facts(events)? {
        if let MessageEvent::MessageJoinedConversation(event) = &event {
            joined.insert(position, (event.clone(), message_id, tenant_id));
        } else if let Some(content) =
            MessageContent::begun_by(&event, position, message_id, tenant_id)
        {
            contents.insert(position, content);
        }
    }
    let mut row = before;
    for (place, began) in places {
        let Some(content) = contents.get(began) else { continue };
        row = match joined.get(place) {
            Some((event, message_id, tenant_id)) => {
                let began = (*began, *message_id, *tenant_id);
                let joined = JoinedMessage::by(event, *place, began);
                Some(ConversationRow::joined_by(row, &joined, preview_of(content)))
            }
            None => Some(ConversationRow::with(row, content)),
        };
    }
    Ok(row)
}

/// How a message comes into a conversation, by its number among those of the page.
#[derive(Clone, Copy)]
enum Entry {
    Began(usize),
    Joined(usize),
}

/// What the provider calls the current attempt, if it is known. The late answer to a former attempt
/// is not kept: its account is no longer in the row, and its receipts mostly carry our own ids.
fn provider_message(message_id: MessageId, row: &StateRow) -> Option<ProviderMessage> {
    let state = &row.state;
    Some(ProviderMessage {
        position: state.position,
        tenant_id: row.tenant_id,
        provider: state.provider.clone()?,
        // One that no index takes is only shown.
        provider_message_id: state.provider_message_id.clone().filter(|id| is_provider_id(id))?,
        account: state.account.clone()?,
        message_id,
        attempt: state.progress.attempt,
    })
}
