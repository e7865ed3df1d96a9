//! The mails that other mails refer to by name, and who has a part in their conversations.

use hatch_domain::MailKind;
use hatch_domain::address::Address;
use hatch_domain::ids::{ConversationId, TenantId};
use hatch_eventstore::values::storable;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::super::message::{Direction, MailDetails};
use crate::{Error, QueryError, ReadModel};

/// The mails that call themselves so, and those that a provider of mail calls so.
const NAMED: &str = "
    SELECT n.name, n.by_provider, m.direction, m.conversation_id, c.topic, m.subject,
           json_build_array(m.from_address) AS sender, m.to_addresses, m.cc, m.mail, m.kind, m.test,
           (SELECT json_agg(json_build_array(j.conversation_id, j.mailbox) ORDER BY j.position)
              FROM rm.joined_messages j
             WHERE j.tenant_id = $1 AND j.message_id = m.id) AS joined
      FROM (SELECT mail_id AS name, false AS by_provider, message_id
              FROM rm.mails
             WHERE tenant_id = $1 AND mail_id = ANY($2)
             UNION ALL
            SELECT provider_message_id, true, message_id
              FROM rm.provider_messages
             WHERE tenant_id = $1 AND provider = ANY($4) AND provider_message_id = ANY($3)) n
      JOIN rm.messages m ON m.tenant_id = $1 AND m.id = n.message_id
      LEFT JOIN rm.conversations c ON c.id = m.conversation_id
     ORDER BY m.direction = 'outbound' DESC, n.by_provider
     LIMIT 200";

/// Those with whom a conversation began, and those whom its latest messages are from and to: whoever sends a bounce has
/// no part by that. OFFSET 0 keeps the look-up of
/// each message by its key from being turned into a join, which would read all messages of a busy address.
const MEMBERS: &str = "
    SELECT conversation_id, address
      FROM rm.conversation_participants
     WHERE tenant_id = $1 AND address = ANY($2) AND conversation_id = ANY($3)
     UNION
    SELECT m.conversation_id, p.address
      FROM unnest($3::uuid[]) AS wanted (id)
     CROSS JOIN LATERAL (
           (SELECT wanted.id AS conversation_id, created_position, kind, created_position AS place
              FROM rm.messages
             WHERE tenant_id = $1 AND conversation_id = wanted.id
             ORDER BY created_position DESC
             LIMIT 20)
            UNION ALL
           (SELECT wanted.id, o.created_position, o.kind, j.position
              FROM rm.joined_messages j
              JOIN rm.messages o
                ON o.tenant_id = j.tenant_id AND o.created_position = j.created_position
             WHERE j.tenant_id = $1 AND j.conversation_id = wanted.id
             ORDER BY j.position DESC
             LIMIT 20)
            ORDER BY place DESC
            LIMIT 20) m
     CROSS JOIN LATERAL (
           SELECT address
             FROM rm.message_participants
            WHERE tenant_id = $1 AND address = ANY($2) AND created_position = m.created_position
              AND m.kind IS DISTINCT FROM 'bounce'
           OFFSET 0) p";

/// A mail by one of its names, as far as one who joins its conversation has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedMail {
    /// The name that was asked for.
    pub name: String,
    /// Whether that is what a provider calls it. Otherwise it is its Message-ID.
    pub by_provider: bool,
    /// Whether it is from us.
    pub is_outbound: bool,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// The topic of that.
    pub topic: Option<String>,
    /// The conversations that it joined beside that, each with the mailbox of ours whose it is.
    pub joined: Vec<(ConversationId, Address)>,
    /// Its subject.
    pub subject: Option<String>,
    /// Its sender, and all whom others can see that it went to.
    pub people: Vec<Address>,
    /// Those of them that are known to be ours.
    pub ours: Vec<Address>,
    /// Whether it is a test.
    pub test: bool,
}

impl ReadModel {
    /// The mails of `tenant` whose Message-ID (without angle brackets) is one of `mail_ids`, and those that one of
    /// `providers` calls by one of `provider_ids`.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn named_mails(
        &self,
        tenant: TenantId,
        mail_ids: &[&str],
        provider_ids: &[&str],
        providers: &[&str],
    ) -> Result<Vec<NamedMail>, QueryError> {
        let mail_ids: Vec<_> = mail_ids.iter().map(|id| storable(*id)).collect();
        let provider_ids: Vec<_> = provider_ids.iter().map(|id| storable(*id)).collect();
        let rows = self.prepared(NAMED, &[&tenant.0, &mail_ids, &provider_ids, &providers]).await?;
        Ok(rows.iter().map(named_mail).collect::<Result<_, Error>>()?)
    }

    /// Those of `addresses` that have a part in one of the `conversations` of `tenant`: who began it, or whom one of its
    /// latest 20 messages is from or to.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn taking_part(
        &self,
        tenant: TenantId,
        conversations: &[ConversationId],
        addresses: &[&Address],
    ) -> Result<Vec<(ConversationId, Address)>, QueryError> {
        let ids: Vec<Uuid> = conversations.iter().map(|id| id.0).collect();
        let wanted: Vec<String> = addresses.iter().map(|one| one.identity().to_string()).collect();
        let rows = self.prepared(MEMBERS, &[&tenant.0, &wanted, &ids]).await?;
        let mut members = Vec::with_capacity(rows.len());
        for row in rows {
            let (id, address): (Uuid, &str) = (column(&row, 0)?, column(&row, 1)?);
            let of_them = addresses.iter().find(|one| one.identity().as_str() == address);
            members.extend(of_them.map(|one| (ConversationId(id), one.identity().into_owned())));
        }
        Ok(members)
    }
}

fn column<'r, T: tokio_postgres::types::FromSql<'r>>(row: &'r Row, n: usize) -> Result<T, Error> {
    Ok(row.try_get(n)?)
}

fn named_mail(row: &Row) -> Result<NamedMail, Error> {
    let mut people = Vec::new();
    for column in ["sender", "to_addresses", "cc"] {
        let Json(addresses): Json<Vec<Address>> = row.try_get(column)?;
        people.extend(addresses);
    }
    let direction: &str = row.try_get("direction")?;
    let is_outbound = direction == Direction::Outbound.as_str();
    let mail: Option<Json<MailDetails>> = row.try_get("mail")?;
    let ours = match is_outbound {
        true => people.iter().take(1).cloned().collect(),
        false => mail.map(|mail| mail.0.ours).unwrap_or_default(),
    };
    // Anybody can send one.
    if row.try_get::<_, Option<&str>>("kind")? == Some(MailKind::Bounce.as_str()) {
        people.clear();
    }
    let joined: Option<Json<Vec<(Uuid, Address)>>> = row.try_get("joined")?;
    let joined = joined.map_or_else(Vec::new, |json| json.0).into_iter();
    Ok(NamedMail {
        ours,
        joined: joined.map(|(id, mailbox)| (ConversationId(id), mailbox)).collect(),
        name: row.try_get("name")?,
        by_provider: row.try_get("by_provider")?,
        is_outbound,
        conversation_id: ConversationId(row.try_get("conversation_id")?),
        topic: row.try_get("topic")?,
        subject: row.try_get("subject")?,
        people,
        test: row.try_get("test")?,
    })
}
