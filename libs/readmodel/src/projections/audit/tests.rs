//! What of the log is in the audit, and how it shows there.

use chrono::DateTime;
use hatch_eventstore::{Metadata, Position};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;

fn recorded(aggregate: &str, event_type: &str, actor: &str, payload: &Value) -> RecordedEvent {
    RecordedEvent {
        position: Position(7),
        stream_id: Uuid::from_u128(8),
        version: 1,
        tenant_id: Uuid::from_u128(1),
        event_id: Uuid::from_u128(9),
        event_type: event_type.to_owned(),
        schema_version: 1,
        epoch: 1,
        recorded_at: DateTime::UNIX_EPOCH,
        aggregate: aggregate.to_owned(),
        conversation_id: None,
        channel: None,
        priority: None,
        metadata: Metadata { actor: actor.to_owned(), ..Metadata::default() },
        payload: RawValue::from_string(payload.to_string()).expect("JSON"),
    }
}

#[test]
fn of_messages_only_what_a_client_caused_after_the_send_is_audited() {
    let key = "key:0123456789AB";
    for (aggregate, event_type, actor, audited) in [
        ("tenant", "TenantSuspended", "cli", true),
        ("api_key", "ApiKeyRevoked", key, true),
        ("consent", "ConsentWithdrawn", "webhook:twilio", true),
        ("contact", "ContactOpened", key, false),
        ("message", "MessageRequested", key, false),
        ("message", "MessageSent", key, false),
        ("message", "MessageCanceled", key, true),
        ("message", "MessageCanceled", "user:01a1fc66-08af-740d-be36-7b7f1ec62c55", true),
        ("message", "MessageCanceled", "token:idp/ann", true),
        ("message", "RetryRequested", "cli", true),
        ("message", "MessageCanceled", "dispatcher", false),
        ("message", "MessageDelivered", "webhook:twilio", false),
    ] {
        let event = recorded(aggregate, event_type, actor, &json!({}));
        assert_eq!(is_audited(&event), audited, "{aggregate} {event_type} {actor}");
    }
}

#[test]
fn an_entry_says_who_did_what_to_what_and_no_field_that_stays_in_the_log() {
    let payload = json!({"key_id": "AbCdEfGhIj12", "name": "shop", "secret_hash": "00".repeat(32)});
    let event = recorded("api_key", "ApiKeyCreated", "key:0123456789AB", &payload);
    let name = begins_key(&event).expect("a key begins");
    let made = entry(&event, Some("request-1".to_owned()), Some(&name.key_id));
    assert_eq!(
        (made.action.as_str(), made.key_id.as_deref()),
        ("api_key.created", Some("0123456789AB"))
    );
    assert_eq!((made.object_kind.as_str(), made.object_id.as_str()), ("api_key", "AbCdEfGhIj12"));
    assert_eq!(made.request_id.as_deref(), Some("request-1"));
    let details: Value = serde_json::from_str(made.details.get()).expect("JSON");
    assert_eq!(details, json!({"key_id": "AbCdEfGhIj12", "name": "shop"}));
    let event = recorded("tenant", "TenantRenamed", "cli", &json!({"name": "Acme"}));
    let renamed = entry(&event, None, None);
    assert_eq!((renamed.key_id, renamed.object_id), (None, Uuid::from_u128(8).to_string()));
}

#[test]
fn an_account_is_called_by_its_name_as_long_as_it_is_there() {
    let made = recorded("account", "AccountCreated", "cli", &json!({"name": "twilio-main"}));
    let name = begins_key(&made).expect("an account begins");
    assert_eq!((name.id, name.key_id.as_str()), (made.stream_id, "twilio-main"));
    let removed = recorded("account", "AccountRemoved", "cli", &json!({}));
    assert!(begins_key(&removed).is_none() && is_called(&removed.aggregate));
    let called = entry(&removed, None, Some(&name.key_id));
    assert_eq!(
        (called.action.as_str(), called.object_id.as_str()),
        ("account.removed", "twilio-main")
    );
}

#[test]
fn an_event_that_this_build_does_not_know_halts() {
    for (aggregate, event_type) in [("api_key", "ApiKeyTeleported"), ("member", "MemberTeleported")]
    {
        let event = recorded(aggregate, event_type, "cli", &json!({"secret_hash": "00"}));
        assert!(is_audited(&event));
        assert!(matches!(check(&event), Err(Error::Undecodable { .. })), "{event_type}");
    }
    assert!(check(&recorded("api_key", "ApiKeyRevoked", "cli", &json!({}))).is_ok());
}
