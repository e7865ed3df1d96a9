//! SendGrid: mail, API version 3.
//!
//! SendGrid has no idempotency key for sends and cannot be asked for a mail. Our ids travel as
//! `custom_args`, which come back with each event: the `processed` event of a send without an answer
//! settles its doubt.

mod adapter;
mod array;
mod authentication;
mod codes;
mod envelope;
mod event;
mod inbound;
mod posted;
mod provider;
mod settings;
mod signature;
mod webhook;
mod wire;

pub use adapter::SendGridAdapter;
pub use provider::{SendGrid, account};
pub use settings::Settings;
pub use webhook::{SendGridEvents, SendGridInbound};

/// The provider's name in the log, the API and the webhook paths.
pub const PROVIDER: &str = "sendgrid";

/// Where SendGrid posts mail that came in, below the public URL, for an account that is called `sendgrid`:
/// [`SendGridInbound`] understands it.
pub const INBOUND_PATH: &str = "/api/v1/webhooks/sendgrid/inbound";

#[cfg(test)]
mod tests;
