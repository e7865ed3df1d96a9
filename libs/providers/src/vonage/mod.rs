//! Vonage Messages: SMS and MMS, API version 1.
//!
//! Vonage has no idempotency key for sends and no list of messages to read. So our ids travel in the client reference,
//! which each of its webhooks about the message has, and a send without an answer stays in doubt until one of them came
//! or a policy or a person settled it.

mod adapter;
mod codes;
mod inbound;
mod posted;
mod provider;
mod settings;
mod signature;
mod status;
mod token;
mod webhook;
mod wire;

pub use adapter::VonageAdapter;
pub use provider::{Vonage, account};
pub use settings::Settings;
pub use webhook::VonageWebhook;

/// The provider's name in the log, the API and the webhook path.
pub const PROVIDER: &str = "vonage";

/// Where Vonage posts both statuses and inbound messages, below the public URL, for an account that is called `vonage`.
pub const WEBHOOK_PATH: &str = "/api/v1/webhooks/vonage";

#[cfg(test)]
mod tests;
