//! What clients read. Every answer comes from the read models, except events and what was
//! at a moment of the past, which come from the log itself.

mod doubts;
mod get_attachment;
mod get_conversation;
mod get_message;
mod get_request;
mod get_webhook;
mod list_attempts;
mod list_audit;
mod list_conversation_events;
mod list_conversation_messages;
mod list_conversations;
mod list_dead_letters;
mod list_in_doubt;
mod list_message_events;
mod list_message_recipients;
mod list_messages;
mod list_projections;
mod list_providers;
mod list_requests;
mod list_webhooks;
mod parameters;
pub(crate) mod past;
mod routes;

use std::sync::Arc;

use hatch_eventstore::{HeadWatch, Log};
use hatch_readmodel::{QueryError, ReadModel, ReadPosition};
use hatch_telemetry::limit::Limit;

pub use self::doubts::DoubtRules;
pub(crate) use self::doubts::used_account;
pub use self::list_providers::{AccountFigures, Carriers, Reported};
pub(crate) use self::parameters::{
    Freshness, FreshnessParameters, PageParameters, moment, one_of, plain, with_plus,
};
pub use self::routes::router;
pub(crate) use self::routes::routes;
use crate::problem::{FieldCode, FieldError, Problem};

/// What the query role needs.
#[derive(Clone)]
pub struct Queries {
    /// The tables.
    pub read_model: ReadModel,
    /// How far they are.
    pub read_position: ReadPosition,
    /// The log.
    pub log: Log,
    /// How far that is known to be.
    pub head: HeadWatch,
    /// What becomes of doubts.
    pub doubts: Arc<DoubtRules>,
    /// Reads that may wait for a position at a time.
    pub waiting: Arc<Limit>,
    /// The accounts that messages go by.
    pub carriers: Carriers,
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Page(error) => {
                let (code, parameter) = match error {
                    hatch_readmodel::PageError::Limit => (FieldCode::OutOfRange, "?limit"),
                    hatch_readmodel::PageError::Cursor => (FieldCode::InvalidValue, "?cursor"),
                };
                Self::invalid(vec![FieldError::coded(code, parameter, error.to_string())])
            }
            QueryError::Moment(error) => {
                Self::invalid(vec![FieldError::new("?at", error.to_string())])
            }
            QueryError::Database(error) if error.is_unavailable() => {
                Self::unavailable("the read models did not answer")
            }
            QueryError::Database(error) => Self::fault(&error),
        }
    }
}

#[cfg(test)]
mod tests;
