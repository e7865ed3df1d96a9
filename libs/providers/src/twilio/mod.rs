//! Twilio Programmable Messaging: SMS and MMS, API version 2010-04-01.
//!
//! Twilio has no idempotency key for sends and echoes no reference of ours. So our ids travel in
//! the query of the `StatusCallback` URL, and a send without an answer is in doubt
//! until the list of messages to its recipient was read.

mod adapter;
mod codes;
mod look_up;
mod posted;
mod provider;
mod settings;
mod signature;
mod webhook;
mod wire;

pub use adapter::TwilioAdapter;
pub use provider::{Twilio, account};
pub use settings::Settings;
pub use webhook::TwilioWebhook;

/// The provider's name in the log, the API and the webhook path.
pub const PROVIDER: &str = "twilio";

/// Where Twilio posts both receipts and inbound messages, below the public URL, for an account that is called `twilio`.
pub const WEBHOOK_PATH: &str = "/api/v1/webhooks/twilio";

#[cfg(test)]
mod tests;
