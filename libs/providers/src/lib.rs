//! The messaging providers: an [`Adapter`] sends one message and says what became of it, a
//! [`Webhook`] verifies what the provider posts to us and says what it means.
//!
//! Neither has a memory. What was tried before, what to do about an outcome and which message a
//! receipt belongs to is decided elsewhere; everything that is needed for it travels through the
//! provider as a [`Correlation`] and comes back.
//!
//! To add a provider, write a folder beside [`twilio`] with the same files: `settings` (what an
//! operator configures), `wire` (the provider's own types and error codes), `adapter`, `webhook`,
//! `signature` and `tests`. Nothing of it is named outside of that folder.

mod adapter;
mod correlation;
pub mod generic;
mod http_client;
mod secret;
pub mod sendgrid;
mod shortage;
#[cfg(test)]
mod stub;
mod trouble;
pub mod twilio;
mod webhook;

pub use adapter::{Adapter, BoxFuture, Candidate, LookUp, LookedUp, Outbound, Outcome};
pub use correlation::Correlation;
pub use secret::Secret;
pub use shortage::Lack;
pub use trouble::Trouble;
pub use webhook::{
    Inbound, NotUnderstood, Observation, RawRequest, Receipt, ReportedOutcome, Suppression,
    Verified, Webhook, WebhookRefusal,
};

/// Why an adapter or a webhook cannot be made from its settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is wrong.
    #[error("use {setting}: expected {expected}")]
    Setting {
        /// The setting's key.
        setting: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// The HTTP client cannot be built, for want of root certificates as a rule.
    #[error("build an HTTP client for the provider")]
    Client(#[source] reqwest::Error),
}
