//! Messages and conversations: where each message stands, and its place in its conversation.

mod conversation;
mod fold;
mod joined;
mod message;
pub(crate) mod query;
mod recent;
mod state;
mod tables;
#[cfg(test)]
mod tests;
mod visible;
mod writer;

pub use conversation::{LastMessage, PREVIEW_CHARACTERS_MAX};
pub use message::Direction;
pub use visible::Folded;

use hatch_domain::message::AGGREGATE;

use crate::{Definition, SCHEMA};

/// Messages and conversations are one projection: a message and its place in its conversation become
/// visible together, a page costs one transaction, and the one pass over the log that rebuilds the
/// one rebuilds the other.
pub static DEFINITION: Definition = Definition {
    name: "messages",
    version: 1,
    // It is older than the others, and its tables are made by the series that all share.
    schema: SCHEMA,
    tables: "rm_messages_v1",
    aggregates: &[AGGREGATE],
    read_models: &["messages", "conversations"],
    gates_admission: true,
    reads: tables::READS,
    writer: writer::MessagesWriter::boxed,
    parallel: Some(&writer::SideBySide),
};
