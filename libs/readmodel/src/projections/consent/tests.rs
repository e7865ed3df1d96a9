//! Rows follow from the events alone, however the log is cut into pages.

use chrono::{DateTime, Utc};
use hatch_domain::Channel;
use hatch_domain::DomainEvent;
use hatch_domain::address::Address;
use hatch_domain::consent::Programme;
use hatch_domain::consent::event::{
    ConsentBlocked, ConsentEvent, ConsentGiven, ConsentUnblocked, ConsentWithdrawn, Evidence,
    WordAnswered,
};
use hatch_domain::consent::words::Confirmed;
use hatch_domain::ids::MessageId;
use hatch_eventstore::{Metadata, Position};
use proptest::prelude::*;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::*;

const TENANT: Uuid = Uuid::from_u128(1);

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time in range")
}

fn event(choice: u8, second: i64) -> ConsentEvent {
    let address = Address::phone("+18045551234").expect("a possible number");
    let programme = Programme::default_of(Channel::Sms).expect("it has one");
    let evidence = Evidence::Request { note: None };
    let (provider, account) = ("twilio".to_owned(), format!("AC{}", choice / 5));
    let (reason, conversation_id, receipt_id) = ("x".to_owned(), None, None);
    let at = at(second);
    match choice % 5 {
        0 => ConsentGiven { address, programme, evidence, conversation_id, at }.into(),
        1 => ConsentWithdrawn { address, programme, evidence, conversation_id, at }.into(),
        2 => ConsentBlocked {
            address,
            programme,
            provider,
            account,
            reason,
            message_id: None,
            receipt_id,
            conversation_id,
            at,
        }
        .into(),
        3 => ConsentUnblocked {
            address,
            programme,
            provider,
            account,
            reason,
            receipt_id,
            conversation_id,
            at,
        }
        .into(),
        _ => WordAnswered {
            address,
            programme,
            confirms: Confirmed::Help,
            message_id: MessageId(Uuid::from_u128(8)),
            answer_id: MessageId(Uuid::from_u128(9)),
            conversation_id,
            at,
        }
        .into(),
    }
}

/// Events of two consents, as the log has them.
fn recorded(choices: &[(bool, u8)]) -> Vec<Arc<RecordedEvent>> {
    let mut versions = [0_i64; 2];
    let events = choices.iter().zip(1_i64..).map(|((other, choice), position)| {
        let event = event(*choice, position);
        versions[usize::from(*other)] += 1;
        Arc::new(RecordedEvent {
            position: Position(position),
            stream_id: Uuid::from_u128(7 + u128::from(*other)),
            version: versions[usize::from(*other)],
            tenant_id: TENANT,
            event_id: Uuid::from_u128(position.unsigned_abs().into()),
            event_type: event.event_type().to_owned(),
            schema_version: event.schema_version(),
            epoch: 1,
            recorded_at: at(position),
            aggregate: AGGREGATE.to_owned(),
            conversation_id: None,
            channel: None,
            priority: None,
            metadata: Metadata::default(),
            payload: RawValue::from_string(event.encode()).expect("JSON"),
        })
    });
    events.collect()
}

fn rows_of(
    before: BTreeMap<Uuid, ConsentRow>,
    page: &[Arc<RecordedEvent>],
) -> BTreeMap<Uuid, ConsentRow> {
    fold(before, &facts::<Consent>(page).expect("known events"))
}

#[test]
fn a_row_shows_the_last_wish_and_every_block() {
    let rows =
        rows_of(BTreeMap::new(), &recorded(&[(false, 0), (false, 2), (false, 7), (false, 1)]));
    let row = rows.values().next().expect("one consent");
    assert_eq!((rows.len(), row.wish.as_deref()), (1, Some("opted_out")));
    assert_eq!(
        (row.wish_since, row.evidence.clone()),
        (Some(at(4)), Some(json!({"kind": "request"})))
    );
    let blocks: Vec<&str> = row.blocks.iter().map(|block| block.account.as_str()).collect();
    assert_eq!(blocks, ["AC0", "AC1"]);
    assert_eq!((row.position, row.updated_at), (Position(4), at(4)));
}

#[test]
fn an_answer_to_a_word_changes_nothing_that_is_shown() {
    let before = rows_of(BTreeMap::new(), &recorded(&[(false, 1)]));
    let after = rows_of(BTreeMap::new(), &recorded(&[(false, 1), (false, 4)]));
    let row =
        |rows: &BTreeMap<Uuid, ConsentRow>| rows.values().next().expect("one consent").clone();
    assert_eq!(row(&after), ConsentRow { position: Position(2), ..row(&before) });
    let alone = rows_of(BTreeMap::new(), &recorded(&[(false, 4)]));
    assert_eq!((row(&alone).wish, row(&alone).blocks), (None, Vec::new()));
}

#[test]
fn an_unknown_event_halts_and_those_of_others_do_not() {
    let mut page = recorded(&[(false, 0)]);
    let event = Arc::make_mut(&mut page[0]);
    event.event_type = "ConsentForgotten".to_owned();
    assert!(matches!(facts::<Consent>(&page), Err(Error::Undecodable { .. })));
    Arc::make_mut(&mut page[0]).aggregate = "message".to_owned();
    assert_eq!(facts::<Consent>(&page).expect("not ours").len(), 0);
}

proptest! {
    #[test]
    fn pages_may_be_cut_anyhow(
        choices in prop::collection::vec((any::<bool>(), 0..10_u8), 0..24),
        cut in 0..24_usize,
    ) {
        let events = recorded(&choices);
        let (first, second) = events.split_at(cut.min(events.len()));
        let whole = rows_of(BTreeMap::new(), &events);
        let in_two = rows_of(rows_of(BTreeMap::new(), first), second);
        prop_assert_eq!(in_two, whole);
    }
}
