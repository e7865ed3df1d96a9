//! The projections, each a folder: its definition, its fold, its tables, its queries, its tests. What all of
//! them have in common is the engine's.

pub mod audit;
pub mod configuration;
pub mod consent;
pub mod messages;

use hatch_eventstore::schema::Schema;

use crate::{Projections, SCHEMA};

/// Every projection of this build.
pub static PROJECTIONS: Projections =
    &[&messages::DEFINITION, &consent::DEFINITION, &configuration::DEFINITION, &audit::DEFINITION];

/// The schemas of the read side, in the order in which they are migrated: what all share comes first.
#[must_use]
pub fn schemas(projections: Projections) -> Vec<Schema> {
    let own = projections.iter().map(|projection| projection.schema());
    let own = own.filter(|schema| schema.name() != SCHEMA.name());
    std::iter::once(SCHEMA).chain(own).collect()
}
