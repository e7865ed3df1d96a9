//! Rows follow from the events alone, however the log is cut into pages.

use chrono::{DateTime, Utc};
use hatch_domain::ids::TenantId;
use hatch_eventstore::{Metadata, Position};
use proptest::prelude::*;
use serde_json::json;

use super::fold::DEFAULT_TENANT;
use super::*;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time in range")
}

type Rows = (BTreeMap<Uuid, TenantRow>, BTreeMap<Uuid, ApiKeyRow>);

/// The events of a choice, all of one stream, at this second.
fn event(choice: u8, second: i64) -> (&'static str, &'static str, serde_json::Value) {
    let (tenant, key) = (<Tenant as Decider>::KIND, <ApiKey as Decider>::KIND);
    let (at, hash) = (at(second), format!("{choice:02x}").repeat(32));
    match choice % 7 {
        0 => (tenant, "TenantCreated", json!({"name": "Acme", "at": at})),
        1 => (tenant, "TenantRenamed", json!({"name": format!("Acme {choice}"), "at": at})),
        2 => (tenant, "TenantSuspended", json!({"reason": "unpaid", "at": at})),
        3 => (tenant, "TenantResumed", json!({"at": at})),
        6 => (tenant, "TeamRecipientAdded", json!({"address": "ann@example.com", "at": at})),
        4 => (
            key,
            "ApiKeyRotated",
            json!({"secret_hash": hash, "old_until": self::at(second + 60), "at": at}),
        ),
        _ => (key, "ApiKeyRevoked", json!({"at": at})),
    }
}

fn created(second: i64) -> (&'static str, &'static str, serde_json::Value) {
    let payload = json!({
        "key_id": "AbCdEfGhIj12", "name": "shop", "key_type": "live", "scopes": ["messages:read"],
        "senders": [], "channels": ["sms"], "ip_ranges": ["10.0.0.0/8"],
        "secret_hash": "00".repeat(32), "created_by": "cli", "at": at(second),
    });
    (<ApiKey as Decider>::KIND, "ApiKeyCreated", payload)
}

/// As the log has them: a tenant of stream 7 and a key of stream 8.
fn recorded(
    events: Vec<(&'static str, &'static str, serde_json::Value)>,
) -> Vec<Arc<RecordedEvent>> {
    let mut versions = [0_i64; 2];
    let events = events.into_iter().zip(1_i64..).map(|((kind, event_type, payload), position)| {
        let of_key = usize::from(kind == <ApiKey as Decider>::KIND);
        versions[of_key] += 1;
        Arc::new(RecordedEvent {
            position: Position(position),
            stream_id: Uuid::from_u128(if of_key == 1 { 8 } else { 7 }),
            version: versions[of_key],
            tenant_id: Uuid::from_u128(7),
            event_id: Uuid::from_u128(position.unsigned_abs().into()),
            event_type: event_type.to_owned(),
            schema_version: 1,
            epoch: 1,
            recorded_at: at(position),
            aggregate: kind.to_owned(),
            conversation_id: None,
            channel: None,
            priority: None,
            metadata: Metadata::default(),
            payload: RawValue::from_string(payload.to_string()).expect("JSON"),
        })
    });
    events.collect()
}

fn rows_of((tenants, keys): Rows, page: &[Arc<RecordedEvent>]) -> Rows {
    let of_tenants = facts::<Tenant>(page).expect("known events");
    let of_keys = facts::<ApiKey>(page).expect("known events");
    (fold_tenants(tenants, &of_tenants), fold(keys, &of_keys).expect("they fit"))
}

#[test]
fn a_row_shows_what_became_of_a_key_and_of_a_tenant() {
    let events = recorded(vec![event(0, 1), created(2), event(1, 3), event(2, 4), event(5, 5)]);
    let (tenants, keys) = rows_of(Rows::default(), &events);
    let tenant = tenants.values().next().expect("a tenant");
    assert_eq!((tenant.name.as_str(), tenant.suspended_at), ("Acme 1", Some(at(4))));
    assert_eq!(tenant.suspended_for.as_deref(), Some("unpaid"));
    assert!(tenant.state.is_suspended());
    assert_eq!((tenant.created_position, tenant.position), (Position(1), Position(4)));
    let key = keys.values().next().expect("a key");
    assert_eq!((key.key_id.as_str(), key.name.as_str()), ("AbCdEfGhIj12", "shop"));
    assert_eq!((key.key_type.as_str(), key.revoked_at), ("live", Some(at(5))));
    assert_eq!((key.created_position, key.position), (Position(2), Position(5)));
}

#[test]
fn a_row_shows_what_became_of_a_member() {
    let kind = <Member as Decider>::KIND;
    let invited = json!({"email": "Ann@example.com", "role": "agent", "scopes": [],
        "invitation_hash": "00".repeat(32), "expires_at": at(900), "invited_by": "cli", "at": at(1)});
    let page = recorded(vec![
        (kind, "MemberInvited", invited),
        (kind, "MemberJoined", json!({"by": "password", "at": at(2)})),
        (kind, "MemberRemoved", json!({"at": at(3)})),
    ]);
    let facts = facts::<Member>(&page).expect("known events");
    for (events, status) in [(1, "invited"), (2, "active"), (3, "removed")] {
        let rows = fold::<MemberRow>(BTreeMap::new(), &facts[..events]).expect("they fit");
        let row = rows.values().next().expect("a member");
        assert_eq!((row.email.as_str(), row.status.as_str()), ("Ann@example.com", status));
        assert_eq!(row.created_position, Position(1));
        let (first, second) = facts[..events].split_at(1);
        let in_two = fold(fold::<MemberRow>(BTreeMap::new(), first).expect("they fit"), second);
        assert_eq!(in_two.expect("they fit"), rows, "however the log is cut");
    }
    let orphan = fold::<MemberRow>(BTreeMap::new(), &facts[1..]);
    assert!(matches!(orphan, Err(Error::Misplaced { .. })));
}

#[test]
fn a_key_that_was_never_created_halts_and_events_of_others_do_not() {
    let mut page = recorded(vec![event(5, 1)]);
    let orphan = facts::<ApiKey>(&page).expect("known events");
    assert!(matches!(fold::<ApiKeyRow>(BTreeMap::new(), &orphan), Err(Error::Misplaced { .. })));
    let first = Arc::make_mut(&mut page[0]);
    first.event_type = "ApiKeyForgotten".to_owned();
    assert!(matches!(facts::<ApiKey>(&page), Err(Error::Undecodable { .. })));
    Arc::make_mut(&mut page[0]).aggregate = "message".to_owned();
    assert_eq!(facts::<ApiKey>(&page).expect("not ours").len(), 0);
}

#[test]
fn the_default_tenant_has_its_name_before_its_first_event() {
    let mut page = recorded(vec![event(2, 1)]);
    Arc::make_mut(&mut page[0]).stream_id = TenantId::DEFAULT.0;
    let (tenants, _) = rows_of(Rows::default(), &page);
    assert_eq!(tenants[&TenantId::DEFAULT.0].name, DEFAULT_TENANT);
}

proptest! {
    #[test]
    fn pages_may_be_cut_anyhow(
        choices in prop::collection::vec(0..24_u8, 0..24),
        cut in 0..26_usize,
    ) {
        let later = choices.iter().zip(3..).map(|(choice, second)| event(*choice, second));
        let events = recorded([event(0, 1), created(2)].into_iter().chain(later).collect());
        let (first, second) = events.split_at(cut.min(events.len()));
        let whole = rows_of(Rows::default(), &events);
        let in_two = rows_of(rows_of(Rows::default(), first), second);
        prop_assert_eq!(in_two, whole);
    }
}
