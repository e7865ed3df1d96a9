//! The tables of the projection: what is written of each row, and what is loaded of those that a page touches.

use std::collections::{BTreeMap, HashSet};

use futures::try_join;
use hatch_domain::SendError;
use hatch_domain::consent::Programme;
use hatch_domain::ids::{ConversationId, MessageId, TenantId};
use hatch_domain::message::recipients::Recipients;
use hatch_domain::message::status::{AttemptStatus, Status};
use hatch_eventstore::Position;
use hatch_eventstore::values::{integer, natural};
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::conversation::{ConversationRow, LastMessage, preview_of_texts};
use super::fold::{
    AttachmentRow, MessageFact, MessageRows, ProviderMessage, StateRow, conversations_to_load,
    messages_joining, messages_reread, messages_to_load,
};
use super::joined::{Elsewhere, JoinedMessage};
use super::message::MessageContent;
use super::state::MessageState;
use crate::Error;
use crate::engine::{WriteContext, table};

const LOAD_STATES: &str = "
    SELECT m.id, s.created_position, s.tenant_id, s.status, s.attempts, s.provider, s.account,
           s.provider_message_id, s.next_attempt_at, s.error, s.segments, s.sent_at, s.delivered_at,
           s.read_at, s.updated_at, s.position, s.recipients
      FROM rm_messages_v1.messages m
      JOIN rm_messages_v1.message_states s USING (created_position)
     WHERE m.id = ANY($1)";

const LOAD_CONVERSATIONS: &str = "
    SELECT id, tenant_id, participants, topic, channels, message_count, unread_count, last_message,
           last_message_position, created_at, updated_at
      FROM rm_messages_v1.conversations
     WHERE id = ANY($1)";

const LOAD_TEXTS: &str = "
    SELECT id, visible_body, body, subject
      FROM rm_messages_v1.messages
     WHERE id = ANY($1)";

const LOAD_JOINED: &str = "
    SELECT message_id, conversation_id
      FROM rm_messages_v1.joined_messages
     WHERE message_id = ANY($1)";

table! {
    /// What the first event of a message fixes.
    static CONTENTS: MessageContent = "rm_messages_v1.messages", row => {
        key created_position: "bigint" = row.created_position.0,
        fixed id: "uuid" = row.id.0,
        key tenant_id: "uuid" = row.tenant_id.0,
        fixed conversation_id: "uuid" = row.conversation_id.0,
        fixed contact_id: "uuid" = row.contact_id,
        fixed direction: "text" = row.direction.as_str(),
        fixed channel: "text" = row.channel,
        fixed from_address: "text" = row.from.as_str(),
        fixed to_addresses: "json" = Json(&row.to),
        fixed cc: "json" = Json(&row.cc),
        fixed bcc: "json" = Json(&row.bcc),
        fixed subject: "text" = row.subject.as_deref(),
        fixed body: "text" = row.body.as_deref(),
        fixed html: "text" = row.html.as_deref(),
        fixed attachments: "json" = &row.attachments,
        fixed metadata: "json" = &row.metadata,
        fixed created_at: "timestamptz" = row.created_at,
        fixed scheduled_at: "timestamptz" = row.scheduled_at,
        fixed authentication: "json" = row.authentication.as_ref().map(Json),
        fixed cut: "json" = row.cut.as_ref().map(Json),
        fixed people: "json" = row.people.as_ref().map(Json),
        fixed message_id_header: "text" = row.message_id_header(),
        fixed programme: "text" = row.programme.as_ref().map(Programme::as_str),
        fixed suggests: "text" = row.suggests,
        fixed kind: "text" = row.kind,
        fixed mail: "json" = row.mail.as_ref().map(Json),
        fixed visible_body: "text" = row.visible_body.as_deref(),
        fixed test: "boolean" = row.test,
    }

    /// What a new reading of a message changes.
    static READINGS: MessageContent = "rm_messages_v1.messages", row => {
        key created_position: "bigint" = row.created_position.0,
        key tenant_id: "uuid" = row.tenant_id.0,
        moving cc: "json" = Json(&row.cc),
        moving subject: "text" = row.subject.as_deref(),
        moving body: "text" = row.body.as_deref(),
        moving html: "text" = row.html.as_deref(),
        moving attachments: "json" = &row.attachments,
        moving authentication: "json" = row.authentication.as_ref().map(Json),
        moving cut: "json" = row.cut.as_ref().map(Json),
        moving people: "json" = row.people.as_ref().map(Json),
        moving kind: "text" = row.kind,
        moving mail: "json" = row.mail.as_ref().map(Json),
        moving visible_body: "text" = row.visible_body.as_deref(),
    }

    /// Where a message stands. What is known to exist is updated: ON CONFLICT would look for each row first, and
    /// write in the WAL that it locks it.
    static STATES: StateRow = "rm_messages_v1.message_states", row => {
        key created_position: "bigint" = row.created_position.0,
        fixed tenant_id: "uuid" = row.tenant_id.0,
        moving status: "text" = row.state.progress.status.as_str(),
        moving attempts: "integer" = integer(row.state.progress.attempt),
        moving provider: "text" = row.state.provider.as_deref(),
        moving account: "text" = row.state.account.as_deref(),
        moving provider_message_id: "text" = row.state.provider_message_id.as_deref(),
        moving next_attempt_at: "timestamptz" = row.state.next_attempt_at,
        moving error: "json" = row.state.error.as_ref().map(Json),
        moving segments: "integer" = row.state.segments.map(integer),
        moving sent_at: "timestamptz" = row.state.sent_at,
        moving delivered_at: "timestamptz" = row.state.delivered_at,
        moving read_at: "timestamptz" = row.state.read_at,
        moving updated_at: "timestamptz" = row.state.updated_at,
        moving position: "bigint" = row.state.position.0,
        moving recipients: "json" = kept(&row.state.recipients),
    }

    static MESSAGE_PARTICIPANTS: ParticipantRow<Position> = "rm_messages_v1.message_participants", row => {
        key tenant_id: "uuid" = row.tenant_id.0,
        key address: "text" = row.address.as_str(),
        key created_position: "bigint" = row.of.0,
    }

    /// If two events bring the same file to the same place of a message, the first one has it.
    static ATTACHMENTS: AttachmentRow = "rm_messages_v1.attachments", row => {
        key tenant_id: "uuid" = row.tenant_id.0,
        key id: "uuid" = row.id,
        fixed position: "bigint" = row.position.0,
        fixed place: "integer" = i32::try_from(row.place).unwrap_or(i32::MAX),
    }

    static JOINED_MESSAGES: JoinedMessage = "rm_messages_v1.joined_messages", row => {
        key tenant_id: "uuid" = row.tenant_id.0,
        key conversation_id: "uuid" = row.conversation_id.0,
        key position: "bigint" = row.position.0,
        fixed created_position: "bigint" = row.created_position.0,
        fixed message_id: "uuid" = row.message_id.0,
        fixed mailbox: "text" = row.mailbox.as_str(),
    }

    static PROVIDER_MESSAGES: ProviderMessage = "rm_messages_v1.provider_messages", row => {
        key tenant_id: "uuid" = row.tenant_id.0,
        key provider: "text" = row.provider.as_str(),
        key provider_message_id: "text" = row.provider_message_id.as_str(),
        key account: "text" = row.account.as_str(),
        fixed message_id: "uuid" = row.message_id.0,
        fixed attempt: "integer" = integer(row.attempt),
    }

    static CONVERSATIONS: ConversationRow = "rm_messages_v1.conversations", row => {
        key id: "uuid" = row.id.0,
        fixed tenant_id: "uuid" = row.tenant_id.0,
        fixed participants: "json" = Json(&row.participants),
        fixed topic: "text" = row.topic.as_deref(),
        moving channels: "jsonb" = Json(&row.channels),
        fixed state: "text" = OPEN,
        fixed labels: "jsonb" = Json(NO_LABELS),
        moving message_count: "bigint" = row.message_count,
        moving unread_count: "bigint" = row.unread_count,
        moving last_message: "json" = Json(&row.last_message),
        moving last_message_position: "bigint" = row.last_message_position.0,
        fixed metadata: "json" = Json(NoNotes {}),
        fixed created_at: "timestamptz" = row.created_at,
        moving updated_at: "timestamptz" = row.updated_at,
    }

    static CONVERSATION_PARTICIPANTS: ParticipantRow<ConversationId> = "rm_messages_v1.conversation_participants", row => {
        key tenant_id: "uuid" = row.tenant_id.0,
        key address: "text" = row.address.as_str(),
        key conversation_id: "uuid" = row.of.0,
    }

    /// If two mails carry the same Message-ID, replies belong to the first.
    static MAILS: MailRow = "rm_messages_v1.mails", row => {
        key tenant_id: "uuid" = row.tenant_id.0,
        key mail_id: "text" = row.mail_id.as_str(),
        fixed message_id: "uuid" = row.message_id.0,
        fixed conversation_id: "uuid" = row.conversation_id.0,
    }
}

/// The state of every conversation, until events say otherwise; and the labels and notes.
const OPEN: &str = "open";
const NO_LABELS: [&str; 0] = [];

#[derive(Debug, Serialize)]
struct NoNotes {}

/// Who takes part in a message or a conversation.
struct ParticipantRow<Of> {
    tenant_id: TenantId,
    address: String,
    of: Of,
}

/// What a mail calls itself, and where it belongs.
struct MailRow {
    tenant_id: TenantId,
    mail_id: String,
    message_id: MessageId,
    conversation_id: ConversationId,
}

/// Bytes of a Message-ID that is kept (RFC 5322, section 2.1.1: of a whole line). An index takes no
/// more than some 2,700.
const MAIL_ID_BYTES_MAX: usize = 998;

/// The statements by which [`load`] reads.
pub(super) const READS: &[&str] = &[LOAD_STATES, LOAD_CONVERSATIONS, LOAD_TEXTS, LOAD_JOINED];

/// The rows that exist of what `facts` change, with those of messages that are `known`.
pub(crate) async fn load(
    target: WriteContext<'_>,
    facts: &[MessageFact],
    known: BTreeMap<MessageId, StateRow>,
) -> Result<MessageRows, Error> {
    let elsewhere =
        load_elsewhere(target, &messages_joining(facts), &messages_reread(facts)).await?;
    let mut ids = conversations_to_load(facts);
    ids.extend(elsewhere.conversations().map(|id| id.0));
    ids.sort_unstable();
    ids.dedup();
    let (states, conversations) =
        try_join!(load_states(target, facts, known), load_conversations(target, &ids))?;
    Ok(MessageRows { states, conversations, elsewhere, ..MessageRows::default() })
}

/// What the messages say that are `joining` a conversation, and which conversations those have joined that are `reread`.
/// Asks nothing for a page that has neither, as nearly all have.
pub(crate) async fn load_elsewhere(
    target: WriteContext<'_>,
    joining: &[MessageId],
    reread: &[MessageId],
) -> Result<Elsewhere, Error> {
    let ids = |messages: &[MessageId]| messages.iter().map(|id| id.0).collect::<Vec<Uuid>>();
    let mut elsewhere = Elsewhere::default();
    if !joining.is_empty() {
        for row in target.query(LOAD_TEXTS, &ids(joining)).await? {
            let texts =
                [row.try_get("visible_body")?, row.try_get("body")?, row.try_get("subject")?];
            let id = MessageId(row.try_get("id")?);
            elsewhere.previews.insert(id, preview_of_texts(texts));
        }
    }
    if !reread.is_empty() {
        for row in target.query(LOAD_JOINED, &ids(reread)).await? {
            let id = MessageId(row.try_get("message_id")?);
            elsewhere.joined.push((id, ConversationId(row.try_get("conversation_id")?)));
        }
    }
    Ok(elsewhere)
}

/// Where the messages stand that `facts` go on with; some are `known`.
pub(crate) async fn load_states(
    target: WriteContext<'_>,
    facts: &[MessageFact],
    known: BTreeMap<MessageId, StateRow>,
) -> Result<BTreeMap<MessageId, StateRow>, Error> {
    let mut states = known;
    for row in target.query(LOAD_STATES, &messages_to_load(facts, &states)).await? {
        states.insert(MessageId(row.try_get("id")?), state_row(&row)?);
    }
    Ok(states)
}

/// Those of the conversations `ids` that exist.
pub(crate) async fn load_conversations(
    target: WriteContext<'_>,
    ids: &[Uuid],
) -> Result<BTreeMap<ConversationId, ConversationRow>, Error> {
    let rows = target.query(LOAD_CONVERSATIONS, ids).await?;
    let row = |row| conversation_row(row).map(|conversation| (conversation.id, conversation));
    rows.iter().map(row).collect()
}

/// Writes what a page changed. The statements travel together, in one flight.
pub(crate) async fn write(target: WriteContext<'_>, rows: &MessageRows) -> Result<(), Error> {
    // On the heap: beside each other they are larger than what callers should carry along.
    try_join!(Box::pin(write_messages(target, rows)), Box::pin(write_shared(target, rows)))?;
    Ok(())
}

/// Writes the rows that belong to one message each.
pub(crate) async fn write_messages(
    target: WriteContext<'_>,
    rows: &MessageRows,
) -> Result<(), Error> {
    let contents: Vec<&MessageContent> = rows.contents.iter().collect();
    let participants: Vec<ParticipantRow<Position>> = rows
        .contents
        .iter()
        .flat_map(|message| {
            let (tenant_id, of) = (message.tenant_id, message.created_position);
            let addresses = message.participants().into_iter();
            addresses.map(move |address| ParticipantRow { tenant_id, address, of })
        })
        .collect();
    let participants: Vec<_> = participants.iter().collect();
    let attachments: Vec<&AttachmentRow> = rows.attachments.iter().collect();
    try_join!(
        CONTENTS.insert(target, &contents),
        write_states(target, rows),
        MESSAGE_PARTICIPANTS.insert(target, &participants),
        ATTACHMENTS.insert_missing(target, &attachments),
    )?;
    // After the messages that began: one may be among them.
    let reread: Vec<&MessageContent> = rows.reread.values().collect();
    READINGS.update(target, &reread).await?;
    write_joined(target, rows).await
}

/// A mailbox that got a mail unseen is found by that, too.
async fn write_joined(target: WriteContext<'_>, rows: &MessageRows) -> Result<(), Error> {
    if rows.joined.is_empty() {
        return Ok(());
    }
    let joined: Vec<&JoinedMessage> = rows.joined.iter().collect();
    let of = |one: &JoinedMessage| ParticipantRow {
        tenant_id: one.tenant_id,
        address: one.mailbox.clone(),
        of: one.created_position,
    };
    let mut mailboxes: Vec<ParticipantRow<Position>> = rows.joined.iter().map(of).collect();
    let key = |one: &ParticipantRow<Position>| (one.of, one.address.clone());
    mailboxes.sort_by_key(key);
    mailboxes.dedup_by_key(|one| key(one));
    let mailboxes: Vec<_> = mailboxes.iter().collect();
    JOINED_MESSAGES.insert(target, &joined).await?;
    MESSAGE_PARTICIPANTS.insert_missing(target, &mailboxes).await?;
    Ok(())
}

async fn write_states(target: WriteContext<'_>, rows: &MessageRows) -> Result<(), Error> {
    let begun: HashSet<Position> = rows.contents.iter().map(|m| m.created_position).collect();
    let (new, known): (Vec<&StateRow>, Vec<&StateRow>) =
        rows.states.values().partition(|row| begun.contains(&row.created_position));
    let ((), updated) = try_join!(STATES.insert(target, &new), STATES.update(target, &known))?;
    // Remembered rows were not read again: they may have been deleted.
    if usize::try_from(updated) != Ok(known.len()) {
        STATES.insert_missing(target, &known).await?;
    }
    Ok(())
}

/// Writes the rows that several messages have a say in: the order of the log decides which of them
/// has a name first, or is a conversation's last.
pub(crate) async fn write_shared(
    target: WriteContext<'_>,
    rows: &MessageRows,
) -> Result<(), Error> {
    let opened: HashSet<ConversationId> = rows.opened.iter().copied().collect();
    let (new, joined): (Vec<&ConversationRow>, Vec<&ConversationRow>) =
        rows.conversations.values().partition(|row| opened.contains(&row.id));
    let learned: Vec<&ProviderMessage> = rows.provider_messages.iter().collect();
    let participants = participants(&new);
    let participants: Vec<_> = participants.iter().collect();
    let mails: Vec<MailRow> = rows.contents.iter().filter_map(mail).collect();
    let mails: Vec<_> = mails.iter().collect();
    try_join!(
        PROVIDER_MESSAGES.insert_missing(target, &learned),
        CONVERSATIONS.insert(target, &new),
        CONVERSATIONS.update(target, &joined),
        CONVERSATION_PARTICIPANTS.insert(target, &participants),
        MAILS.insert_missing(target, &mails),
    )?;
    Ok(())
}

fn participants(new: &[&ConversationRow]) -> Vec<ParticipantRow<ConversationId>> {
    new.iter()
        .flat_map(|conversation| {
            let (tenant_id, of) = (conversation.tenant_id, conversation.id);
            let addresses = conversation.participants.iter().cloned();
            addresses.map(move |address| ParticipantRow { tenant_id, address, of })
        })
        .collect()
}

/// Hardly any message has some.
fn kept(recipients: &Recipients) -> Option<Json<&Recipients>> {
    (!recipients.is_empty()).then_some(Json(recipients))
}

fn mail(message: &MessageContent) -> Option<MailRow> {
    let mail_id = message.mail_id.clone().filter(|name| name.len() <= MAIL_ID_BYTES_MAX)?;
    let MessageContent { tenant_id, id: message_id, conversation_id, .. } = *message;
    Some(MailRow { tenant_id, mail_id, message_id, conversation_id })
}

fn state_row(row: &Row) -> Result<StateRow, Error> {
    Ok(StateRow {
        created_position: Position(row.try_get("created_position")?),
        tenant_id: TenantId(row.try_get("tenant_id")?),
        state: MessageState {
            progress: AttemptStatus {
                status: status(row.try_get("status")?)?,
                attempt: natural(row.try_get("attempts")?),
            },
            provider: row.try_get("provider")?,
            account: row.try_get("account")?,
            provider_message_id: row.try_get("provider_message_id")?,
            next_attempt_at: row.try_get("next_attempt_at")?,
            error: row.try_get::<_, Option<Json<SendError>>>("error")?.map(|json| json.0),
            segments: row.try_get::<_, Option<i32>>("segments")?.map(natural),
            sent_at: row.try_get("sent_at")?,
            delivered_at: row.try_get("delivered_at")?,
            read_at: row.try_get("read_at")?,
            updated_at: row.try_get("updated_at")?,
            position: Position(row.try_get("position")?),
            recipients: row
                .try_get::<_, Option<Json<Recipients>>>("recipients")?
                .map_or_else(Recipients::default, |json| json.0),
        },
    })
}

fn conversation_row(row: &Row) -> Result<ConversationRow, Error> {
    Ok(ConversationRow {
        id: ConversationId(row.try_get("id")?),
        tenant_id: TenantId(row.try_get("tenant_id")?),
        participants: row.try_get::<_, Json<Vec<String>>>("participants")?.0,
        topic: row.try_get("topic")?,
        channels: row.try_get::<_, Json<_>>("channels")?.0,
        message_count: row.try_get("message_count")?,
        unread_count: row.try_get("unread_count")?,
        last_message: row.try_get::<_, Json<LastMessage>>("last_message")?.0,
        last_message_position: Position(row.try_get("last_message_position")?),
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

fn status(name: &str) -> Result<Status, Error> {
    let deserializer: StrDeserializer<'_, serde::de::value::Error> = name.into_deserializer();
    Status::deserialize(deserializer).map_err(|_| Error::UnknownStatus(name.to_owned()))
}
