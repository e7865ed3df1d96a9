//! The messaging providers, for development and tests: their own APIs over HTTP, their own signed
//! webhooks, and their bad days on demand.
//!
//! It shares no type with hatch, because a mistake that both sides share shows nowhere. What the
//! recipient looks like decides what happens to a message (the table is in `behaviour.rs`); whatever was accepted is
//! kept in a record that referees every test for lost and doubled messages.
//!
//! Receipts are posted until hatch takes them, up to `callback_attempts_max` times over about a
//! minute and a half, so that a hatch that restarts for some seconds misses none. With a
//! `record_path` the record outlives a SIGKILL of the simulator too, and so do the receipts that
//! were still due.
//!
//! | path | |
//! |---|---|
//! | `/2010-04-01/Accounts/{sid}/Messages.json` | Twilio: send (POST), look up (GET) |
//! | `/2010-04-01/Accounts/{sid}/Messages/{sid}.json` | Twilio: look up one |
//! | `GET /2010-04-01/Accounts/{sid}.json` | Twilio: how the account is |
//! | `POST /v3/mail/send` | SendGrid: send |
//! | `GET /v3/scopes` | SendGrid: what the key may do |
//! | `POST /v3/{domain}/messages` | Mailgun: send |
//! | `GET /v3/{domain}/events` | Mailgun: look up |
//! | `GET /v4/domains/{domain}` | Mailgun: how the domain is |
//! | `POST /v1/messages` | Vonage: send |
//! | `GET /_sim/messages`, `DELETE /_sim` | the record as NDJSON; forget it |
//! | `GET /_sim/accounts`, `PUT /_sim/accounts/{account}` | the accounts; disturb one |
//! | `POST /_sim/inbound` | have somebody write to us |

mod behaviour;
mod clock;
mod config;
mod control;
mod delivery;
mod disturbance;
mod inbound_mail;
mod journal;
mod keys;
mod mailgun;
mod receipts;
mod record;
mod registry;
mod segments;
mod sendgrid;
mod server;
mod twilio;
mod vonage;

pub use clock::Clock;
pub use config::{Account, Config};
pub use keys::{KeyPair, key_pair};
pub use server::{run, run_by};

use std::path::{Path, PathBuf};

/// Makes the key files of every provider in `folder`, where they are missing: hatch may be given some of them before
/// the simulator starts.
///
/// # Errors
/// [`Error::KeyFile`] or [`Error::Key`] when a file cannot be had or is none.
pub fn prepare(folder: &Path) -> Result<(), Error> {
    registry::KINDS.iter().try_for_each(|kind| kind.prepare(folder))
}

/// A setting of hatch's that says how an account is at the simulator.
#[derive(Debug, Clone, Copy)]
pub struct KnownSetting {
    /// Its key.
    pub key: &'static str,
    /// Whether it is secret.
    pub is_secret: bool,
    /// The key that names a file of it, and the file that [`prepare`] makes.
    pub file: Option<(&'static str, &'static str)>,
}

impl KnownSetting {
    const fn plain(key: &'static str) -> Self {
        Self { key, is_secret: false, file: None }
    }

    const fn secret(key: &'static str) -> Self {
        Self { key, is_secret: true, file: None }
    }
}

/// The settings of hatch's for an account at `provider` that matter to the simulator; none of a provider that it does
/// not know.
#[must_use]
pub fn known_settings(provider: &str) -> &'static [KnownSetting] {
    registry::kind(provider).map(|kind| kind.settings()).unwrap_or_default()
}

/// Why the simulator cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The record's file cannot be read, or was not written by a simulator.
    #[error("open the simulator's record")]
    Record(#[source] std::io::Error),
    /// The HTTP client for callbacks cannot be built.
    #[error("build an HTTP client for callbacks")]
    Client(#[source] reqwest::Error),
    /// The file of a key cannot be read or written.
    #[error("read or write the key pair's file {}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What should be a private key is none.
    #[error("read a P-256 private key in PKCS #8 PEM")]
    Key(#[source] p256::pkcs8::Error),
    /// What should be a private RSA key is none.
    #[error("read an RSA private key in PEM")]
    RsaKey,
    /// There are accounts at a provider that the simulator does not know.
    #[error("find the provider {0}")]
    Provider(String),
    /// An account of the configuration is none.
    #[error("read the account {name}: {fault}")]
    Account {
        /// Its name.
        name: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The listener failed.
    #[error("serve the simulator")]
    Serve(#[source] std::io::Error),
}

#[cfg(test)]
mod tests;
