//! From the log to the rows, against a real PostgreSQL.

mod filling;
mod following;
mod support;
