//! The bus: the log's events on NATS JetStream, as CloudEvents.
//!
//! One stream holds a contiguous piece of the log, and **a message's stream sequence is its event's
//! position**. That makes the stream a function of the log: whoever publishes names the sequence it
//! expects before its own, so a late or lost publish is refused by the server instead of shifting
//! what follows. The bus carries work and freshness, never truth: it may lose everything, and
//! whoever reads it repairs gaps from the log.
//!
//! - [`Bus`] is the connection; it is never waited for.
//! - [`Publisher`] writes a generation of the stream, in log order; the relay has the only one.
//! - [`BusReader`] feeds readers that keep their own checkpoint, without acknowledgements.
//! - [`WorkQueue`] hands out work that must be acknowledged.
//!
//! Reaching NATS proves nothing: each message bears a MAC by a secret that the bus does not know
//! ([`Keys`]), and nothing of a message without a right one is believed.
//!
//! What an event means is not known here; its form is the one that it has everywhere
//! ([`Envelope`]).

mod access;
mod bus;
mod consumer;
mod error;
mod follow;
mod inspect;
mod mac;
mod publisher;
mod pull;
mod retry;
mod settings;
mod stream;
mod subject;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(test)]
mod tests;
mod trust;
mod version;
mod work_queue;

pub use access::{Access, ConnectionTrouble};
pub use bus::{Bus, BusState, WINDOW_MAX};
pub use consumer::Begin;
pub use error::Error;
pub use follow::BusReader;
pub use hatch_domain::envelope::Envelope;
pub use inspect::{Difference, QueueReport, StreamReport};
pub use mac::{Foreign, Key};
pub use publisher::Publisher;
pub use settings::Settings;
pub use stream::{Last, StreamState};
pub use trust::{ForeignMessage, Keys};
pub use work_queue::{Delivery, Work, WorkQueue};
