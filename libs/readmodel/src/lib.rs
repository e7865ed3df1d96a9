//! Read models: the projections that write them and the queries that read them.

mod error;
#[cfg(test)]
mod history;
mod projection;
mod query;

pub use error::Error;
pub use projection::{Direction, LastMessage, PREVIEW_CHARACTERS_MAX, contact_id};
pub use query::{
    Conversation, ConversationFilter, LIMIT_DEFAULT, LIMIT_MAX, List, Message, MessageFilter, Page,
    PageError, QueryError, ReadModel, SentAs,
};
