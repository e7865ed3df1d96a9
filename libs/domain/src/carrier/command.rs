//! What may be told of an account, and why it may be refused.

use chrono::{DateTime, Utc};

use super::event::{BreakerClosed, BreakerOpened, WeightsShifted};

/// What may be told of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarrierCommand {
    /// Nobody is to send by it for a while.
    Open(BreakerOpened),
    /// Everybody sends by it again.
    Close {
        /// The closing.
        closed: BreakerClosed,
        /// When the breaker was opened that closes: one that was opened since stays as it is.
        opened_at: DateTime<Utc>,
    },
    /// Messages are shared in another way.
    Shift(WeightsShifted),
}

/// No command about an account is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CarrierRejection {}
