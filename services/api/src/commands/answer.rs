//! Answering in a conversation: the conversation says by what channel, to whom, and which mail is answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hatch_domain::ids::{ConversationId, MessageId, TenantId};
use hatch_domain::message::Message;
use hatch_domain::message::status::Status;
use hatch_domain::{Channel, Email, Priority};
use hatch_eventstore::{CommandKey, Loaded};
use hatch_readmodel::{Direction, ReadModel, ReadPosition, TailMessage, messages};
use hatch_telemetry::limit::{Limit, Reached};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::Commands;
use super::accept::{Accepted, replayed, used_before};
use super::addressing::{self, Said};
use super::send_request::{Send, SendRequest, stands_in_header};
use crate::auth::Caller;
use crate::problem::{FieldCode, FieldError, Problem};

/// How long the read models may take to come to what is in the log already. What comes later is not waited for.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Message-IDs of the thread that an answer names at most, and bytes of them.
const REFERENCES_MAX: usize = 50;
const REFERENCES_BYTES_MAX: usize = 8 * 1024;

/// What the command role knows of conversations.
#[derive(Clone)]
pub struct Conversations {
    /// The tables.
    pub read_model: ReadModel,
    /// How far they are.
    pub read_position: ReadPosition,
    /// Reads that may wait for a position at a time.
    pub waiting: Arc<Limit>,
}

/// What a client asks to be sent.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Asked {
    /// A message that says all of itself.
    Send(Box<Send>),
    /// One of which the conversation says the rest.
    Answer(Answer),
}

/// An answer as it was asked for. Under an idempotency key it is compared by that: what the conversation adds may be
/// another thing by then.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Answer {
    written: BTreeMap<String, Value>,
    #[serde(skip)]
    conversation_id: ConversationId,
    #[serde(skip)]
    request: Box<SendRequest>,
}

impl Asked {
    /// Reads a request as far as the conversation is not asked.
    pub(crate) fn read(commands: &Commands, request: SendRequest) -> Result<Self, Problem> {
        let asked = if request.conversation_id.is_some() {
            Answer::read(request).map(Self::Answer)
        } else {
            request.validate(commands.defaults()).map(Box::new).map(Self::Send)
        };
        asked.map_err(Problem::invalid)
    }
}

impl Answer {
    fn read(request: SendRequest) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let id = request.conversation_id.as_deref().and_then(|id| Uuid::try_parse(id).ok());
        if id.is_none() {
            errors
                .push(FieldError::new("/conversation_id", "expected a conversation's id, a UUID"));
        }
        for (pointer, given) in [
            ("/to", request.to.is_some()),
            ("/topic", request.topic.is_some()),
            ("/pool", request.pool.is_some()),
        ] {
            if given {
                let detail = "comes from the conversation: leave it out";
                errors.push(FieldError::coded(FieldCode::NotAllowed, pointer, detail));
            }
        }
        let Some(id) = id.filter(|_| errors.is_empty()) else { return Err(errors) };
        let mut written: BTreeMap<String, Value> = match serde_json::to_value(&request) {
            Ok(Value::Object(fields)) => fields.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        // What is left out today and what will be there one day make no other request.
        written.retain(|_, value| !value.is_null());
        // What is written otherwise and means the same makes no other request either.
        written.insert("conversation_id".to_owned(), Value::String(id.to_string()));
        if let Some(channel) = written.remove("type") {
            written.entry("channel".to_owned()).or_insert(channel);
        }
        if written.get("priority").is_some_and(|value| value == "normal") {
            written.remove("priority");
        }
        // Those of earlier builds have it by its name of then.
        if written.get("priority").is_some_and(|value| value == Priority::Bulk.as_str()) {
            written.insert("priority".to_owned(), Priority::BULK_ONCE.into());
        }
        Ok(Self { written, conversation_id: ConversationId(id), request: Box::new(request) })
    }
}

impl Commands {
    /// Records what was asked for, or finds what `key` was answered the first time.
    ///
    /// # Errors
    /// As [`accept`](Self::accept); and a conversation that there is not, or that cannot be answered.
    pub(crate) async fn take(
        &self,
        caller: &Caller,
        asked: Asked,
        key: Option<CommandKey>,
    ) -> Result<Accepted, Problem> {
        let answer = match asked {
            Asked::Send(send) => return self.accept(caller, *send, key).await,
            Asked::Answer(answer) => answer,
        };
        // The conversation may be another, and unanswerable, since the key was used first.
        if let Some(first) = used_before(&self.store, key).await? {
            return replayed(&self.store, caller, first).await;
        }
        let send = self.completed(caller, answer).await?;
        self.accept(caller, send, key).await
    }

    /// What was asked for, with what the conversation says of it where it is an answer.
    pub(super) async fn understood(&self, caller: &Caller, asked: Asked) -> Result<Send, Problem> {
        match asked {
            Asked::Send(send) => Ok(*send),
            Asked::Answer(answer) => self.completed(caller, answer).await,
        }
    }

    /// The answer with what the conversation says of it.
    async fn completed(&self, caller: &Caller, answer: Answer) -> Result<Send, Problem> {
        let Answer { conversation_id, request, .. } = answer;
        let tenant = caller.tenant;
        let tail = self.tail(tenant, conversation_id).await?;
        let mut request = *request;
        let base = base(&request, &tail, caller.is_test())?;
        let last = self.said(tenant, base.id).await?;
        let mut last = last.ok_or_else(|| Problem::not_found("conversation"))?;
        if let (Some(mailbox), Some(email)) = (&base.mailbox, last.email.as_mut()) {
            // A mail to several of us is answered from the mailbox whose conversation this is.
            email.ours.retain(|one| one.identity() != mailbox.identity());
            email.ours.insert(0, mailbox.clone());
        }
        let senders = |direction| {
            let some = tail.iter().filter(move |one| one.direction == direction);
            some.map(|one| one.from.as_str()).collect::<Vec<_>>()
        };
        let (wrote, came) = (senders(Direction::Outbound), senders(Direction::Inbound));
        addressing::complete(&mut request, &last, (&wrote, &came), self.defaults())?;
        if last.channel == Channel::Email
            && request.in_reply_to.is_none()
            && let Some(answered) = tail.iter().find(|one| is_in_thread(one, base.test))
        {
            let answered = match answered.id == base.id {
                true => Some(last),
                false => self.said(tenant, answered.id).await?,
            };
            thread(&mut request, answered.and_then(|said| said.email));
        }
        let send = request.validate(self.defaults()).map_err(Problem::invalid)?;
        let (conversation_id, answers_test) = (Some(conversation_id), base.test);
        Ok(Send { conversation_id, answers_test, ..send })
    }

    /// The latest messages of the conversation, those among them that were in the log when this was called.
    async fn tail(
        &self,
        tenant: TenantId,
        id: ConversationId,
    ) -> Result<Vec<TailMessage>, Problem> {
        let Conversations { read_model, read_position, waiting } = &self.conversations;
        let place = waiting.take(1).map_err(|Reached| {
            Problem::behind("too many reads wait for a position: try again in a second")
        });
        let _place = place?;
        let reads = [&messages::DEFINITION];
        // Who was told of a message a moment ago answers it: what this process knows of the head may be older.
        let head = self.store.log().head().await?;
        let caught_up = read_position.wait_for(&reads, head, CATCH_UP).await?;
        let tail = read_model.conversation_tail(tenant, id).await?;
        match (tail.is_empty(), caught_up) {
            (false, _) => Ok(tail),
            (true, true) => Err(Problem::not_found("conversation")),
            (true, false) => {
                Err(Problem::behind("the read models may not have the conversation yet"))
            }
        }
    }

    /// What a message says, by its stream.
    async fn said(&self, tenant: TenantId, id: MessageId) -> Result<Option<Said>, Problem> {
        let Loaded::<Message> { state, .. } = self.store.load(tenant.0, id.0).await?;
        Ok(Said::of(&state))
    }
}

/// The message that is answered: the latest one of the channel that the request names, or else of any. Where tests and
/// others are in one conversation, each is answered by its own: people read no tests.
fn base<'a>(
    request: &SendRequest,
    tail: &'a [TailMessage],
    is_test: bool,
) -> Result<&'a TailMessage, Problem> {
    let named = request.channel.as_deref().or(request.r#type.as_deref());
    // An SMS with files is an MMS.
    let family = |name: &str| if name == "mms" { "sms".to_owned() } else { name.to_owned() };
    let wanted = named.map(family);
    let fits = |one: &&TailMessage| {
        let channel = one.channel.map(|channel| family(channel.as_str()));
        channel.is_some() && (wanted.is_none() || channel == wanted)
    };
    // A mail server is not who is answered.
    let written = |one: &&TailMessage| fits(one) && !one.is_bounce;
    let found = tail.iter().find(|one| written(one) && one.test == is_test);
    let found = found.or_else(|| tail.iter().find(written)).or_else(|| tail.iter().find(fits));
    found.ok_or_else(|| {
        let pointer = if request.r#type.is_some() { "/type" } else { "/channel" };
        let detail = "expected a channel that the conversation has, or none";
        Problem::invalid(vec![FieldError::coded(FieldCode::UnknownValue, pointer, detail)])
    })
}

/// Whether the other side may have the mail, so that an answer can name it. Only an answer to a test names tests.
fn is_in_thread(message: &TailMessage, to_test: bool) -> bool {
    let unseen = [Status::Failed, Status::Undelivered, Status::Canceled, Status::Scheduled];
    message.is_named
        && !message.is_bounce
        && (to_test || !message.test)
        && !unseen.iter().any(|status| status.as_str() == message.status)
}

/// Has the request answer a mail, in its thread.
fn thread(request: &mut SendRequest, answered: Option<Box<Email>>) {
    let Some(Email { mail_id: Some(mail_id), references, in_reply_to, .. }) =
        answered.map(|email| *email)
    else {
        return;
    };
    // What is none would break the header that it stands in.
    if !stands_in_header(&mail_id) {
        return;
    }
    // A mail that names no thread may name the one that it answers (RFC 5322, section 3.6.4).
    let before = if references.is_empty() { in_reply_to.into_iter().collect() } else { references };
    let named = before.into_iter().filter(|id| stands_in_header(id) && *id != mail_id);
    let named: Vec<String> = named.collect();
    let root = named.first();
    let mut bytes = root.map_or(0, String::len);
    let latest = std::iter::once(&mail_id).chain(named.iter().skip(1).rev());
    let latest = latest.take(REFERENCES_MAX - 1).take_while(|id| {
        bytes += id.len();
        bytes <= REFERENCES_BYTES_MAX
    });
    let mut thread: Vec<String> = latest.chain(root).cloned().collect();
    thread.reverse();
    request.thread = thread;
    request.in_reply_to = Some(mail_id);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(channel: Channel, status: Status, is_named: bool) -> TailMessage {
        TailMessage {
            id: MessageId(Uuid::from_u128(channel as u128 + 1)),
            direction: Direction::Outbound,
            channel: Some(channel),
            from: "us@example.com".to_owned(),
            status: status.as_str().to_owned(),
            is_named,
            is_bounce: false,
            mailbox: None,
            test: false,
        }
    }

    #[test]
    fn the_latest_message_of_the_channel_is_answered() {
        let tail = [Channel::Chat, Channel::Mms, Channel::Email];
        let tail = tail.map(|channel| message(channel, Status::Delivered, false));
        let answers = |channel: Option<&str>| {
            let channel = channel.map(str::to_owned);
            let request = SendRequest { channel, ..SendRequest::default() };
            base(&request, &tail, false).ok().map(|one| one.id)
        };
        assert_eq!(answers(None), Some(tail[0].id));
        assert_eq!(answers(Some("sms")), Some(tail[1].id));
        assert_eq!(answers(Some("mms")), Some(tail[1].id));
        assert_eq!(answers(Some("email")), Some(tail[2].id));
        assert_eq!(answers(Some("pigeon")), None);
        assert!(base(&SendRequest::default(), &[], false).is_err());
    }

    #[test]
    fn a_test_is_answered_by_who_tests_and_by_others_where_there_is_nothing_else() {
        let meant = message(Channel::Email, Status::Delivered, true);
        let test = TailMessage { id: MessageId(Uuid::from_u128(99)), test: true, ..meant.clone() };
        let answered = |tail: &[TailMessage], is_test| {
            base(&SendRequest::default(), tail, is_test).ok().map(|one| one.id)
        };
        for tail in [[test.clone(), meant.clone()], [meant.clone(), test.clone()]] {
            assert_eq!(answered(&tail, false), Some(meant.id));
            assert_eq!(answered(&tail, true), Some(test.id));
        }
        assert_eq!(answered(std::slice::from_ref(&test), false), Some(test.id));
        assert_eq!(answered(std::slice::from_ref(&meant), true), Some(meant.id));
        assert!(is_in_thread(&test, true) && !is_in_thread(&test, false));
        assert!(is_in_thread(&meant, true) && is_in_thread(&meant, false));
    }

    #[test]
    fn an_answer_goes_past_a_bounce_unless_there_is_nothing_else() {
        let bounce = TailMessage {
            id: MessageId(Uuid::from_u128(99)),
            is_bounce: true,
            ..message(Channel::Email, Status::Received, true)
        };
        assert!(!is_in_thread(&bounce, false));
        let tail = [bounce, message(Channel::Email, Status::Delivered, true)];
        let answered = |tail: &[TailMessage]| {
            base(&SendRequest::default(), tail, false).ok().map(|one| one.id)
        };
        assert_eq!(answered(&tail), Some(tail[1].id));
        assert_eq!(answered(&tail[..1]), Some(tail[0].id));
    }

    #[test]
    fn a_mail_that_nobody_got_is_in_no_thread() {
        let named = |status| is_in_thread(&message(Channel::Email, status, true), false);
        for status in [Status::Received, Status::Delivered, Status::Sent, Status::Queued] {
            assert!(named(status), "{status:?}");
        }
        for status in [Status::Failed, Status::Undelivered, Status::Canceled, Status::Scheduled] {
            assert!(!named(status), "{status:?}");
        }
        assert!(!is_in_thread(&message(Channel::Email, Status::Received, false), false));
    }

    #[test]
    fn an_answer_names_the_mail_and_the_last_ones_before_it() {
        let answer = |mail_id: &str, references: &[String]| {
            let mut request = SendRequest::default();
            let email = Email {
                mail_id: Some(mail_id.to_owned()),
                references: references.to_vec(),
                ..Email::default()
            };
            thread(&mut request, Some(Box::new(email)));
            (request.in_reply_to, request.thread)
        };
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let (answered, named) =
            answer("c@x.com", &ids(&["a@x.com", "an id", "no\nid", "c@x.com", "b@x.com"]));
        assert_eq!(answered.as_deref(), Some("c@x.com"));
        assert_eq!(named, ids(&["a@x.com", "an id", "b@x.com", "c@x.com"]));
        let many: Vec<String> = (0..100).map(|n| format!("{n}@x.com")).collect();
        let (_, named) = answer("last@x.com", &many);
        assert_eq!(named.len(), REFERENCES_MAX);
        assert_eq!(
            (named[0].as_str(), named[1].as_str()),
            ("0@x.com", "52@x.com"),
            "the first one"
        );
        assert_eq!(answer("0000004E@", &[]).0.as_deref(), Some("0000004E@"));
        assert_eq!(answer("a\r\nBcc: b@x.com", &[]), (None, Vec::new()));
    }
}
