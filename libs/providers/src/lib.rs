//! The messaging providers: an [`Adapter`] sends one message and says what became of it, a
//! [`Webhook`] verifies what the provider posts to us and says what it means.
//!
//! Neither has a memory. What was tried before, what to do about an outcome and which message a
//! receipt belongs to is decided elsewhere; everything that is needed for it travels through the
//! provider as a [`Correlation`] and comes back.
//!
//! An [`Account`] has both, and what the settings say of it beside that. [`Accounts`] are those that there are now, and
//! [`Routes`] say which of them carry which messages.
//!
//! To add a provider, write a folder beside the others with the same files: `settings` (what an
//! operator configures), `wire` (the provider's own types and error codes), `adapter`, `webhook`,
//! `signature`, `provider` and `tests`, and its line in [`PROVIDERS`] (docs/recipes/provider.md).

mod account;
mod accounts;
mod adapter;
mod correlation;
pub mod exchange;
pub mod generic;
mod http_client;
mod mail;
pub mod mailgun;
mod pools;
mod posted;
mod registry;
mod routes;
mod secret;
pub mod sendgrid;
mod shortage;
#[cfg(test)]
mod stub;
mod trouble;
pub mod twilio;
pub mod vonage;
mod webhook;

pub use account::{
    Account, Common, Context, Hook, Limits, Tenants, Terms, Wanted, is_of_this_machine,
    webhook_path,
};
pub use accounts::{AccountList, Accounts, chosen};
pub use adapter::{Adapter, BoxFuture, Candidate, Checked, LookUp, LookedUp, Outbound, Outcome};
pub use correlation::Correlation;
pub use http_client::{client_builder, root_cause};
pub use mail::class_of_status;
pub use pools::Pools;
pub use posted::Posted;
pub use registry::{
    PROVIDERS, Provider, carriers_of, commands_a_provider, default_subject, faults, provider,
    provider_names, setting_schema,
};
pub use routes::{AccountHealth, RouteQuestion, Routes, route, route_among};
pub use secret::Secret;
pub use shortage::Lack;
pub use trouble::Trouble;
pub use webhook::{
    Inbound, NotUnderstood, Observation, Once, RawRequest, Receipt, Received, ReportedOutcome,
    Suppression, Verified, Webhook, WebhookRefusal,
};

/// Why an adapter or a webhook cannot be made from its settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is wrong.
    #[error("{setting}: expected {expected}")]
    Setting {
        /// The setting's key.
        setting: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// There is no such setting.
    #[error("{setting}: unknown key, expected one of {known}")]
    UnknownSetting {
        /// The key, as far as it can be one.
        setting: String,
        /// Those that there are.
        known: String,
    },
    /// A setting is not there that has to be.
    #[error("{setting}: is required")]
    MissingSetting {
        /// The setting's key.
        setting: String,
    },
    /// A setting is of another type.
    #[error("{setting}: expected {expected}")]
    SettingType {
        /// The setting's key.
        setting: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Something about the settings that cannot be told without a value of them.
    #[error("the settings are not of the form that docs/configuration.md says")]
    SettingForm,
    /// The HTTP client cannot be built, for want of root certificates as a rule.
    #[error("no HTTP client for the provider can be made")]
    Client(#[source] reqwest::Error),
}

impl Error {
    /// The key of the setting that is wrong.
    #[must_use]
    pub fn setting(&self) -> Option<&str> {
        match self {
            Self::Setting { setting, .. } => Some(setting),
            Self::UnknownSetting { setting, .. }
            | Self::MissingSetting { setting }
            | Self::SettingType { setting, .. } => Some(setting),
            Self::SettingForm | Self::Client(_) => None,
        }
    }
}
