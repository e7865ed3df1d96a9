//! What a client of the live feed asks for: from where, and which events. Pure.

use axum::http::HeaderMap;
use hatch_domain::event_types;
use hatch_domain::ids::ConversationId;
use hatch_eventstore::{Position, RecordedEvent};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::auth::Caller;
use crate::problem::{FieldCode, FieldError, Problem};

/// What an `EventSource` says when it connects again (HTML Standard, 9.2.4).
pub(super) const LAST_EVENT_ID: &str = "last-event-id";

/// The event that brings a message into a conversation other than its own.
const JOINED: &str = "MessageJoinedConversation";

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The last position that the client has; the stream goes on after it.
    #[param(minimum = 0)]
    from: Option<i64>,
    /// Of this conversation only.
    conversation: Option<Uuid>,
    /// Of these types only, separated by commas, such as `MessageSent,MessageDelivered`.
    types: Option<String>,
}

/// The events that a client wants.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// Who asks: nothing of another tenant, and nothing that is not to be seen, is let through.
    pub(super) caller: Caller,
    conversation: Option<ConversationId>,
    types: Option<Vec<&'static str>>,
}

impl Filter {
    /// The filter of the client that asked with `parameters`.
    ///
    /// # Errors
    /// 400 for a type that no event has.
    pub(super) fn new(caller: Caller, parameters: &Parameters) -> Result<Self, Problem> {
        let types = parameters.types.as_deref().map(listed).transpose();
        let types = types.map_err(|detail| {
            let error = FieldError::coded(FieldCode::UnknownValue, "?types", detail);
            Problem::invalid(vec![error])
        })?;
        Ok(Self { caller, conversation: parameters.conversation.map(ConversationId), types })
    }

    /// Whether the client wants `event`.
    pub(super) fn lets_through(&self, event: &RecordedEvent) -> bool {
        event.tenant_id == self.caller.tenant.0
            && self.caller.may_see(&event.aggregate)
            && self.conversation.is_none_or(|id| is_of(event, id))
            && self.types.as_ref().is_none_or(|types| types.contains(&event.event_type.as_str()))
    }
}

/// Whether `event` belongs to a conversation, or brings a message into it that began in another one.
fn is_of(event: &RecordedEvent, id: ConversationId) -> bool {
    #[derive(Deserialize)]
    struct Joined {
        conversation_id: ConversationId,
    }
    if event.conversation_id == Some(id.0) {
        return true;
    }
    event.event_type == JOINED
        && serde_json::from_str(event.payload.get())
            .is_ok_and(|joined: Joined| joined.conversation_id == id)
}

fn listed(list: &str) -> Result<Vec<&'static str>, String> {
    let known = |name: &str| event_types().map(|known| known.name).find(|known| *known == name);
    let names = list.split(',').map(str::trim);
    names
        .map(|name| {
            known(name).ok_or_else(|| {
                let all: Vec<_> = event_types().map(|known| known.name).collect();
                let all = all.join(", ");
                format!("expected a list of event types ({all}), got {name:?}")
            })
        })
        .collect()
}

/// The last position that the client has: `Last-Event-ID`, which a client that connects again sends
/// with the URL that it began with, or else `?from=`. None when it wants what happens from now on.
///
/// # Errors
/// 400 for what is no position.
pub(super) fn last_seen(
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<Option<Position>, Problem> {
    let (name, position) = match headers.get(LAST_EVENT_ID) {
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.trim().parse().ok());
            ("Last-Event-ID", Some(id.unwrap_or(-1)))
        }
        None => ("?from", parameters.from),
    };
    match position {
        Some(position) if position < 0 => {
            let detail = "expected the id of an event of the stream, or 0 for the first one";
            Err(Problem::invalid(vec![FieldError::new(name, detail)]))
        }
        position => Ok(position.map(Position)),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use chrono::DateTime;
    use hatch_eventstore::Metadata;
    use serde_json::value::RawValue;

    use super::*;

    fn with_types(types: &str) -> Result<Filter, Problem> {
        let parameters = Parameters { types: Some(types.to_owned()), ..Parameters::default() };
        Filter::new(Caller::system("api"), &parameters)
    }

    #[test]
    fn types_are_a_list_of_known_names() {
        let filter = with_types("MessageSent, MessageRead").expect("both are known");
        assert_eq!(filter.types, Some(vec!["MessageSent", "MessageRead"]));
        for wrong in ["", "MessageSent,", "Teleported", "messagesent", "MessageSent;MessageRead"] {
            assert!(with_types(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_brings_a_message_into_a_conversation_is_of_that_and_of_its_own() {
        let (own, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let event = |event_type: &str| RecordedEvent {
            position: Position(1),
            stream_id: Uuid::nil(),
            version: 2,
            tenant_id: Caller::system("api").tenant.0,
            event_id: Uuid::nil(),
            event_type: event_type.to_owned(),
            schema_version: 1,
            epoch: 1,
            recorded_at: DateTime::UNIX_EPOCH,
            aggregate: "message".to_owned(),
            conversation_id: Some(own),
            channel: None,
            priority: None,
            metadata: Metadata::default(),
            payload: RawValue::from_string(format!(r#"{{"conversation_id":"{other}"}}"#))
                .expect("JSON"),
        };
        let lets_through = |conversation, event_type| {
            let conversation = Some(conversation);
            let parameters = Parameters { conversation, ..Parameters::default() };
            let filter = Filter::new(Caller::system("api"), &parameters).expect("no types");
            filter.lets_through(&event(event_type))
        };
        for conversation in [own, other] {
            assert!(lets_through(conversation, JOINED), "{conversation}");
        }
        assert!(!lets_through(other, "MessageReceived"));
        assert!(!lets_through(Uuid::from_u128(3), JOINED));
        assert!(event_types().any(|known| known.name == JOINED));
    }

    #[test]
    fn the_header_wins_over_the_parameter() {
        let parameters = Parameters { from: Some(3), ..Parameters::default() };
        let mut headers = HeaderMap::new();
        let seen = |headers: &HeaderMap| last_seen(headers, &parameters).ok().flatten();
        assert_eq!(seen(&headers), Some(Position(3)));
        headers.insert(LAST_EVENT_ID, HeaderValue::from_static("17"));
        assert_eq!(seen(&headers), Some(Position(17)));
        assert!(matches!(last_seen(&HeaderMap::new(), &Parameters::default()), Ok(None)));
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for id in ["-1", "x", "", "1.5", "99999999999999999999"] {
            let headers = HeaderMap::from_iter([(
                axum::http::HeaderName::from_static(LAST_EVENT_ID),
                HeaderValue::from_static(id),
            )]);
            assert!(last_seen(&headers, &Parameters::default()).is_err(), "{id:?}");
        }
        let negative = Parameters { from: Some(-1), ..Parameters::default() };
        assert!(last_seen(&HeaderMap::new(), &negative).is_err());
    }
}
