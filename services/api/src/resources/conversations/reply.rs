//! `POST /api/v1/conversations/{id}/messages`: answers in a conversation.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::commands::{
    Accepted, Admissible, Asked, AttachmentRequest, Commands, IdempotencyKey, OneAddress,
    OneOrSeveral, Recipients, SendRequest, Written, command_key,
};
use crate::extract::{NoParameters, PathId, QueryParameters};
use crate::names::{ChannelName, PriorityName};
use crate::problem::{Body as ProblemBody, Problem};

const ROUTE: &str = "POST /api/v1/conversations/{id}/messages";

/// An answer. The conversation says what it leaves out; each field is as in a send.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reply {
    /// The text: 1,600 characters at most for `sms` and `mms`.
    body: Option<String>,
    /// The text as HTML; `email` only.
    html: Option<String>,
    /// `email` only; when it is left out, that of the last mail with `Re:` before it.
    #[schema(max_length = 998)]
    subject: Option<String>,
    /// The files: 1 to 10 by URL for `mms`, up to 50 for `email` and `chat`.
    #[schema(value_type = Option<Vec<AttachmentRequest>>, max_items = 50)]
    attachments: Option<Vec<Value>>,
    /// Who answers; when it is left out, who was written to, or who wrote last on this side.
    #[schema(value_type = Option<OneAddress>)]
    from: Option<Written>,
    /// Which channel of the conversation; that of the last message when it is left out.
    #[schema(value_type = Option<ChannelName>)]
    channel: Option<String>,
    /// `email` only.
    #[schema(value_type = Option<OneOrSeveral>)]
    cc: Option<Recipients>,
    /// `email` only.
    #[schema(value_type = Option<OneOrSeveral>)]
    bcc: Option<Recipients>,
    /// `email` only.
    #[schema(value_type = Option<OneAddress>)]
    reply_to: Option<Written>,
    /// Further header fields; `email` only, 50 at most.
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    headers: Option<BTreeMap<String, String>>,
    /// The Message-ID of the mail that this one answers, if not the last one; `email` only.
    #[schema(max_length = 1000)]
    in_reply_to: Option<String>,
    /// When to send it: up to a year ahead.
    #[schema(value_type = Option<chrono::DateTime<Utc>>)]
    send_at: Option<String>,
    /// `normal` when it is left out.
    #[schema(value_type = Option<PriorityName>)]
    priority: Option<String>,
    /// What its recipients consent to; the default programme of the channel (`sms` or `email`) when it is left out.
    #[schema(example = "news", max_length = 64)]
    programme: Option<String>,
    /// The provider account that is to carry it, by its name, for those who must choose.
    #[schema(example = "twilio-main", max_length = 32)]
    account: Option<String>,
    /// Your own notes, given back with the message: 50 entries, 16 KiB as JSON.
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>)]
    metadata: Option<BTreeMap<String, Value>>,
}

/// Answers in a conversation
///
/// Channel, sender, recipients, topic, subject and the headers of the thread come from the conversation. A send with
/// `conversation_id` does the same.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/messages", operation_id = "reply_to_conversation",
    tag = "conversations",
    security(("bearer" = ["messages:write"])),
    params(("id" = Uuid, Path, description = "The conversation."), IdempotencyKey),
    request_body(content = Reply, example = json!({"body": "It is on its way."})),
    responses(
        (status = 202, description = "The message is recorded and will be sent.", body = Accepted,
         headers(
            ("Hatch-Position" = i64, description = "The log position of the write."),
            ("Location" = String, description = "Where the message is."),
            ("Idempotent-Replayed" = bool, description = "`true` when the key was used before."))),
        (status = 409, description = "The conversation cannot be answered; `detail` says why.",
         body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    headers: HeaderMap,
    Admissible(reply): Admissible<Reply>,
) -> Result<Response, Problem> {
    let asked = Asked::read(&commands, reply.within(id.to_string()))?;
    let key = command_key(&headers, &caller, ROUTE, &asked)?;
    let accepted = commands.take(&caller, asked, key).await?;
    Ok(accepted.respond(StatusCode::ACCEPTED, &accepted))
}

impl Reply {
    fn within(self, conversation_id: String) -> SendRequest {
        SendRequest {
            conversation_id: Some(conversation_id),
            body: self.body,
            html: self.html,
            subject: self.subject,
            attachments: self.attachments,
            from: self.from,
            channel: self.channel,
            cc: self.cc,
            bcc: self.bcc,
            reply_to: self.reply_to,
            headers: self.headers,
            in_reply_to: self.in_reply_to,
            send_at: self.send_at,
            priority: self.priority,
            programme: self.programme,
            account: self.account,
            metadata: self.metadata,
            ..SendRequest::default()
        }
    }
}
