//! What can be said to a consent. Each command carries the fact that it claims; a consent refuses none.

use super::event::{ConsentBlocked, ConsentGiven, ConsentUnblocked, ConsentWithdrawn};

/// A command to one consent.
#[derive(Debug, Clone)]
pub enum ConsentCommand {
    /// The person agrees.
    Give(ConsentGiven),
    /// The person takes a withdrawal back. Where there is none, this says nothing: a `YES` may answer any
    /// question.
    GiveBack(ConsentGiven),
    /// The person withdraws.
    Withdraw(ConsentWithdrawn),
    /// A provider blocks the address.
    Block(ConsentBlocked),
    /// A provider lifts its block.
    Unblock(ConsentUnblocked),
}

/// Why a consent refuses a command: it never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConsentRejection {}
