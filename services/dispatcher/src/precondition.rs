//! Whether a message may be sent at all, by what streams of other kinds say: the rule of whoever puts the
//! dispatcher together.

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use hatch_domain::SendError;
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::event::MessageRequested;
use hatch_eventstore::{Guard, LoadError};
use uuid::Uuid;

/// What must hold of other streams for a message to be attempted. The log checks it in the moment in which it takes
/// the claim, so that what was committed before is never overtaken.
pub trait Precondition: Send + Sync {
    /// What has to hold, as far as is known without reading anything; none where that has to be read first.
    fn guards(&self, tenant_id: Uuid, request: &MessageRequested) -> Option<Vec<Guard>>;

    /// Reads the streams, because one of the guards did not hold, or none is known.
    ///
    /// # Errors
    /// When they cannot be read; the delivery comes again.
    fn check<'a>(
        &'a self,
        tenant_id: Uuid,
        request: &'a MessageRequested,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Checked, LoadError>>;

    /// Hears that a provider surely did not send a message, and why, before the outcome is recorded: whoever sees
    /// that the message failed, sees what was learned by it.
    fn refused<'a>(&'a self, _refused: Refused<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

/// A message that a provider surely did not send.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// Whose message it is.
    pub tenant_id: Uuid,
    /// The message.
    pub message_id: Uuid,
    /// What was asked for.
    pub request: &'a MessageRequested,
    /// The provider.
    pub provider: &'a str,
    /// The account there.
    pub account: &'a str,
    /// What it said.
    pub error: &'a SendError,
    /// Now.
    pub at: DateTime<Utc>,
}

/// What the streams say.
#[derive(Debug, Clone)]
pub enum Checked {
    /// The message may be sent as long as these hold.
    Holds(Vec<Guard>),
    /// It may not: the command says what becomes of it.
    Fails(Box<MessageCommand>),
}
