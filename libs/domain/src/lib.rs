//! The decisions of hatch: commands in, events out, and nothing else.
//!
//! This crate performs no I/O, reads no clock and draws no random number; time and ids are handed to
//! it ([`Environment`]). Whatever it decides can therefore be decided again from the log alone.
//!
//! Start at [`message`]: it holds the life of one message from request to receipt.

pub mod account;
pub mod account_name;
pub mod actor;
pub mod address;
pub mod api_key;
mod attachment;
pub mod authentication;
pub mod carrier;
mod channel;
pub mod consent;
pub mod contact;
pub mod conversation;
mod decider;
mod email;
pub mod envelope;
mod environment;
#[doc(hidden)]
pub mod events;
pub mod ids;
pub mod ip_range;
mod kind;
pub mod mailbox;
pub mod member;
pub mod message;
pub mod pool;
mod priority;
pub mod published;
pub mod route;
pub mod scope;
pub mod sealed;
pub mod segments;
mod send_error;
mod send_options;
pub mod shape;
pub mod tenant;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod time;
pub mod traffic;

pub use attachment::Attachment;
pub use channel::Channel;
pub use decider::{Decider, DomainEvent, Ending, Routing};
pub use email::{Bounce, BouncedRecipient, Email, Envelope, MailKind};
pub use environment::{Environment, Wait};
pub use events::{DecodeError, EventType, Upcaster};
pub use kind::{CurrentEvent, KINDS, Kind, event_types};
pub use priority::Priority;
pub use send_error::{ErrorClass, SendError};
pub use send_options::{AccountChoice, OnDoubt, PoolChoice, SendOptions};
