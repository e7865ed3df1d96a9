//! Taking a valid send: one event, one answer, whichever endpoint it came by.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use hatch_domain::conversation::conversation_id;
use hatch_domain::ids::{ConversationId, MessageId, TenantId};
use hatch_domain::message::Message;
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::event::{MessageEvent, MessageRequested};
use hatch_domain::message::mail_id::MailId;
use hatch_domain::message::status::Status;
use hatch_domain::{Channel, SendOptions};
use hatch_eventstore::{Appended, CommandKey, Execute, Loaded, Position, RecordedEvent, Store};
use hatch_providers::{RouteQuestion, Wanted, carriers_of};
use serde::Serialize;
use utoipa::ToSchema;

use super::Commands;
use super::send_request::{Send, is_message_id, no_message_id, time_to_send};
use crate::auth::Caller;
use crate::names::{ChannelName, StatusName};
use crate::problem::{POSITION, Problem};

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Says in an answer's headers at which log position its write is, and whether its key was used before.
pub(crate) fn tell_write(headers: &mut HeaderMap, position: Position, replayed: bool) {
    headers.insert(POSITION, HeaderValue::from(position.0));
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
}

/// The message exists, and is on its way.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "01a1fc66-08af-740d-be36-7b7f1ec62c55",
    "conversation_id": "9a2476e4-4694-8b3f-8121-f933c8b3c73b", "status": "queued", "channel": "sms",
    "created_at": "2026-11-21T04:38:27.759138Z", "position": 1}))]
pub(crate) struct Accepted {
    #[schema(value_type = Uuid)]
    pub(crate) id: MessageId,
    #[schema(value_type = Uuid)]
    pub(crate) conversation_id: ConversationId,
    /// `queued` or `scheduled`.
    #[schema(value_type = StatusName)]
    status: Status,
    #[schema(value_type = ChannelName)]
    channel: Channel,
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    created_at: DateTime<Utc>,
    /// Whether it is a test, which reaches nobody.
    test: bool,
    /// The log position of the request.
    #[schema(value_type = i64)]
    pub(super) position: Position,
    /// The key was used before, and this is what it was answered then.
    #[serde(skip)]
    pub(super) replayed: bool,
}

impl Accepted {
    fn new(id: MessageId, event: &MessageRequested, position: Position, replayed: bool) -> Self {
        Self {
            id,
            conversation_id: event.conversation_id,
            status: if event.send_at.is_some() { Status::Scheduled } else { Status::Queued },
            channel: event.channel,
            created_at: event.at,
            test: event.test,
            position,
            replayed,
        }
    }

    /// An answer with `body` and the headers of an accepted message.
    pub(crate) fn respond(&self, status: StatusCode, body: &impl Serialize) -> Response {
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        tell_write(headers, self.position, self.replayed);
        if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/messages/{}", self.id)) {
            headers.insert(header::LOCATION, location);
        }
        response
    }
}

/// Where a message belongs by what it answers.
struct Joined {
    conversation_id: Option<ConversationId>,
    /// Whether that is a test.
    is_test: bool,
}

impl Commands {
    /// Records the request, or finds what `key` was answered the first time.
    ///
    /// # Errors
    /// A channel or sender that the caller's key does not send by, a recipient whom it does not reach, more messages
    /// waiting than may, a channel or sender that no account carries, a `send_at` out of range, a key of another request,
    /// or a log that does not answer.
    pub(crate) async fn accept(
        &self,
        caller: &Caller,
        send: Send,
        key: Option<CommandKey>,
    ) -> Result<Accepted, Problem> {
        let wants_pool = self.wants_pool(&send);
        if !wants_pool {
            caller.may_send(send.channel, &send.from)?;
        }
        caller.may_reach(&send.to, send.email.as_deref())?;
        let (store, tenant) = (&self.store, caller.tenant);
        // The pool may be another, and its choice, since the key was used first.
        if wants_pool && let Some(first) = used_before(store, key).await? {
            return replayed(store, caller, first).await;
        }
        let now = store.environment().now();
        self.admission.admit_tenant(tenant)?;
        let _on_its_way = self.admission.admit(send.channel, send.priority)?;
        let send =
            if wants_pool { self.with_sender(caller, send, caller.is_test()).await? } else { send };
        caller.may_send(send.channel, &send.from)?;
        let in_range = time_to_send(send.send_at, now);
        let mut joined = self.joined(tenant, &send).await?;
        // An answer to a test is one, whoever gives it: nobody has read the test.
        joined.is_test |= caller.is_test();
        let carried = self
            .check_kind(tenant, &send, joined.is_test)
            .and_then(|()| self.check_carried(tenant, &send, joined.is_test));
        let send_at = match (carried, in_range) {
            (Ok(()), Ok(send_at)) => send_at,
            // There may have been an account, and it may have been in range, when the key was used first.
            (carried, in_range) => match used_before(store, key).await? {
                Some(first) => return replayed(store, caller, first).await,
                None => {
                    carried?;
                    let error = in_range.err().into_iter().collect();
                    return Err(Problem::invalid(error));
                }
            },
        };
        let id = MessageId(store.environment().new_id());
        let requested = self.requested(tenant, id, Send { send_at, ..send }, joined, now);
        let accepted = Accepted::new(id, &requested, Position::START, false);
        let command = MessageCommand::Request(requested.into());
        let executed = store
            .execute(
                Execute::new(tenant.0, id.0, &command, caller.metadata(id.0))
                    .at(Message::default(), 0)
                    .key(key),
            )
            .await?;
        match executed.appended {
            Some(Appended::Duplicate { first, .. }) => replayed(store, caller, first).await,
            Some(Appended::Committed { first, .. }) => Ok(Accepted { position: first, ..accepted }),
            None => Err(Problem::unavailable("the request made no event")),
        }
    }

    /// That some account takes the message, or the one that it names. The dispatcher asks them by the same function.
    pub(super) fn check_carried(
        &self,
        tenant: TenantId,
        send: &Send,
        is_test: bool,
    ) -> Result<(), Problem> {
        let channel = send.channel;
        let Some(to) = send.to.first().filter(|_| channel.has_provider()) else { return Ok(()) };
        let question = RouteQuestion {
            wanted: Wanted { tenant, channel, from: &send.from, is_test },
            to,
            priority: send.priority,
            account: send.account.as_ref(),
            tried: &[],
            seed: None,
        };
        if self.planning.is_carried(&question) {
            return Ok(());
        }
        if let Some(name) = &send.account {
            return Err(Problem::account_unfit(name, channel));
        }
        if self.accounts.choose(&question.wanted).is_some() {
            return Err(Problem::no_account_of_route(channel));
        }
        let is_carried = self.accounts.carried(tenant, is_test).contains(&channel);
        let from = is_carried.then_some(&send.from);
        Err(Problem::no_account(channel, from, is_test))
    }

    /// The conversation that `send` says, or that of the mail that it answers, where that is known.
    async fn joined(&self, tenant: TenantId, send: &Send) -> Result<Joined, Problem> {
        let said = Joined { conversation_id: send.conversation_id, is_test: send.answers_test };
        let answered = send.email.as_ref().and_then(|email| email.in_reply_to.as_deref());
        let is_in_one = said.conversation_id.is_some();
        let Some(answered) = answered.filter(|id| !is_in_one || !is_message_id(id)) else {
            return Ok(said);
        };
        let known = match MailId::parse(answered, &self.mail_host) {
            Some(mail) => self.conversation_of_ours(tenant, mail).await?,
            None => None,
        };
        let known = match known {
            Some(known) => Some(known),
            None => self.conversation_of_named(tenant, answered).await?,
        };
        match known {
            Some(_) if is_in_one => Ok(said),
            Some(known) => Ok(known),
            None if is_message_id(answered) => Ok(said),
            None => Err(Problem::invalid(vec![no_message_id()])),
        }
    }

    /// The conversation that the name of one of our mails tells. Whoever got a mail knows such names: the message itself is
    /// asked.
    async fn conversation_of_ours(
        &self,
        tenant: TenantId,
        mail: MailId,
    ) -> Result<Option<Joined>, Problem> {
        let Loaded::<Message> { state: message, .. } =
            self.store.load(tenant.0, mail.message_id.0).await?;
        let requested = message.requested();
        let told = requested.filter(|asked| asked.conversation_id == mail.conversation_id);
        Ok(told.map(|asked| Joined {
            conversation_id: Some(asked.conversation_id),
            is_test: asked.test,
        }))
    }

    /// The conversation of a mail by another name: its Message-ID, or what its provider calls it.
    async fn conversation_of_named(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<Joined>, Problem> {
        let read_model = &self.conversations.read_model;
        let providers = carriers_of(Channel::Email);
        let named = read_model.named_mails(tenant, &[name], &[name], &providers).await?;
        Ok(named
            .first()
            .map(|mail| Joined { conversation_id: Some(mail.conversation_id), is_test: mail.test }))
    }

    /// Whether what the send answers is a test, so that it is one, too.
    pub(super) async fn is_test(&self, tenant: TenantId, send: &Send) -> Result<bool, Problem> {
        Ok(self.joined(tenant, send).await?.is_test)
    }

    fn requested(
        &self,
        tenant: TenantId,
        id: MessageId,
        send: Send,
        joined: Joined,
        now: DateTime<Utc>,
    ) -> MessageRequested {
        let conversation_id = joined.conversation_id.unwrap_or_else(|| {
            let participants = std::iter::once(&send.from).chain(&send.to);
            conversation_id(tenant, participants, send.topic.as_deref())
        });
        let mail_id = MailId { message_id: id, conversation_id };
        let email = send.email.map(|mut email| {
            email.mail_id = Some(mail_id.to_text(&self.mail_host));
            email
        });
        MessageRequested {
            conversation_id,
            channel: send.channel,
            from: send.from,
            to: send.to,
            body: send.body,
            attachments: send.attachments,
            email,
            topic: send.topic,
            send_at: send.send_at,
            priority: send.priority,
            programme: send.programme,
            confirms: None,
            metadata: send.metadata,
            test: joined.is_test,
            options: SendOptions {
                account: send.account,
                on_doubt: send.on_doubt,
                pool: send.pool_choice,
            },
            at: now,
        }
    }
}

/// The position of what `key` was used for, if it was used for this request.
pub(super) async fn used_before(
    store: &Store,
    key: Option<CommandKey>,
) -> Result<Option<Position>, Problem> {
    let Some(key) = key else { return Ok(None) };
    let recorded = store.log().command(key.id).await?;
    Ok(recorded.filter(|first| first.request_hash == key.request_hash).map(|known| known.first))
}

/// The answer that the first request with this key got, read back from its event. Another client of the tenant may have
/// made that request.
pub(super) async fn replayed(
    store: &Store,
    caller: &Caller,
    first: Position,
) -> Result<Accepted, Problem> {
    let recorded: Option<RecordedEvent> = store.log().read_at(first).await?;
    let Some(recorded) = recorded else { return Err(Problem::not_found("first answer")) };
    match recorded.decode() {
        Ok(MessageEvent::MessageRequested(event)) => {
            caller.may_change(&event)?;
            Ok(Accepted::new(MessageId(recorded.stream_id), &event, first, true))
        }
        Ok(_) => Err(Problem::key_reused()),
        Err(error) => Err(Problem::fault(&error)),
    }
}

#[cfg(test)]
mod tests;
