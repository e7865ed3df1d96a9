//! Who changed what: one row for each event that is no message's, and for each that a client caused in a message after
//! the send. Rows are only added.

mod fold;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hatch_domain::Decider;
use hatch_domain::api_key::ApiKey;
use hatch_domain::consent::Consent;
use hatch_domain::message::Message;
use hatch_domain::pool::Pool;
use hatch_domain::route::Route;
use hatch_domain::tenant::Tenant;
use hatch_eventstore::RecordedEvent;
use hatch_eventstore::schema::Schema;
use uuid::Uuid;

use self::fold::{
    ACCOUNT, Entry, KeyName, MEMBER, begins_key, check, entry, is_audited, is_called,
};
use crate::engine::{WriteContext, Writer};
use crate::{Definition, Error, SCHEMA};

mod embedded {
    refinery::embed_migrations!("../../schema/rm_audit");
}

/// The audit, as far as the log has it. No message waits for it.
pub static DEFINITION: Definition = Definition {
    name: "audit",
    version: 1,
    schema: Schema::new("rm_audit", embedded::migrations::runner).with_history_in(SCHEMA.name()),
    tables: "rm_audit",
    aggregates: &[
        <Tenant as Decider>::KIND,
        <ApiKey as Decider>::KIND,
        <Consent as Decider>::KIND,
        <Message as Decider>::KIND,
        MEMBER,
        ACCOUNT,
        <Route as Decider>::KIND,
        <Pool as Decider>::KIND,
    ],
    read_models: &["audit"],
    gates_admission: false,
    reads: &[tables::REQUEST_IDS, tables::LOAD_KEY_NAMES],
    writer: || Box::new(AuditWriter),
    parallel: None,
};

/// It remembers nothing: few events are audited.
struct AuditWriter;

impl Writer for AuditWriter {
    fn apply<'a>(
        &'a mut self,
        into: WriteContext<'a>,
        page: &'a [Arc<RecordedEvent>],
    ) -> BoxFuture<'a, Result<(), Error>> {
        apply(into, page).boxed()
    }
}

async fn apply(into: WriteContext<'_>, page: &[Arc<RecordedEvent>]) -> Result<(), Error> {
    let audited: Vec<&RecordedEvent> =
        page.iter().map(Arc::as_ref).filter(|event| is_audited(event)).collect();
    for event in &audited {
        check(event)?;
    }
    // What comes by the bus does not say for which request it was done; the log's own rows do.
    let positions: Vec<i64> = audited.iter().map(|event| event.position.0).collect();
    let mut request_ids = BTreeMap::new();
    for row in into.query(tables::REQUEST_IDS, &positions).await? {
        let request_id: Option<String> = row.try_get(1)?;
        request_ids.insert(row.try_get::<_, Uuid>(0)?, request_id);
    }
    let begun: Vec<KeyName> = audited.iter().filter_map(|event| begins_key(event)).collect();
    let mut key_names: BTreeMap<Uuid, String> =
        begun.iter().map(|name| (name.id, name.key_id.clone())).collect();
    let keys = audited.iter().filter(|event| is_called(&event.aggregate));
    let known_before: Vec<Uuid> =
        keys.map(|event| event.stream_id).filter(|id| !key_names.contains_key(id)).collect();
    for row in into.query(tables::LOAD_KEY_NAMES, &known_before).await? {
        key_names.insert(row.try_get(0)?, row.try_get(1)?);
    }
    let entries: Vec<Entry> = audited
        .iter()
        .map(|event| {
            let request_id = request_ids.remove(&event.event_id).flatten();
            entry(event, request_id, key_names.get(&event.stream_id).map(String::as_str))
        })
        .collect();
    tables::KEY_NAMES.insert_missing(into, &begun.iter().collect::<Vec<_>>()).await?;
    tables::ENTRIES.insert(into, &entries.iter().collect::<Vec<_>>()).await
}
