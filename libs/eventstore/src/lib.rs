//! The event store: one log with gapless positions, in PostgreSQL.
//!
//! Writers hand an [`Append`] to the process' [`Appender`], which commits many of them in one
//! transaction (group commit). Readers page the log in position order ([`Log`]) or follow it
//! ([`Subscription`]). What an event means is not known here.

mod append;
mod event;
mod position;

pub use append::{Append, AppendError, Appended, CommandKey, ExpectedVersion, Guard, SideRow, StreamWrite};
pub use event::{Metadata, NewEvent, RecordedEvent};
pub use position::Position;
