//! Mailgun: mail, API version 3.
//!
//! Mailgun has no idempotency key for sends. Our own Message-ID names the mail before the call, so that its events can
//! be looked for; our ids travel as variables, which come back with each event
//! (<https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages>).

mod adapter;
mod codes;
mod event;
mod inbound;
mod look_up;
mod posted;
mod provider;
mod settings;
mod signature;
mod webhook;
mod wire;

pub use adapter::MailgunAdapter;
pub use provider::Mailgun;
pub use settings::Settings;
pub use webhook::{MailgunEvents, MailgunPosts, MailgunRoutes};

/// The provider's name in the log, the API and the webhook paths.
pub const PROVIDER: &str = "mailgun";

/// How the names of headers begin that tell Mailgun what to do: one of them sets variables, which are ours, as others
/// are believed to be.
const COMMANDING_HEADERS: &str = "x-mailgun-";

#[cfg(test)]
mod tests;
