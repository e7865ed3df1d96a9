//! The decisions of hatch: commands in, events out, and nothing else.
//!
//! This crate performs no I/O, reads no clock and draws no random number; time and ids are handed to
//! it ([`Environment`]). Whatever it decides can therefore be decided again from the log alone.
//!
//! Start at [`message`]: it holds the life of one message from request to receipt.

pub mod address;
pub mod conversation;
mod decider;
mod environment;
pub mod ids;
pub mod message;

pub use decider::{Decider, DecodeError, DomainEvent, Routing};
pub use environment::Environment;
