//! Who may be written to: the wish of each address and the blocks of providers, by programme.

mod fold;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hatch_domain::consent::{AGGREGATE, Consent};
use hatch_eventstore::RecordedEvent;
use hatch_eventstore::schema::Schema;

use self::fold::{ConsentRow, fold};
use crate::engine::{WriteContext, Writer, begun_before, facts};
use crate::{Definition, Error, SCHEMA};

mod embedded {
    refinery::embed_migrations!("../../schema/rm_consent");
}

/// The consents. No message waits for it: a claim asks the log itself.
pub static DEFINITION: Definition = Definition {
    name: "consent",
    version: 1,
    schema: Schema::new("rm_consent", embedded::migrations::runner).with_history_in(SCHEMA.name()),
    tables: "rm_consent",
    aggregates: &[AGGREGATE],
    read_models: &["consents"],
    gates_admission: false,
    reads: &[tables::LOAD],
    writer: || Box::new(ConsentWriter),
    parallel: None,
};

/// It remembers nothing: consents seldom change.
struct ConsentWriter;

impl Writer for ConsentWriter {
    fn apply<'a>(
        &'a mut self,
        into: WriteContext<'a>,
        page: &'a [Arc<RecordedEvent>],
    ) -> BoxFuture<'a, Result<(), Error>> {
        apply(into, page).boxed()
    }
}

async fn apply(into: WriteContext<'_>, page: &[Arc<RecordedEvent>]) -> Result<(), Error> {
    let facts = facts::<Consent>(page)?;
    let mut rows = BTreeMap::new();
    for row in into.query(tables::LOAD, &begun_before(&facts)).await? {
        let row = ConsentRow::read(&row)?;
        rows.insert(row.id, row);
    }
    let rows = fold(rows, &facts);
    tables::CONSENTS.upsert(into, &rows.values().collect::<Vec<_>>()).await
}
