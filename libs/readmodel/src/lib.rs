//! Read models: the projections that write them and the queries that read them.
//!
//! [`Projection::advance`] turns a page of the log into rows and moves the checkpoint, in one
//! transaction; what a page does to rows is a pure fold, without I/O and without a clock, so the same
//! log always gives the same rows. [`ReadModel`] answers queries, each for one tenant.
//! [`ReadPosition`] lets a client wait until its own write is in the rows.
//!
//! To add a field to a read model: fold it, write it, add it to the view and to the query's type. A
//! field of old messages needs the tables built anew: [`rebuild`] does that beside the live ones.
//! [`verify`] compares them with the log.

mod behind;
mod checkpoints;
mod error;
#[cfg(test)]
mod history;
mod keeping;
mod migrations;
mod projection;
mod query;
mod rebuild;
mod replica;
#[cfg(test)]
mod tests;
mod verify;
mod wait;
mod waiting;

pub use behind::{report_webhooks_behind, webhooks_behind};
pub use checkpoints::slowest_moving;
pub use error::{Error, MaintenanceError};
pub use keeping::{Kept, KeptKind, KeptPartition, WaitingCount};
pub use migrations::SCHEMA;
pub use projection::{Direction, LastMessage, Origin, PREVIEW_CHARACTERS_MAX, Projection, Young};
pub use query::{
    Conversation, ConversationFilter, Halt, LIMIT_DEFAULT, LIMIT_MAX, List, LoggedWebhook, Message,
    MessageFilter, Moment, MomentError, Page, PageError, ProjectionState, ProjectionStatus,
    QueryError, ReadModel, SentAs, TALLY_MAX, Tally, WebhookContent, WebhookFilter, WebhookOutcome,
};
pub use rebuild::rebuild;
pub use replica::Progress;
pub use verify::{Comparison, Rows, Verification, verify};
pub use wait::ReadPosition;
pub use waiting::WaitingReceipt;
