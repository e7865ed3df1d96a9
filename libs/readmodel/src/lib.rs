//! Read models: the projections that write them and the queries that read them.

mod checkpoints;
mod error;
#[cfg(test)]
mod history;
mod migrations;
mod projection;
mod query;
#[cfg(test)]
mod tests;
mod wait;

pub use error::Error;
pub use migrations::SCHEMA;
pub use projection::{Direction, LastMessage, PREVIEW_CHARACTERS_MAX, Projection, contact_id};
pub use query::{
    Conversation, ConversationFilter, Halt, LIMIT_DEFAULT, LIMIT_MAX, List, Message, MessageFilter,
    Page, PageError, ProjectionState, ProjectionStatus, QueryError, ReadModel, SentAs,
};
pub use wait::ReadPosition;
