//! The relay against a real PostgreSQL and nats-server, with a database and a stream of its own for
//! each test.

mod failures;
mod relaying;
mod support;
