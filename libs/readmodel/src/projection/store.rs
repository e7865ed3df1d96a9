//! The SQL of the projection: one statement loads what a page touches of a table, and one statement
//! writes each table, whatever the number of rows.

use std::collections::BTreeMap;

use deadpool_postgres::{Object, Transaction};
use futures::try_join;
use hatch_domain::ids::{ConversationId, MessageId, TenantId};
use hatch_domain::message::event::SendError;
use hatch_domain::message::status::{Progress, Status};
use hatch_eventstore::{Checkpoint, Position};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use super::conversation::{ConversationRow, LastMessage};
use super::fold::{
    MessageFact, ProviderMessage, Rows, StateRow, conversations_to_load, messages_to_load,
};
use super::message::{MessageContent, MessageState};
use super::tables::Tables;
use crate::Error;

const LOAD_STATES: &str = "
    SELECT m.id, s.created_position, s.tenant_id, s.status, s.attempts, s.provider, s.account,
           s.provider_message_id, s.next_attempt_at, s.error, s.segments, s.sent_at, s.delivered_at,
           s.read_at, s.updated_at, s.position
      FROM rm_messages_v1.messages m
      JOIN rm_messages_v1.message_states s USING (created_position)
     WHERE m.id = ANY($1)";

const LOAD_CONVERSATIONS: &str = "
    SELECT id, tenant_id, participants, topic, channels, message_count, unread_count, last_message,
           last_message_position, created_at, updated_at
      FROM rm_messages_v1.conversations
     WHERE id = ANY($1)";

const INSERT_CONTENTS: &str = "
    INSERT INTO rm_messages_v1.messages
           (created_position, id, tenant_id, conversation_id, contact_id, direction, channel,
            from_address, to_addresses, cc, bcc, subject, body, html, attachments, metadata,
            created_at, scheduled_at)
    SELECT *
      FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[],
                  $7::text[], $8::text[], $9::json[], $10::json[], $11::json[], $12::text[],
                  $13::text[], $14::text[], $15::json[], $16::json[], $17::timestamptz[],
                  $18::timestamptz[])";

const UPSERT_STATES: &str = "
    INSERT INTO rm_messages_v1.message_states
           (created_position, tenant_id, status, attempts, provider, account, provider_message_id,
            next_attempt_at, error, segments, sent_at, delivered_at, read_at, updated_at, position)
    SELECT *
      FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::integer[], $5::text[], $6::text[],
                  $7::text[], $8::timestamptz[], $9::json[], $10::integer[], $11::timestamptz[],
                  $12::timestamptz[], $13::timestamptz[], $14::timestamptz[], $15::bigint[])
    ON CONFLICT (created_position) DO UPDATE
       SET status = EXCLUDED.status, attempts = EXCLUDED.attempts, provider = EXCLUDED.provider,
           account = EXCLUDED.account, provider_message_id = EXCLUDED.provider_message_id,
           next_attempt_at = EXCLUDED.next_attempt_at, error = EXCLUDED.error,
           segments = EXCLUDED.segments, sent_at = EXCLUDED.sent_at,
           delivered_at = EXCLUDED.delivered_at, read_at = EXCLUDED.read_at, updated_at = EXCLUDED.updated_at,
           position = EXCLUDED.position";

const INSERT_MESSAGE_PARTICIPANTS: &str = "
    INSERT INTO rm_messages_v1.message_participants (tenant_id, address, created_position)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[])";

const INSERT_PROVIDER_MESSAGES: &str = "
    INSERT INTO rm_messages_v1.provider_messages
           (tenant_id, provider, provider_message_id, account, message_id, attempt)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::integer[])
    ON CONFLICT DO NOTHING";

const UPSERT_CONVERSATIONS: &str = "
    INSERT INTO rm_messages_v1.conversations
           (id, tenant_id, participants, topic, channels, state, labels, message_count,
            unread_count, last_message, last_message_position, metadata, created_at, updated_at)
    SELECT id, tenant_id, participants, topic, channels, 'open', '[]', message_count, unread_count,
           last_message, last_message_position, '{}', created_at, updated_at
      FROM unnest($1::uuid[], $2::uuid[], $3::json[], $4::text[], $5::jsonb[], $6::bigint[],
                  $7::bigint[], $8::json[], $9::bigint[], $10::timestamptz[], $11::timestamptz[])
           AS u(id, tenant_id, participants, topic, channels, message_count, unread_count,
                last_message, last_message_position, created_at, updated_at)
    ON CONFLICT (id) DO UPDATE
       SET channels = EXCLUDED.channels, message_count = EXCLUDED.message_count,
           unread_count = EXCLUDED.unread_count, last_message = EXCLUDED.last_message,
           last_message_position = EXCLUDED.last_message_position,
           updated_at = EXCLUDED.updated_at";

const INSERT_CONVERSATION_PARTICIPANTS: &str = "
    INSERT INTO rm_messages_v1.conversation_participants (tenant_id, address, conversation_id)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[])";

/// The first mail with a name keeps it: whoever repeats it is not the one that others answer.
const INSERT_MAILS: &str = "
    INSERT INTO rm_messages_v1.mails (tenant_id, mail_id, message_id, conversation_id)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[])
    ON CONFLICT DO NOTHING";

/// Bytes of a Message-ID that is kept (RFC 5322, section 2.1.1: of a whole line). An index takes no
/// more than some 2,700.
const MAIL_ID_BYTES_MAX: usize = 998;

/// Which tables are read and written, and in which transaction.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) tables: Tables,
    pub(crate) transaction: &'a Transaction<'a>,
}

/// Prepares what moving the checkpoint and [`load`] need, before the page's transaction: that one is
/// to lock no table until it has the checkpoint, since until then rebuilt ones may take their place.
pub(crate) async fn prepare(client: &Object) -> Result<(), Error> {
    let client: &deadpool_postgres::Client = client;
    Checkpoint::prepare(client).await?;
    try_join!(client.prepare_cached(LOAD_STATES), client.prepare_cached(LOAD_CONVERSATIONS))?;
    Ok(())
}

/// The rows that exist of what `facts` change, with those of messages that are `known`.
pub(crate) async fn load(
    target: Target<'_>,
    facts: &[MessageFact],
    known: BTreeMap<MessageId, StateRow>,
) -> Result<Rows, Error> {
    let ids = conversations_to_load(facts);
    let (states, conversations) =
        try_join!(load_states(target, facts, known), load_conversations(target, &ids))?;
    Ok(Rows { states, conversations, ..Rows::default() })
}

/// Where the messages stand that `facts` go on with; some are `known`.
pub(crate) async fn load_states(
    target: Target<'_>,
    facts: &[MessageFact],
    known: BTreeMap<MessageId, StateRow>,
) -> Result<BTreeMap<MessageId, StateRow>, Error> {
    let mut states = known;
    for row in query(target, LOAD_STATES, &messages_to_load(facts, &states)).await? {
        states.insert(MessageId(row.try_get("id")?), state_row(&row)?);
    }
    Ok(states)
}

/// Those of the conversations `ids` that exist.
pub(crate) async fn load_conversations(
    target: Target<'_>,
    ids: &[Uuid],
) -> Result<BTreeMap<ConversationId, ConversationRow>, Error> {
    let rows = query(target, LOAD_CONVERSATIONS, ids).await?;
    let row = |row| conversation_row(row).map(|conversation| (conversation.id, conversation));
    rows.iter().map(row).collect()
}

/// Writes what a page changed. The statements travel together, in one flight.
pub(crate) async fn write(target: Target<'_>, rows: &Rows) -> Result<(), Error> {
    try_join!(write_messages(target, rows), write_shared(target, rows))?;
    Ok(())
}

/// Writes the rows that belong to one message each.
pub(crate) async fn write_messages(target: Target<'_>, rows: &Rows) -> Result<(), Error> {
    try_join!(
        insert_contents(target, &rows.contents),
        upsert_states(target, rows),
        insert_message_participants(target, &rows.contents),
    )?;
    Ok(())
}

/// Writes the rows that several messages have a say in: the order of the log decides which of them
/// has a name first, or is a conversation's last.
pub(crate) async fn write_shared(target: Target<'_>, rows: &Rows) -> Result<(), Error> {
    try_join!(
        insert_provider_messages(target, &rows.provider_messages),
        upsert_conversations(target, rows),
        insert_conversation_participants(target, rows),
        insert_mails(target, &rows.contents),
    )?;
    Ok(())
}

async fn query(target: Target<'_>, sql: &'static str, ids: &[Uuid]) -> Result<Vec<Row>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let statement = target.transaction.prepare_cached(&target.tables.sql(sql)).await?;
    Ok(target.transaction.query(&statement, &[&ids]).await?)
}

/// Executes `sql`, whose `columns` hold `rows` rows; nothing is sent for none.
async fn execute(
    target: Target<'_>,
    sql: &'static str,
    rows: usize,
    columns: &[&(dyn ToSql + Sync)],
) -> Result<(), Error> {
    if rows == 0 {
        return Ok(());
    }
    let statement = target.transaction.prepare_cached(&target.tables.sql(sql)).await?;
    target.transaction.execute(&statement, columns).await?;
    Ok(())
}

fn column<'a, R: 'a, T>(rows: impl IntoIterator<Item = &'a R>, f: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.into_iter().map(f).collect()
}

async fn insert_contents(target: Target<'_>, contents: &[MessageContent]) -> Result<(), Error> {
    execute(
        target,
        INSERT_CONTENTS,
        contents.len(),
        &[
            &column(contents, |m| m.created_position.0),
            &column(contents, |m| m.id.0),
            &column(contents, |m| m.tenant_id.0),
            &column(contents, |m| m.conversation_id.0),
            &column(contents, |m| m.contact_id),
            &column(contents, |m| m.direction.as_str()),
            &column(contents, |m| m.channel),
            &column(contents, |m| m.from.as_str()),
            &column(contents, |m| Json(&m.to)),
            &column(contents, |m| Json(&m.cc)),
            &column(contents, |m| Json(&m.bcc)),
            &column(contents, |m| m.subject.as_deref()),
            &column(contents, |m| m.body.as_deref()),
            &column(contents, |m| m.html.as_deref()),
            &column(contents, |m| &m.attachments),
            &column(contents, |m| &m.metadata),
            &column(contents, |m| m.created_at),
            &column(contents, |m| m.scheduled_at),
        ],
    )
    .await
}

async fn upsert_states(target: Target<'_>, rows: &Rows) -> Result<(), Error> {
    let states = || rows.states.values();
    execute(
        target,
        UPSERT_STATES,
        rows.states.len(),
        &[
            &column(states(), |r| r.created_position.0),
            &column(states(), |r| r.tenant_id.0),
            &column(states(), |r| r.state.progress.status.as_str()),
            &column(states(), |r| integer(r.state.progress.attempt)),
            &column(states(), |r| r.state.provider.as_deref()),
            &column(states(), |r| r.state.account.as_deref()),
            &column(states(), |r| r.state.provider_message_id.as_deref()),
            &column(states(), |r| r.state.next_attempt_at),
            &column(states(), |r| r.state.error.as_ref().map(Json)),
            &column(states(), |r| r.state.segments.map(integer)),
            &column(states(), |r| r.state.sent_at),
            &column(states(), |r| r.state.delivered_at),
            &column(states(), |r| r.state.read_at),
            &column(states(), |r| r.state.updated_at),
            &column(states(), |r| r.state.position.0),
        ],
    )
    .await
}

async fn insert_message_participants(
    target: Target<'_>,
    contents: &[MessageContent],
) -> Result<(), Error> {
    let pairs: Vec<(&MessageContent, &str)> =
        contents.iter().flat_map(|m| m.participants().into_iter().map(move |a| (m, a))).collect();
    execute(
        target,
        INSERT_MESSAGE_PARTICIPANTS,
        pairs.len(),
        &[
            &column(&pairs, |(m, _)| m.tenant_id.0),
            &column(&pairs, |(_, address)| *address),
            &column(&pairs, |(m, _)| m.created_position.0),
        ],
    )
    .await
}

async fn insert_provider_messages(
    target: Target<'_>,
    learned: &[ProviderMessage],
) -> Result<(), Error> {
    execute(
        target,
        INSERT_PROVIDER_MESSAGES,
        learned.len(),
        &[
            &column(learned, |p| p.tenant_id.0),
            &column(learned, |p| p.provider.as_str()),
            &column(learned, |p| p.provider_message_id.as_str()),
            &column(learned, |p| p.account.as_str()),
            &column(learned, |p| p.message_id.0),
            &column(learned, |p| integer(p.attempt)),
        ],
    )
    .await
}

async fn upsert_conversations(target: Target<'_>, rows: &Rows) -> Result<(), Error> {
    let conversations = || rows.conversations.values();
    execute(
        target,
        UPSERT_CONVERSATIONS,
        rows.conversations.len(),
        &[
            &column(conversations(), |c| c.id.0),
            &column(conversations(), |c| c.tenant_id.0),
            &column(conversations(), |c| Json(&c.participants)),
            &column(conversations(), |c| c.topic.as_deref()),
            &column(conversations(), |c| Json(&c.channels)),
            &column(conversations(), |c| c.message_count),
            &column(conversations(), |c| c.unread_count),
            &column(conversations(), |c| Json(&c.last_message)),
            &column(conversations(), |c| c.last_message_position.0),
            &column(conversations(), |c| c.created_at),
            &column(conversations(), |c| c.updated_at),
        ],
    )
    .await
}

async fn insert_conversation_participants(target: Target<'_>, rows: &Rows) -> Result<(), Error> {
    let opened = || rows.opened.iter().filter_map(|id| rows.conversations.get(id));
    let pairs: Vec<(&ConversationRow, &String)> =
        opened().flat_map(|c| c.participants.iter().map(move |a| (c, a))).collect();
    execute(
        target,
        INSERT_CONVERSATION_PARTICIPANTS,
        pairs.len(),
        &[
            &column(&pairs, |(c, _)| c.tenant_id.0),
            &column(&pairs, |(_, address)| address.as_str()),
            &column(&pairs, |(c, _)| c.id.0),
        ],
    )
    .await
}

async fn insert_mails(target: Target<'_>, contents: &[MessageContent]) -> Result<(), Error> {
    let mails: Vec<(&MessageContent, &str)> = contents
        .iter()
        .filter_map(|m| m.mail_id.as_deref().map(|mail_id| (m, mail_id)))
        .filter(|(_, mail_id)| mail_id.len() <= MAIL_ID_BYTES_MAX)
        .collect();
    execute(
        target,
        INSERT_MAILS,
        mails.len(),
        &[
            &column(&mails, |(m, _)| m.tenant_id.0),
            &column(&mails, |(_, mail_id)| *mail_id),
            &column(&mails, |(m, _)| m.id.0),
            &column(&mails, |(m, _)| m.conversation_id.0),
        ],
    )
    .await
}

fn state_row(row: &Row) -> Result<StateRow, Error> {
    Ok(StateRow {
        created_position: Position(row.try_get("created_position")?),
        tenant_id: TenantId(row.try_get("tenant_id")?),
        state: MessageState {
            progress: Progress {
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

/// PostgreSQL has no unsigned integers; the counts kept here (attempts, parts) are far below.
fn integer(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn natural(count: i32) -> u32 {
    u32::try_from(count).unwrap_or_default()
}
