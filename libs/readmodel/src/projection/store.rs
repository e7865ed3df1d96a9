//! The SQL of the projection: one statement loads what a page touches of a table, and one statement
//! writes each table, whatever the number of rows.

use std::collections::{BTreeMap, HashSet};

use deadpool_postgres::Transaction;
use futures::try_join;
use hatch_domain::SendError;
use hatch_domain::ids::{ConversationId, MessageId, TenantId};
use hatch_domain::message::status::{Progress, Status};
use hatch_eventstore::{Checkpoint, Connection, Position};
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
            created_at, scheduled_at, authentication, cut)
    SELECT unnest($1::bigint[]), unnest($2::uuid[]), unnest($3::uuid[]), unnest($4::uuid[]),
           unnest($5::uuid[]), unnest($6::text[]), unnest($7::text[]), unnest($8::text[]),
           unnest($9::json[]), unnest($10::json[]), unnest($11::json[]), unnest($12::text[]),
           unnest($13::text[]), unnest($14::text[]), unnest($15::json[]), unnest($16::json[]),
           unnest($17::timestamptz[]), unnest($18::timestamptz[]), unnest($19::json[]), unnest($20::json[])";

/// The values of states, column by column.
macro_rules! states {
    () => {
        "unnest($1::bigint[]) AS created_position, unnest($2::uuid[]) AS tenant_id,
           unnest($3::text[]) AS status, unnest($4::integer[]) AS attempts,
           unnest($5::text[]) AS provider, unnest($6::text[]) AS account,
           unnest($7::text[]) AS provider_message_id, unnest($8::timestamptz[]) AS next_attempt_at,
           unnest($9::json[]) AS error, unnest($10::integer[]) AS segments,
           unnest($11::timestamptz[]) AS sent_at, unnest($12::timestamptz[]) AS delivered_at,
           unnest($13::timestamptz[]) AS read_at, unnest($14::timestamptz[]) AS updated_at,
           unnest($15::bigint[]) AS position"
    };
}

macro_rules! insert_states {
    () => {
        concat!(
            "
    INSERT INTO rm_messages_v1.message_states
           (created_position, tenant_id, status, attempts, provider, account, provider_message_id,
            next_attempt_at, error, segments, sent_at, delivered_at, read_at, updated_at, position)
    SELECT ",
            states!()
        )
    };
}

const INSERT_STATES: &str = insert_states!();

const INSERT_MISSING_STATES: &str =
    concat!(insert_states!(), " ON CONFLICT (created_position) DO NOTHING");

/// What is known to exist is updated. ON CONFLICT would look for each row first, and write in the WAL
/// that it locks it.
const UPDATE_STATES: &str = concat!(
    "
    UPDATE rm_messages_v1.message_states AS s
       SET status = u.status, attempts = u.attempts, provider = u.provider, account = u.account,
           provider_message_id = u.provider_message_id, next_attempt_at = u.next_attempt_at,
           error = u.error, segments = u.segments, sent_at = u.sent_at,
           delivered_at = u.delivered_at, read_at = u.read_at, updated_at = u.updated_at,
           position = u.position
      FROM (SELECT ",
    states!(),
    ") AS u
     WHERE s.created_position = u.created_position"
);

const INSERT_MESSAGE_PARTICIPANTS: &str = "
    INSERT INTO rm_messages_v1.message_participants (tenant_id, address, created_position)
    SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::bigint[])";

const INSERT_PROVIDER_MESSAGES: &str = "
    INSERT INTO rm_messages_v1.provider_messages
           (tenant_id, provider, provider_message_id, account, message_id, attempt)
    SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]),
           unnest($5::uuid[]), unnest($6::integer[])
    ON CONFLICT DO NOTHING";

const INSERT_CONVERSATIONS: &str = "
    INSERT INTO rm_messages_v1.conversations
           (id, tenant_id, participants, topic, channels, state, labels, message_count,
            unread_count, last_message, last_message_position, metadata, created_at, updated_at)
    SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::json[]), unnest($4::text[]),
           unnest($5::jsonb[]), 'open', '[]', unnest($6::bigint[]), unnest($7::bigint[]),
           unnest($8::json[]), unnest($9::bigint[]), '{}', unnest($10::timestamptz[]),
           unnest($11::timestamptz[])";

const UPDATE_CONVERSATIONS: &str = "
    UPDATE rm_messages_v1.conversations AS c
       SET channels = u.channels, message_count = u.message_count, unread_count = u.unread_count,
           last_message = u.last_message, last_message_position = u.last_message_position,
           updated_at = u.updated_at
      FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::jsonb[]) AS channels,
                   unnest($3::bigint[]) AS message_count, unnest($4::bigint[]) AS unread_count,
                   unnest($5::json[]) AS last_message, unnest($6::bigint[]) AS last_message_position,
                   unnest($7::timestamptz[]) AS updated_at) AS u
     WHERE c.id = u.id";

const INSERT_CONVERSATION_PARTICIPANTS: &str = "
    INSERT INTO rm_messages_v1.conversation_participants (tenant_id, address, conversation_id)
    SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::uuid[])";

/// The first mail with a name keeps it: whoever repeats it is not the one that others answer.
const INSERT_MAILS: &str = "
    INSERT INTO rm_messages_v1.mails (tenant_id, mail_id, message_id, conversation_id)
    SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::uuid[]), unnest($4::uuid[])
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
pub(crate) async fn prepare(client: &Connection) -> Result<(), Error> {
    Checkpoint::prepare(client).await?;
    try_join!(
        client.prepare_cached(super::HOLDS),
        client.prepare_cached(LOAD_STATES),
        client.prepare_cached(LOAD_CONVERSATIONS),
    )?;
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
    // On the heap: beside each other they are larger than what callers should carry along.
    try_join!(Box::pin(write_messages(target, rows)), Box::pin(write_shared(target, rows)))?;
    Ok(())
}

/// Writes the rows that belong to one message each.
pub(crate) async fn write_messages(target: Target<'_>, rows: &Rows) -> Result<(), Error> {
    try_join!(
        insert_contents(target, &rows.contents),
        write_states(target, rows),
        insert_message_participants(target, &rows.contents),
    )?;
    Ok(())
}

/// Writes the rows that several messages have a say in: the order of the log decides which of them
/// has a name first, or is a conversation's last.
pub(crate) async fn write_shared(target: Target<'_>, rows: &Rows) -> Result<(), Error> {
    let opened: HashSet<ConversationId> = rows.opened.iter().copied().collect();
    let (new, joined): (Vec<&ConversationRow>, Vec<&ConversationRow>) =
        rows.conversations.values().partition(|row| opened.contains(&row.id));
    try_join!(
        insert_provider_messages(target, &rows.provider_messages),
        insert_conversations(target, &new),
        update_conversations(target, &joined),
        insert_conversation_participants(target, &new),
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
    count(target, sql, rows, columns).await.map(drop)
}

/// As [`execute`], and returns how many rows were written.
async fn count(
    target: Target<'_>,
    sql: &'static str,
    rows: usize,
    columns: &[&(dyn ToSql + Sync)],
) -> Result<u64, Error> {
    if rows == 0 {
        return Ok(0);
    }
    let statement = target.transaction.prepare_cached(&target.tables.sql(sql)).await?;
    Ok(target.transaction.execute(&statement, columns).await?)
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
            &column(contents, |m| m.authentication.as_ref().map(Json)),
            &column(contents, |m| m.cut.as_ref().map(Json)),
        ],
    )
    .await
}

async fn write_states(target: Target<'_>, rows: &Rows) -> Result<(), Error> {
    let begun: HashSet<Position> = rows.contents.iter().map(|m| m.created_position).collect();
    let (new, known): (Vec<&StateRow>, Vec<&StateRow>) =
        rows.states.values().partition(|row| begun.contains(&row.created_position));
    let (_, updated) =
        try_join!(states(target, INSERT_STATES, &new), states(target, UPDATE_STATES, &known))?;
    // Rows that are remembered were not looked for: somebody may have deleted them.
    if usize::try_from(updated) != Ok(known.len()) {
        states(target, INSERT_MISSING_STATES, &known).await?;
    }
    Ok(())
}

/// Writes `states` by `sql`, and returns how many rows that were.
async fn states(target: Target<'_>, sql: &'static str, states: &[&StateRow]) -> Result<u64, Error> {
    let rows = states.len();
    let states = || states.iter().copied();
    count(
        target,
        sql,
        rows,
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

async fn insert_conversations(target: Target<'_>, new: &[&ConversationRow]) -> Result<(), Error> {
    let conversations = || new.iter().copied();
    execute(
        target,
        INSERT_CONVERSATIONS,
        new.len(),
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

async fn update_conversations(
    target: Target<'_>,
    joined: &[&ConversationRow],
) -> Result<(), Error> {
    let conversations = || joined.iter().copied();
    execute(
        target,
        UPDATE_CONVERSATIONS,
        joined.len(),
        &[
            &column(conversations(), |c| c.id.0),
            &column(conversations(), |c| Json(&c.channels)),
            &column(conversations(), |c| c.message_count),
            &column(conversations(), |c| c.unread_count),
            &column(conversations(), |c| Json(&c.last_message)),
            &column(conversations(), |c| c.last_message_position.0),
            &column(conversations(), |c| c.updated_at),
        ],
    )
    .await
}

async fn insert_conversation_participants(
    target: Target<'_>,
    new: &[&ConversationRow],
) -> Result<(), Error> {
    let conversations = new.iter().copied();
    let pairs: Vec<(&ConversationRow, &String)> =
        conversations.flat_map(|c| c.participants.iter().map(move |a| (c, a))).collect();
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
