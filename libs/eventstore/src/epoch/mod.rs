//! Whether a database is still the one that its log was written in.
//!
//! A restored, cloned or failed-over database looks like any other, but others remember more than it
//! does: what was sent since the backup, what a clone's original goes on sending. So each epoch of
//! the log has the identity of its server on record. Where that is not the server's, or where
//! somebody remembers an event that the log lacks, the fence is closed: appends go on, but nothing is
//! sent and nothing is taken from the bus until somebody begins a new epoch ([`lift_fence`]).
//!
//! A port or an address that changes with a restart is no part of the identity.

mod fence;
mod identity;
mod lift;
mod regression;
mod row;
mod state;

pub use fence::{Fence, fence_closed_since};
pub(crate) use identity::complete;
pub use identity::{DatabasePlace, Identity};
pub use lift::{Lifted, lift_fence};
pub(crate) use regression::contradiction;
pub use regression::{BusEnd, report_regression};
pub use row::fence_state;
pub(crate) use row::{FENCE_ROW, FenceRow, closed, epoch_columns, epoch_tables, recorded};
pub use state::{Closed, FenceState};

/// Channel that tells of changes which open or close the fence. A hint.
pub(crate) const CHANNEL: &str = "hatch_fence";
