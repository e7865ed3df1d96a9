//! Read models: the projections that write them and the queries that read them.
//!
//! [`PROJECTIONS`] names the projections. Each is a folder of its own; what they have in common is the engine's.
//! [`Projection::advance`] turns a page of the log into rows and moves the checkpoint, in one
//! transaction; what a page does to rows is a pure fold, without I/O and without a clock, so the same
//! log always gives the same rows. [`ReadModel`] answers queries, each for one tenant.
//! [`ReadPosition`] lets a client wait until its own write is in the rows.
//!
//! To add a field to a read model: fold it, write it, add it to the view and to the query's type. A
//! field of old messages needs the tables built anew: [`rebuild`] does that beside the live ones.
//! [`verify`] compares them with the log.

#![cfg_attr(test, recursion_limit = "256")]

mod behind;
mod contents;
mod engine;
mod error;
#[cfg(test)]
mod history;
mod keeping;
mod migrations;
mod projections;
mod query;
mod raw_mails;
mod tasks;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod trail;
mod wait;
mod waiting;

pub use behind::{report_webhooks_behind, webhooks_behind};
pub use contents::{Content, KeptContent};
pub use engine::{
    Comparison, Definition, Origin, Projection, Projections, RebuildProgress, RowSample,
    VerificationReport, rebuild, slowest_moving, verify,
};
pub use error::{Error, MaintenanceError};
pub use keeping::{Kept, KeptKind, KeptPartition, WaitingCount};
pub use migrations::SCHEMA;
pub use projections::configuration::{
    AccountInfo, KeyInfo, LastUse, MemberInfo, PoolInfo, PoolSenderInfo, RouteAccount, RouteInfo,
    Stored, StoredConfiguration, TenantInfo,
};
pub use projections::messages::query::{
    Conversation, ConversationAmong, ConversationFilter, DoubtFilter, Message, MessageFilter,
    MessageInDoubt, NamedMail, Recipient, SentAs, TailMessage, Timeline, UsedAccount,
};
pub use projections::messages::{Direction, Folded, LastMessage, PREVIEW_CHARACTERS_MAX};
pub use projections::{PROJECTIONS, audit, configuration, consent, messages, schemas};
pub use query::{
    AttemptDetails, AuditEntry, AuditFilter, AuditObject, Halt, LIMIT_DEFAULT, LIMIT_MAX, List,
    LoggedRequest, LoggedWebhook, Moment, MomentError, Page, PageError, ProjectionState,
    ProjectionStatus, QueryError, ReadModel, RequestFilter, TALLY_MAX, Tally, WebhookContent,
    WebhookFilter, WebhookOutcome, WholeList,
};
pub use raw_mails::{KeptMail, RawMail, RawMailFilter};
pub use tasks::{
    Begun, LeasedTask, NewTask, TASK_ERRORS_MAX, TASKS_OPEN_MAX, Task, TaskError, TaskStatus,
};
pub use trail::{AnsweredRequest, Audited, TrailKind, TrailPartition};
pub use wait::ReadPosition;
pub use waiting::WaitingReceipt;
