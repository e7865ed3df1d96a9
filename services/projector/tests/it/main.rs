//! From the log to the rows, against a real PostgreSQL.

mod following;
mod support;
