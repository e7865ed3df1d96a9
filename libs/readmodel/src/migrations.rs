//! The read model's own tables and views.

use hatch_eventstore::schema::Schema;

mod embedded {
    refinery::embed_migrations!("../../schema/readmodel");
}

/// The read model's tables and views, and the webhook log. It is migrated after the event store's
/// schema, which makes the role that is granted privileges here.
pub const SCHEMA: Schema = Schema::new("rm", embedded::migrations::runner);

#[cfg(test)]
pub(crate) use embedded::migrations::runner;
