//! The schemas of a database of hatch.

use hatch_eventstore::schema::{EVENTSTORE, Schema};

/// Every schema, in the order in which they are migrated.
#[must_use]
pub fn schemas() -> Vec<Schema> {
    let read = hatch_readmodel::schemas(hatch_readmodel::PROJECTIONS);
    [EVENTSTORE]
        .into_iter()
        .chain(read)
        .chain([hatch_due::SCHEMA, hatch_dispatcher::SCHEMA, hatch_directory::SCHEMA])
        .collect()
}
