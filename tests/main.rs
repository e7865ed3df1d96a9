//! Scenarios across HTTP, against real PostgreSQL and NATS, with the simulator as the referee.
//!
//! `./dev test` starts the servers and names them in `HATCH_TEST_DATABASE_URL` and
//! `HATCH_TEST_NATS_URL`. Each test has a database, a NATS prefix and ports of its own.

mod abuse;
mod architecture;
mod archive;
mod bad_input;
mod bench;
mod channels;
mod checker;
mod clients;
mod compat;
mod crash;
mod dispatch;
mod doctor;
mod due;
mod faults;
mod fleet;
mod foreign;
mod fuzz_corpus;
mod generations;
mod generic;
mod halt;
mod harness;
mod idempotency;
mod inbound;
mod kept;
mod least_privilege;
mod live;
mod load;
mod observations;
mod openapi;
mod outcome_table;
mod outcomes;
mod overload;
mod plans;
mod private;
mod process;
mod providers;
mod queries;
mod random_input;
mod rebuild;
mod restore;
mod secrets;
mod send;
mod shortage;
mod shutdown;
mod stops;
mod telemetry;
mod time_travel;
mod tls;
mod tools;
mod unavailable;
mod watchdog;
mod webhooks;
