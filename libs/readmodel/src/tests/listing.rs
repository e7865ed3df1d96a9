//! Lists: filters, tenants, and pages that hold still while others write.

use std::collections::HashSet;

use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::ids::{ConversationId, TenantId};
use hatch_domain::message::event::MessageRequested;
use hatch_domain::message::status::Status;
use hatch_eventstore::Position;

use super::Db;
use crate::history::*;
use crate::{
    ConversationFilter, Direction, List, Message, MessageFilter, Page, PageError, QueryError,
};

fn ids(list: &List<Message>) -> Vec<u128> {
    list.data.iter().map(|message| message.id.0.as_u128() - id(0).0.as_u128()).collect()
}

fn page(limit: u32, cursor: Option<String>) -> Page {
    Page::new(Some(limit), cursor).expect("a lawful limit")
}

/// Messages 1 and 2 to customer 1, of which 2 is a test, 3 from customer 2, 4 to customer 1 of the other tenant.
fn few() -> History {
    let mut history = History::default();
    history.record(TENANT, 1, requested(TENANT, &phone(OURS), &customer(1)));
    let request = requested(TENANT, &phone(OURS), &customer(1));
    history.record(TENANT, 2, MessageRequested { test: true, ..request });
    history.record(TENANT, 3, received(TENANT, &customer(2), &phone(OURS)));
    history.record(OTHER_TENANT, 4, requested(OTHER_TENANT, &phone(OURS), &customer(1)));
    history.record(TENANT, 2, attempted(1));
    history.record(TENANT, 2, send_failed(1, None));
    history.record(TENANT, 2, failed(1));
    history
}

fn conversation_with(tenant: TenantId, n: u32) -> ConversationId {
    requested(tenant, &phone(OURS), &customer(n)).conversation_id
}

#[tokio::test]
async fn messages_come_newest_first_and_each_filter_narrows_them() {
    let db = Db::with(&few().events).await;
    let all = MessageFilter::default();
    let cases = [
        (all.clone(), vec![3, 2, 1]),
        (MessageFilter { participant: Some(customer(1)), ..all.clone() }, vec![2, 1]),
        (MessageFilter { participant: Some(phone(OURS)), ..all.clone() }, vec![3, 2, 1]),
        (MessageFilter { participant: Some(customer(7)), ..all.clone() }, vec![]),
        (
            MessageFilter { conversation: Some(conversation_with(TENANT, 2)), ..all.clone() },
            vec![3],
        ),
        (MessageFilter { channel: Some(Channel::Sms), ..all.clone() }, vec![3, 2, 1]),
        (MessageFilter { direction: Some(Direction::Inbound), ..all.clone() }, vec![3]),
        (MessageFilter { direction: Some(Direction::Outbound), ..all.clone() }, vec![2, 1]),
        (MessageFilter { status: Some(Status::Failed), ..all.clone() }, vec![2]),
        (MessageFilter { status: Some(Status::Queued), ..all.clone() }, vec![1]),
        (MessageFilter { test: Some(true), ..all.clone() }, vec![2]),
        (MessageFilter { test: Some(false), ..all.clone() }, vec![3, 1]),
        (
            MessageFilter {
                participant: Some(customer(1)),
                conversation: Some(conversation_with(TENANT, 1)),
                channel: Some(Channel::Sms),
                direction: Some(Direction::Outbound),
                status: Some(Status::Queued),
                test: Some(false),
                ..all.clone()
            },
            vec![1],
        ),
    ];
    for (filter, expected) in cases {
        let list = db.read_model().messages(TENANT, &filter, &Page::default()).await;
        assert_eq!(ids(&list.expect("it can be listed")), expected, "{filter:?}");
    }
}

#[tokio::test]
async fn conversations_come_latest_first_and_each_filter_narrows_them() {
    let db = Db::with(&few().events).await;
    let (first, second) = (conversation_with(TENANT, 1), conversation_with(TENANT, 2));
    let all = ConversationFilter::default();
    let cases = [
        (all.clone(), vec![second, first]),
        (ConversationFilter { participant: Some(customer(1)), ..all.clone() }, vec![first]),
        (ConversationFilter { participant: Some(phone(OURS)), ..all.clone() }, vec![second, first]),
        (ConversationFilter { participant: Some(customer(7)), ..all.clone() }, vec![]),
        (ConversationFilter { channel: Some(Channel::Sms), ..all.clone() }, vec![second, first]),
    ];
    for (filter, expected) in cases {
        let list = db.read_model().conversations(TENANT, &filter, &Page::default()).await;
        let list = list.expect("it can be listed");
        let found: Vec<_> = list.data.iter().map(|conversation| conversation.id).collect();
        assert_eq!(found, expected, "{filter:?}");
        assert_eq!(list.next_cursor, None);
    }
}

#[tokio::test]
async fn no_query_sees_another_tenants_rows() {
    let db = Db::with(&few().events).await;
    let read_model = db.read_model();
    let (ours, theirs) = (conversation_with(TENANT, 1), conversation_with(OTHER_TENANT, 1));
    let page = Page::default();
    let check = async |tenant, message: u128, own: ConversationId, other: ConversationId| {
        let list = read_model.messages(tenant, &MessageFilter::default(), &page).await;
        assert_eq!(ids(&list.expect("it can be listed")).contains(&4), tenant == OTHER_TENANT);
        let narrowed = MessageFilter { participant: Some(customer(1)), ..MessageFilter::default() };
        let list = read_model.messages(tenant, &narrowed, &page).await.expect("listed");
        assert_eq!(ids(&list).contains(&4), tenant == OTHER_TENANT);
        let list = read_model.conversations(tenant, &ConversationFilter::default(), &page).await;
        assert!(list.expect("it can be listed").data.iter().all(|c| c.id != other));
        assert_eq!(read_model.message(tenant, id(message)).await.expect("read"), None);
        assert_eq!(read_model.conversation(tenant, other).await.expect("read"), None);
        assert!(read_model.conversation(tenant, own).await.expect("read").is_some());
        let foreign = read_model.conversation_messages(tenant, other, &page).await;
        assert_eq!(foreign.expect("it can be listed"), None);
        let own = read_model.conversation_messages(tenant, own, &page).await;
        assert!(own.expect("it can be listed").is_some());
    };
    check(TENANT, 4, ours, theirs).await;
    check(OTHER_TENANT, 1, theirs, ours).await;
}

#[tokio::test]
async fn a_conversation_is_live_once_somebody_has_written_in_it() {
    let db = Db::with(&few().events).await;
    let tenants = [TENANT, OTHER_TENANT];
    let live_by = async |account: &str, one: Address, tests: bool| {
        let by = ("twilio", account);
        let mut group = vec![OURS.to_owned(), one.identity().as_str().to_owned()];
        group.sort_unstable();
        let among = db.read_model().conversations_among(&tenants, &one, &[group], by, tests).await;
        let mut among = among.expect("it can be read");
        among.sort_unstable_by_key(|one| one.tenant_id);
        among.iter().map(|one| (one.tenant_id, one.is_live)).collect::<Vec<_>>()
    };
    let live = async |one: Address, tests: bool| live_by(ACCOUNT, one, tests).await;
    // Messages that wait, and a test that was tried.
    let mut waiting = vec![(TENANT, false), (OTHER_TENANT, false)];
    waiting.sort_unstable();
    assert_eq!(live(customer(1), false).await, waiting);
    let mut tried = vec![(TENANT, true), (OTHER_TENANT, false)];
    tried.sort_unstable();
    assert_eq!(live(customer(1), true).await, tried);
    assert_eq!(live(customer(2), false).await, [(TENANT, true)], "it came in");
    assert_eq!(live_by("AC2", customer(2), false).await, [(TENANT, false)], "by another account");
    assert!(live(customer(7), false).await.is_empty());
}

#[tokio::test]
async fn paging_through_messages_while_others_write_repeats_and_drops_nothing() {
    let mut history = History::default();
    for n in 1..=125 {
        history.record(TENANT, n, requested(TENANT, &phone(OURS), &customer(1)));
    }
    let db = Db::with(&history.events).await;
    let filters = [
        MessageFilter::default(),
        MessageFilter { participant: Some(customer(1)), ..MessageFilter::default() },
    ];
    for filter in filters {
        let there = history.events.iter().filter(|event| event.version == 1).count();
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let list = db.read_model().messages(TENANT, &filter, &page(50, cursor)).await;
            let list = list.expect("it can be listed");
            assert!(list.data.len() <= 50);
            seen.extend(ids(&list));
            cursor = list.next_cursor;
            if cursor.is_none() {
                break;
            }
            // A new message, and one of every message seen so far moves on.
            let from = db.checkpoint().await.position;
            let new = 1_000 + u128::try_from(from.0).expect("positive");
            history.record(TENANT, new, requested(TENANT, &phone(OURS), &customer(1)));
            history.record(TENANT, seen[seen.len() / 2], attempted(1));
            let written = usize::try_from(from.0).expect("positive");
            db.advance(from, &history.events[written..]).await.expect("it is the next");
        }
        assert_eq!(seen.len(), there, "none dropped");
        assert_eq!(seen.iter().collect::<HashSet<_>>().len(), there, "none repeated");
        assert!(seen.is_sorted_by(|a, b| position_of(&history, *a) > position_of(&history, *b)));
    }
}

fn position_of(history: &History, message: u128) -> Option<Position> {
    history.events.iter().find(|e| e.stream_id == id(message).0).map(|e| e.position)
}

#[tokio::test]
async fn a_conversation_that_moves_while_a_client_pages_disturbs_no_other() {
    let mut history = History::default();
    for n in 1..=12 {
        history.record(TENANT, u128::from(n), requested(TENANT, &phone(OURS), &customer(n)));
    }
    let db = Db::with(&history.events).await;
    let read_model = db.read_model();
    let all = ConversationFilter::default();
    let first = read_model.conversations(TENANT, &all, &page(5, None)).await.expect("listed");
    // One that was seen and one that was not yet seen get a message.
    history.record(TENANT, 100, received(TENANT, &customer(10), &phone(OURS)));
    history.record(TENANT, 101, received(TENANT, &customer(3), &phone(OURS)));
    db.advance(Position(12), &history.events[12..]).await.expect("it is the next");
    let rest = read_model.conversations(TENANT, &all, &page(50, first.next_cursor)).await;
    let rest = rest.expect("listed");
    let seen: Vec<_> = first.data.iter().chain(&rest.data).map(|c| c.id).collect();
    let unmoved = (1..=12).rev().filter(|n| *n != 3).map(|n| conversation_with(TENANT, n));
    assert_eq!(seen, unmoved.collect::<Vec<_>>(), "the moved one is on top of a fresh first page");
    let fresh = read_model.conversations(TENANT, &all, &page(2, None)).await.expect("listed");
    let top: Vec<_> = fresh.data.iter().map(|c| c.id).collect();
    assert_eq!(top, [conversation_with(TENANT, 3), conversation_with(TENANT, 10)]);
}

#[tokio::test]
async fn a_full_last_page_has_no_next_one() {
    let db = Db::with(&few().events).await;
    let list = db.read_model().messages(TENANT, &MessageFilter::default(), &page(3, None)).await;
    assert_eq!(list.expect("it can be listed").next_cursor, None);
}

#[tokio::test]
async fn garbage_for_a_cursor_is_a_typed_error() {
    let db = Db::new().await;
    let read_model = db.read_model();
    let garbage = page(10, Some("not-a-cursor".to_owned()));
    let messages = read_model.messages(TENANT, &MessageFilter::default(), &garbage).await;
    let conversations =
        read_model.conversations(TENANT, &ConversationFilter::default(), &garbage).await;
    assert!(matches!(messages, Err(QueryError::Page(PageError::Cursor))));
    assert!(matches!(conversations, Err(QueryError::Page(PageError::Cursor))));
}
