//! Waiting in tests for what other processes do, of which nobody tells.

pub use hatch_eventstore::testing::{PATIENCE as DEADLINE, eventually};
