//! The event store against a real PostgreSQL.

mod append;
mod archive;
mod ask;
mod authentication;
mod batch;
mod checkpoint;
mod faults;
mod fence;
mod follow;
mod log;
mod look;
mod schema;
mod store;
mod support;
mod transact;
