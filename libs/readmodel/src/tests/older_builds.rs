//! Tables of the configuration that an earlier build goes on writing, after a migration has had them made anew.

use hatch_domain::Decider;
use hatch_domain::api_key::ApiKey;
use hatch_domain::tenant::Tenant;
use hatch_eventstore::{Checkpoint, Position};
use serde_json::json;

use super::Db;
use crate::configuration::DEFINITION;
use crate::history::*;
use crate::{Origin, Projection};

/// A tenant and a key of its own, several pages long.
fn history() -> History {
    let (tenant, key) = (<Tenant as Decider>::KIND, <ApiKey as Decider>::KIND);
    let created = json!({
        "key_id": "AbCdEfGhIj12", "name": "shop", "key_type": "live", "scopes": ["messages:read"],
        "senders": [], "channels": ["sms"], "ip_ranges": [], "secret_hash": "00".repeat(32),
        "created_by": "cli", "at": at(2),
    });
    let rotated = json!({"secret_hash": "01".repeat(32), "old_until": at(90), "at": at(4)});
    let mut history = History::default();
    for (stream, kind, event_type, payload) in [
        (7, tenant, "TenantCreated", json!({"name": "Acme", "at": at(1)})),
        (8, key, "ApiKeyCreated", created),
        (7, tenant, "TenantRenamed", json!({"name": "Acme Ltd", "at": at(3)})),
        (8, key, "ApiKeyRotated", rotated),
        (7, tenant, "TenantSuspended", json!({"reason": "unpaid", "at": at(5)})),
    ] {
        history.push(OTHER_TENANT, stream, kind, event_type, &payload.to_string());
    }
    history
}

/// Applies the history, an event a page, by a projector of this version.
async fn apply(db: &Db, version: i32) {
    let mut client = db.client().await;
    let checkpoint = Checkpoint::load(&client, DEFINITION.name(), version).await;
    let mut checkpoint = checkpoint.expect("a checkpoint");
    let mut projection = Projection::of(&DEFINITION);
    for page in history().events.chunks(1) {
        let page = (page, Origin::MadeUp);
        checkpoint = projection.advance(&mut client, &checkpoint, page).await.expect("applied");
    }
    assert_eq!(checkpoint.position, Position(5));
}

async fn rows(db: &Db) -> Vec<String> {
    let sql = "SELECT to_json(t)::text FROM rm_configuration.tenants t
                UNION ALL SELECT to_json(k)::text FROM rm_configuration.api_keys k ORDER BY 1";
    let rows = db.client().await.query(sql, &[]).await.expect("the tables can be read");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn rows_that_an_earlier_build_has_filled_again_are_what_the_log_says_when_this_one_has_applied_it()
 {
    let (db, untouched) = (Db::new().await, Db::new().await);
    apply(&untouched, DEFINITION.version()).await;
    apply(&db, DEFINITION.version() - 1).await;
    let stored = db.read_model().configuration().await.expect("it can be read");
    assert_eq!(stored.position, Position::START, "another version's checkpoint says nothing");
    apply(&db, DEFINITION.version()).await;
    let (rows, expected) = (rows(&db).await, rows(&untouched).await);
    assert_eq!((rows.len(), rows), (2, expected));
}
