//! What every projection can, and what one does to another: nothing.

use std::time::Duration;

use hatch_eventstore::{Connection, Position};

use super::Db;
use crate::history::*;
use crate::messages::DEFINITION;
use crate::testing::{COUNTS, with_counts};
use crate::{Definition, Error, Origin, PROJECTIONS, Projection, ReadModel, ReadPosition};

const SHORT: Duration = Duration::from_millis(30);
const MOVED_WITHIN: Duration = Duration::from_secs(60);

fn history() -> History {
    let mut history = History::default();
    for n in 1..=3 {
        history.record(TENANT, n, requested(TENANT, &phone(OURS), &customer(1)));
        history.record(TENANT, n, attempted(1));
    }
    history.push(TENANT, 9, "contact", "ContactOpened", "{}");
    history
}

/// Has `definition` apply `events` one by one from its checkpoint on, as they come.
async fn apply(db: &Db, definition: &'static Definition, history: &History) {
    let mut client = db.client().await;
    let mut projection = Projection::of(definition);
    for event in &history.events {
        let checkpoint = definition.checkpoint(&client).await.expect("a checkpoint");
        if event.position <= checkpoint.position {
            continue;
        }
        let page = (std::slice::from_ref(event), Origin::MadeUp);
        projection.advance(&mut client, &checkpoint, page).await.expect("the next page");
    }
}

async fn counted(db: &Db) -> Vec<(String, i64)> {
    let sql = "SELECT event_type, events FROM rm_counts.counts ORDER BY 1";
    let rows = db.client().await.query(sql, &[]).await.expect("rows");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn each_projection_has_a_checkpoint_and_tables_of_its_own() {
    let (history, db) = (history(), Db::new().await);
    apply(&db, &COUNTS, &history).await;
    assert_eq!(
        counted(&db).await,
        [("MessageRequested".to_owned(), 3), ("SendAttempted".to_owned(), 3)]
    );
    assert_eq!(db.dump().await, Vec::<String>::new(), "the other one has applied nothing");
    let statuses = ReadModel::of(db.pool.clone(), with_counts()).projections().await;
    let statuses = statuses.expect("they can be read");
    for (name, position) in [("messages", 0), ("conversations", 0), ("counts", 7)] {
        let status = statuses.iter().find(|one| one.name == name).expect("it is listed");
        assert_eq!(status.position, Position(position), "{name}");
    }
}

#[tokio::test]
async fn an_event_of_another_aggregate_only_moves_the_checkpoint() {
    let (history, db) = (history(), Db::with(&history().events).await);
    let before = db.dump().await;
    let mut more = history;
    more.push(TENANT, 9, "contact", "ContactClosed", "[]");
    apply(&db, &DEFINITION, &more).await;
    assert_eq!(db.checkpoint().await.position, Position(8));
    assert_eq!(db.dump().await, before);
}

#[tokio::test]
async fn who_reads_messages_waits_for_no_other_projection() {
    let db = Db::with(&history().events).await;
    let position = ReadPosition::new(ReadModel::of(db.pool.clone(), with_counts()));
    let reached = async |of: &[&Definition]| {
        position.wait_for(of, Position(7), SHORT).await.expect("the checkpoints can be read")
    };
    assert!(reached(&[&DEFINITION]).await);
    assert!(!reached(&[&COUNTS]).await);
    assert!(!reached(with_counts()).await);
}

#[tokio::test]
async fn admission_does_not_look_at_a_projection_that_no_message_waits_for() {
    let (history, db) = (history(), Db::with(&history().events).await);
    let slowest = async || {
        let client = db.client().await;
        let client: &Connection = &client;
        let found = crate::slowest_moving(client, with_counts(), MOVED_WITHIN).await;
        found.expect("the checkpoints can be read")
    };
    assert_eq!(slowest().await, Some(Position(7)));
    let mut first = History::default();
    first.events.extend(history.events[..2].iter().cloned());
    apply(&db, &COUNTS, &first).await;
    assert_eq!(slowest().await, Some(Position(7)), "the other one is at 2, and moves");
}

#[tokio::test]
async fn a_page_that_is_refused_leaves_the_other_projection_alone() {
    let (mut history, db) = (history(), Db::with(&history().events).await);
    history.push(TENANT, 1, "message", "MessageTeleported", "{}");
    let mut client = db.client().await;
    let checkpoint = DEFINITION.checkpoint(&client).await.expect("a checkpoint");
    let page = (&history.events[7..], Origin::MadeUp);
    let refused = Projection::of(&DEFINITION).advance(&mut client, &checkpoint, page).await;
    assert!(matches!(refused, Err(Error::Undecodable { .. })), "{refused:?}");
    drop(client);
    apply(&db, &COUNTS, &history).await;
    assert_eq!(counted(&db).await.len(), 3, "it counts also what it does not know");
    assert_eq!(db.checkpoint().await.position, Position(7));
}

#[test]
fn every_folder_of_a_projection_is_in_the_list() {
    let folders = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/projections"));
    let folders = folders.expect("the folder");
    let folders = folders.filter(|entry| entry.as_ref().expect("an entry").path().is_dir());
    assert_eq!(folders.count(), PROJECTIONS.len());
}

#[test]
fn projections_have_names_schemas_keys_and_read_models_of_their_own() {
    for projections in [PROJECTIONS, with_counts()] {
        let all = || projections.iter();
        let distinct = |values: Vec<String>| {
            let mut sorted = values.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), values.len(), "{values:?}");
        };
        distinct(all().map(|one| one.name.to_owned()).collect());
        distinct(all().map(|one| one.tables.to_owned()).collect());
        distinct(all().map(|one| one.key().to_string()).collect());
        distinct(all().flat_map(|one| one.read_models).map(|name| (*name).to_owned()).collect());
    }
}
