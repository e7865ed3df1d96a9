//! A message as the API shows it, from a row or from what its events say.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hatch_domain::address::Address;
use hatch_domain::authentication::Authentication;
use hatch_domain::consent::Programme;
use hatch_domain::ids::{ConversationId, MessageId};
use hatch_domain::mailbox::Person;
use hatch_domain::message::status::Status;
use hatch_domain::{Channel, Envelope, MailKind, SendError};
use hatch_eventstore::Position;
use hatch_eventstore::values::integer;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::message::{Direction, MailDetails, MessageContent};
use super::super::state::MessageState;
use super::super::visible::{self, Folded};
use super::parts;
use super::recipients::{KeptRecipient, Recipient};
use super::send_error::{self, ErrorSchema};
use crate::Error;

/// A message. Serialises to exactly the API's object: what is absent is `null` or an empty list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Message {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: MessageId,
    /// The conversation that it belongs to.
    #[schema(value_type = Uuid)]
    pub conversation_id: ConversationId,
    /// The contact at the other end, computed from its address.
    pub contact_id: Uuid,
    /// What kind of message it is: `person`, or of a mail that came in `auto_reply`, `bounce`, `list` or `own`.
    pub kind: String,
    /// Which way it goes.
    #[schema(value_type = Direction)]
    pub direction: String,
    /// How it travels.
    #[schema(value_type = Channel)]
    pub channel: String,
    /// The sender.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
    /// How many recipients there are, where `to` has only the first 100 of them: lists cut it so, and
    /// `GET /api/v1/messages/{id}` has all.
    pub to_count: Option<u32>,
    /// Who got a copy, for email.
    pub cc: Vec<String>,
    /// The same of `cc`.
    pub cc_count: Option<u32>,
    /// Who got a copy unseen, for email.
    pub bcc: Vec<String>,
    /// The same of `bcc`.
    pub bcc_count: Option<u32>,
    /// Where answers to a mail are to go, if not to its sender.
    pub reply_to: Option<String>,
    /// Of a mail that came in, between whom it was carried, whatever it says itself.
    #[schema(value_type = Option<Envelope>)]
    pub envelope: Option<Envelope>,
    /// Of a mail that came in, what decided on its `kind`, such as `auto-submitted`.
    pub signs: Vec<String>,
    /// Whether a mail that came in carries the Message-ID of another one and says something else.
    pub repeated_id: bool,
    /// Of a mail that came in, the conversation of a mail that it refers to, where it did not join that: its sender has
    /// no part in it, or the mail is about something else.
    #[schema(value_type = Option<Uuid>)]
    pub linked_to: Option<ConversationId>,
    /// Those of the sender, the recipients and who is to be answered who are shown by a name; in lists the first 100.
    pub people: Vec<Person>,
    /// The header `Message-ID` of a mail, which one that answers it names in `in_reply_to`.
    pub message_id_header: Option<String>,
    /// The subject, for email.
    pub subject: Option<String>,
    /// The text.
    pub body: Option<String>,
    /// Whether `body` is the beginning of a longer text: lists have 16,384 characters of it, and
    /// `GET /api/v1/messages/{id}` all.
    pub body_truncated: bool,
    /// The text as HTML, for email.
    pub html: Option<String>,
    /// The same of `html`.
    pub html_truncated: bool,
    /// The part of the text that its sender wrote for it: of a mail that came in, without what is quoted of other
    /// mails, and without a signature; of a mail that is HTML only, as text. Of others it is the `body`. In lists its
    /// first 16,384 characters.
    pub visible_body: Option<String>,
    /// What is not in `visible_body`, in order; `null` in lists.
    pub folded: Option<Vec<Folded>>,
    /// The files that go with it.
    #[serde(serialize_with = "parts::attachments")]
    #[schema(value_type = Vec<parts::AttachmentSchema>)]
    pub attachments: Value,
    /// What became of each recipient of a message to several; and of the only one, once that one has complained or
    /// unsubscribed. `GET /api/v1/messages/{id}/recipients` has them of every message.
    pub recipients: Vec<Recipient>,
    /// How many there are, where `recipients` is empty because they are too many for a list.
    pub recipients_count: Option<u32>,
    /// Where it stands.
    // Text, because rows may be newer than this build.
    #[schema(value_type = Status)]
    pub status: String,
    /// The provider of the latest attempt, or the one that brought it.
    pub provider: Option<String>,
    /// What that provider calls it.
    pub provider_message_id: Option<String>,
    /// How many attempts were made to send it.
    pub attempts: i32,
    /// When the next one is due.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Why it has the status that it has, where that is a bad one.
    #[serde(serialize_with = "send_error::with_class")]
    #[schema(value_type = Option<ErrorSchema>)]
    pub error: Option<SendError>,
    /// Into how many parts the provider cut it.
    pub segments: Option<i32>,
    /// The client's own notes.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub metadata: Value,
    /// When it was requested or received.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub created_at: DateTime<Utc>,
    /// When it is to be sent, if that was asked for.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub scheduled_at: Option<DateTime<Utc>>,
    /// When the provider took it.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub sent_at: Option<DateTime<Utc>>,
    /// When a receipt said that it arrived, of a message to several for the first time.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub delivered_at: Option<DateTime<Utc>>,
    /// When a receipt said that it was read, of a message to several for the first time.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub read_at: Option<DateTime<Utc>>,
    /// When its latest event happened.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub updated_at: DateTime<Utc>,
    /// Of a mail that came in, whether it comes from whom it says.
    #[serde(serialize_with = "parts::authentication")]
    #[schema(value_type = Option<parts::AuthenticationSchema>)]
    pub authentication: Option<Authentication>,
    /// Of a mail that came in, what was left out of it because it was beyond a limit, and how many of them: `to`,
    /// `cc`, `references`, `parts`, `depth`, `header_bytes`, `content_ids`, `people`, `text_bytes`, `html_bytes`. A text that was cut is whole
    /// among the attachments (`body.txt`, `body.html`), and the mail in the webhook log.
    #[schema(value_type = Option<BTreeMap<String, u64>>)]
    pub cut: Option<BTreeMap<String, u64>>,
    /// What its recipients have to consent to; none for one that came in, and for a chat.
    pub programme: Option<String>,
    /// Of one that came in, what its text seems to mean for the consent of its sender without being a word such as
    /// `STOP`: `opted_out`. Nothing follows from it by itself.
    pub suggests: Option<String>,
    /// Whether it is a test: sent with a key of the type `test`, or brought by an account that carries nothing else.
    pub test: bool,
    /// The position of its latest event.
    #[schema(value_type = i64)]
    pub position: Position,
}

impl From<(MessageContent, MessageState)> for Message {
    /// As its row is read back.
    fn from((content, state): (MessageContent, MessageState)) -> Self {
        let message_id_header = content.message_id_header();
        let texts = |addresses: Vec<Address>| addresses.iter().map(Address::to_string).collect();
        let named = content.programme.map(|programme| programme.to_string());
        let mail = content.mail.unwrap_or_default();
        Self {
            programme: programme(named, content.direction.as_str(), content.channel),
            suggests: content.suggests.map(str::to_owned),
            test: content.test,
            id: content.id,
            conversation_id: content.conversation_id,
            contact_id: content.contact_id,
            direction: content.direction.as_str().to_owned(),
            channel: content.channel.to_owned(),
            from: content.from.to_string(),
            to: texts(content.to),
            to_count: None,
            cc: texts(content.cc),
            cc_count: None,
            bcc: texts(content.bcc),
            bcc_count: None,
            kind: kind(content.kind.map(str::to_owned)),
            reply_to: mail.reply_to.map(|address| address.to_string()),
            envelope: mail.envelope,
            signs: mail.signs,
            repeated_id: mail.repeated_id,
            linked_to: mail.linked_to,
            people: content.people.unwrap_or_default(),
            message_id_header,
            subject: content.subject,
            visible_body: content.visible_body.or_else(|| content.body.clone()),
            folded: None,
            body: content.body,
            body_truncated: false,
            html: content.html,
            html_truncated: false,
            attachments: content.attachments,
            recipients: Recipient::all(
                state.recipients.iter().map(Recipient::from),
                state.error.as_ref(),
            ),
            recipients_count: None,
            status: state.progress.status.as_str().to_owned(),
            provider: state.provider,
            provider_message_id: state.provider_message_id,
            attempts: integer(state.progress.attempt),
            next_attempt_at: state.next_attempt_at,
            error: state.error,
            segments: state.segments.map(integer),
            metadata: content.metadata,
            created_at: content.created_at,
            scheduled_at: content.scheduled_at,
            sent_at: state.sent_at,
            delivered_at: state.delivered_at,
            read_at: state.read_at,
            updated_at: state.updated_at,
            authentication: content.authentication,
            cut: content.cut,
            position: state.position,
        }
        .in_full()
    }
}

impl Message {
    /// With what is folded of it, from its whole text.
    pub(super) fn in_full(mut self) -> Self {
        if !visible::has_parts(&self.direction, &self.channel) {
            return Self { folded: Some(Vec::new()), ..self };
        }
        let texts = (self.subject.as_deref(), self.body.as_deref(), self.html.as_deref());
        let (visible, folded) = visible::in_full(texts.0, texts.1, texts.2);
        self.visible_body = visible.or(self.visible_body);
        self.folded = Some(folded);
        self
    }
}

/// The programme of a message by `channel` that names this one: the default one, if none.
fn programme(named: Option<String>, direction: &str, channel: &str) -> Option<String> {
    let channel = Channel::ALL.into_iter().find(|known| known.as_str() == channel);
    let outbound = direction == Direction::Outbound.as_str();
    let default = channel.filter(|_| outbound).and_then(Programme::default_of);
    named.or_else(|| default.map(|default| default.to_string()))
}

/// What kind it is, where the row says none.
fn kind(named: Option<String>) -> String {
    named.unwrap_or_else(|| MailKind::Person.as_str().to_owned())
}

/// How many addresses there are, where `addresses` are only the first of them.
pub(super) fn beyond<T>(addresses: &[T], count: i32) -> Option<u32> {
    u32::try_from(count).ok().filter(|count| *count as usize > addresses.len())
}

/// Whether a text is only the beginning of one that has so many bytes.
fn is_cut(text: Option<&str>, bytes: Option<i32>) -> bool {
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    bytes.zip(text).is_some_and(|(bytes, text)| text.len() < bytes)
}

/// As a row of the queries of messages has it.
pub(super) fn message(row: &Row) -> Result<Message, Error> {
    let (body, html): (Option<String>, Option<String>) =
        (row.try_get("body")?, row.try_get("html")?);
    let Json(to): Json<Vec<String>> = row.try_get("to_addresses")?;
    let Json(cc): Json<Vec<String>> = row.try_get("cc")?;
    let Json(bcc): Json<Vec<String>> = row.try_get("bcc")?;
    let (direction, channel): (String, String) =
        (row.try_get("direction")?, row.try_get("channel")?);
    let mail: Option<Json<MailDetails>> = row.try_get("mail")?;
    let mail = mail.map(|json| json.0).unwrap_or_default();
    let error = row.try_get::<_, Option<Json<SendError>>>("error")?.map(|json| json.0);
    let recipients: Option<Json<Vec<KeptRecipient>>> = row.try_get("recipients")?;
    let recipients = recipients.map_or_else(Vec::new, |json| json.0);
    let recipients_count: Option<i32> = row.try_get("recipients_count")?;
    Ok(Message {
        kind: kind(row.try_get("kind")?),
        reply_to: mail.reply_to.map(|address| address.to_string()),
        envelope: mail.envelope,
        signs: mail.signs,
        repeated_id: mail.repeated_id,
        linked_to: mail.linked_to,
        visible_body: row.try_get::<_, Option<String>>("visible_body")?.or_else(|| body.clone()),
        folded: None,
        programme: programme(row.try_get("programme")?, &direction, &channel),
        suggests: row.try_get("suggests")?,
        test: row.try_get("test")?,
        id: MessageId(row.try_get("id")?),
        conversation_id: ConversationId(row.try_get("conversation_id")?),
        contact_id: row.try_get("contact_id")?,
        direction,
        channel,
        from: row.try_get("from_address")?,
        to_count: beyond(&to, row.try_get("to_count")?),
        to,
        cc_count: beyond(&cc, row.try_get("cc_count")?),
        cc,
        bcc_count: beyond(&bcc, row.try_get("bcc_count")?),
        bcc,
        people: row.try_get::<_, Option<Json<_>>>("people")?.map_or_else(Vec::new, |json| json.0),
        message_id_header: row.try_get("message_id_header")?,
        subject: row.try_get("subject")?,
        body_truncated: is_cut(body.as_deref(), row.try_get("body_bytes")?),
        body,
        html_truncated: is_cut(html.as_deref(), row.try_get("html_bytes")?),
        html,
        attachments: row.try_get("attachments")?,
        status: row.try_get("status")?,
        provider: row.try_get("provider")?,
        provider_message_id: row.try_get("provider_message_id")?,
        attempts: row.try_get("attempts")?,
        next_attempt_at: row.try_get("next_attempt_at")?,
        recipients_count: beyond(&recipients, recipients_count.unwrap_or_default()),
        recipients: Recipient::all(recipients.into_iter().map(Recipient::from), error.as_ref()),
        error,
        segments: row.try_get("segments")?,
        metadata: row.try_get("metadata")?,
        created_at: row.try_get("created_at")?,
        scheduled_at: row.try_get("scheduled_at")?,
        sent_at: row.try_get("sent_at")?,
        delivered_at: row.try_get("delivered_at")?,
        read_at: row.try_get("read_at")?,
        updated_at: row.try_get("updated_at")?,
        authentication: row.try_get::<_, Option<Json<_>>>("authentication")?.map(|json| json.0),
        cut: row.try_get::<_, Option<Json<_>>>("cut")?.map(|json| json.0),
        position: Position(row.try_get("position")?),
    })
}
