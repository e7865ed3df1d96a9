//! `POST /api/v1/messages`: asks for a message to be sent.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use hatch_domain::conversation::conversation_id;
use hatch_domain::ids::{ConversationId, MessageId, TenantId};
use hatch_domain::message::Message;
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::event::{Channel, MessageEvent, MessageRequested};
use hatch_domain::message::status::Status;
use hatch_eventstore::{Appended, Execute, Known, Metadata, Position, RecordedEvent, Store};
use serde::Serialize;

use super::Commands;
use super::idempotency::command_key;
use super::send_request::{Send, SendRequest};
use crate::Problem;
use crate::extract::JsonBody;
use crate::problem::POSITION;

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Both paths of the endpoint are one route for idempotency keys.
const ROUTE: &str = "POST /api/v1/messages";

/// The answer: the message exists, and is on its way.
#[derive(Debug, Serialize)]
struct Accepted {
    id: MessageId,
    conversation_id: ConversationId,
    status: Status,
    channel: Channel,
    created_at: DateTime<Utc>,
    position: Position,
}

pub(super) async fn handler(
    State(commands): State<Commands>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<SendRequest>,
) -> Result<Response, Problem> {
    let tenant = TenantId::DEFAULT;
    let send = request.validate(commands.default_sms_sender.as_ref()).map_err(Problem::invalid)?;
    let key = command_key(&headers, tenant, ROUTE, &send)?;
    let store = &commands.store;
    let id = MessageId(store.environment().new_id());
    let requested = requested(tenant, send, store.environment().now());
    let accepted = Accepted {
        id,
        conversation_id: requested.conversation_id,
        status: Status::Queued,
        channel: requested.channel,
        created_at: requested.at,
        position: Position::START,
    };
    let executed = store
        .execute::<Message>(Execute {
            tenant_id: tenant.0,
            stream_id: id.0,
            command: &MessageCommand::Request(requested),
            known: Known::At(Message::default(), 0),
            metadata: Metadata {
                correlation_id: id.0,
                actor: "api".to_owned(),
                ..Metadata::default()
            },
            key,
            guards: Vec::new(),
            side_rows: Vec::new(),
        })
        .await?;
    match executed.appended {
        Some(Appended::Duplicate { first, .. }) => Ok(answer(&replayed(store, first).await?, true)),
        Some(Appended::Committed { first, .. }) => {
            Ok(answer(&Accepted { position: first, ..accepted }, false))
        }
        None => Err(Problem::unavailable("the request made no event")),
    }
}

fn requested(tenant: TenantId, send: Send, now: DateTime<Utc>) -> MessageRequested {
    let participants = std::iter::once(&send.from).chain(&send.to);
    MessageRequested {
        conversation_id: conversation_id(tenant, participants, None),
        channel: send.channel,
        from: send.from,
        to: send.to,
        body: Some(send.body),
        attachments: Vec::new(),
        email: None,
        topic: None,
        send_at: None,
        priority: send.priority,
        metadata: send.metadata,
        at: now,
    }
}

/// The answer that the first request with this key got, read back from its event.
async fn replayed(store: &Store, first: Position) -> Result<Accepted, Problem> {
    let recorded: Option<RecordedEvent> = store.log().read_at(first).await?;
    let Some(recorded) = recorded else { return Err(Problem::not_found("first answer")) };
    match recorded.decode() {
        Ok(MessageEvent::MessageRequested(event)) => Ok(Accepted {
            id: MessageId(recorded.stream_id),
            conversation_id: event.conversation_id,
            status: Status::Queued,
            channel: event.channel,
            created_at: event.at,
            position: first,
        }),
        Ok(_) => Err(Problem::key_reused()),
        Err(error) => Err(Problem::fault(&error)),
    }
}

fn answer(accepted: &Accepted, replayed: bool) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(accepted)).into_response();
    let headers = response.headers_mut();
    headers.insert(POSITION, HeaderValue::from(accepted.position.0));
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/messages/{}", accepted.id)) {
        headers.insert(header::LOCATION, location);
    }
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
