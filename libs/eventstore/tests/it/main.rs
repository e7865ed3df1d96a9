//! The event store against a real PostgreSQL.

mod append;
mod support;
