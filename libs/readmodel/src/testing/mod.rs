//! A projection beside those that hatch has, for tests of what several have in common. It counts the events of
//! messages by their type.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hatch_domain::ids::TenantId;
use hatch_domain::message::AGGREGATE;
use hatch_eventstore::schema::Schema;
use hatch_eventstore::{Position, RecordedEvent};
use uuid::Uuid;

use crate::engine::{WriteContext, Writer, table};
use crate::{Definition, Error, PROJECTIONS, Projections, SCHEMA};

mod embedded {
    refinery::embed_migrations!("src/testing/schema/rm_counts");
}

/// Counts events. No message waits for it.
pub static COUNTS: Definition = Definition {
    name: "counts",
    version: 1,
    schema: Schema::new("rm_counts", embedded::migrations::runner).with_history_in(SCHEMA.name()),
    tables: "rm_counts",
    aggregates: &[AGGREGATE],
    read_models: &["counts"],
    gates_admission: false,
    reads: &[LOAD],
    writer: || Box::new(CountsWriter),
    parallel: None,
};

/// The projections of a later build, which has one more.
#[must_use]
pub fn with_counts() -> Projections {
    static ALL: LazyLock<Vec<&'static Definition>> =
        LazyLock::new(|| PROJECTIONS.iter().copied().chain([&COUNTS]).collect());
    &ALL
}

const LOAD: &str =
    "SELECT tenant_id, event_type, events FROM rm_counts.counts WHERE tenant_id = ANY($1)";

/// SQL that gives an empty database a log of `events` events that only [`COUNTS`] has yet to apply: whatever else
/// follows the log has them behind it.
#[must_use]
pub fn long_log(events: i64) -> String {
    let tenant = TenantId::DEFAULT.0;
    let followers = PROJECTIONS.iter().map(|one| (one.name, one.version)).chain([("timers", 1)]);
    let checkpoint = |(name, version)| format!("('{name}', {version}, {events}, 1)");
    let checkpoints = followers.map(checkpoint).collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO es.events
         SELECT n, md5('s' || n)::uuid, 1, '{tenant}', md5('e' || n)::uuid, 'Past' || n % 3, 1, 1, now(),
                '{AGGREGATE}', NULL, NULL, NULL,
                json_build_object('correlation_id', md5('s' || n)::uuid, 'actor', 'test'), '{{}}'
           FROM generate_series(1, {events}) AS n;
         INSERT INTO es.checkpoints VALUES {checkpoints};
         INSERT INTO es.bus_generations VALUES (1, {events} + 1, 1)"
    )
}

struct CountRow {
    tenant_id: Uuid,
    event_type: String,
    events: i64,
    position: Position,
}

table! {
    static ROWS: CountRow = "rm_counts.counts", row => {
        key tenant_id: "uuid" = row.tenant_id,
        key event_type: "text" = row.event_type.as_str(),
        moving events: "bigint" = row.events,
        moving position: "bigint" = row.position.0,
    }
}

struct CountsWriter;

impl Writer for CountsWriter {
    fn apply<'a>(
        &'a mut self,
        into: WriteContext<'a>,
        page: &'a [Arc<RecordedEvent>],
    ) -> BoxFuture<'a, Result<(), Error>> {
        count(into, page).boxed()
    }
}

async fn count(into: WriteContext<'_>, page: &[Arc<RecordedEvent>]) -> Result<(), Error> {
    let counted = || page.iter().filter(|event| COUNTS.reads_event(event));
    let mut tenants: Vec<Uuid> = counted().map(|event| event.tenant_id).collect();
    tenants.sort_unstable();
    tenants.dedup();
    let mut before = BTreeMap::new();
    for row in into.query(LOAD, &tenants).await? {
        let key: (Uuid, String) = (row.try_get(0)?, row.try_get(1)?);
        before.insert(key, row.try_get::<_, i64>(2)?);
    }
    let mut rows: BTreeMap<(Uuid, &str), CountRow> = BTreeMap::new();
    for event in counted() {
        let (tenant_id, event_type) = (event.tenant_id, event.event_type.as_str());
        let row = rows.entry((tenant_id, event_type)).or_insert_with(|| {
            let event_type = event_type.to_owned();
            let events = before.get(&(tenant_id, event_type.clone())).copied().unwrap_or_default();
            CountRow { tenant_id, event_type, events, position: event.position }
        });
        row.events += 1;
        row.position = event.position;
    }
    ROWS.upsert(into, &rows.values().collect::<Vec<_>>()).await
}
