//! Messages that something other than a known provider brings, as JSON. There is no signature: who
//! may post is a matter of a secret, or of nobody else being there.

mod settings;
mod webhook;

pub use settings::Settings;
pub use webhook::GenericWebhook;

/// The provider's name in the log, the API and the webhook path.
pub const PROVIDER: &str = "generic";

/// The one account that its messages come in by.
pub const ACCOUNT: &str = "generic";

/// Where messages may be posted, below the public URL. All paths take the same; the last two are
/// those of older systems.
pub const PATHS: [&str; 3] = ["/api/v1/webhooks/generic", SMS_PATH, EMAIL_PATH];

/// Of older systems, for phone messages.
const SMS_PATH: &str = "/api/webhooks/sms";

/// Of older systems, for mail.
const EMAIL_PATH: &str = "/api/webhooks/email";

#[cfg(test)]
mod tests;
