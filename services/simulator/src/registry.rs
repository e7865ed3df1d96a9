//! The providers that there are. To add one, write its folder and its line in [`KINDS`].

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::control::InboundRequest;
use crate::delivery::Callback;
use crate::record::Message;
use crate::server::Simulator;
use crate::{Account, Config, Error, KnownSetting, mailgun, sendgrid, twilio, vonage};

/// Every provider.
pub(crate) static KINDS: &[&dyn Kind] =
    &[&twilio::Kind, &sendgrid::Kind, &vonage::Kind, &mailgun::Kind];

/// A provider before it has accounts.
pub(crate) trait Kind: Sync {
    /// Its name in the configuration, in the record and in `POST /_sim/inbound`.
    fn name(&self) -> &'static str;

    /// The accounts of `hatch up`, whose secrets everybody knows.
    fn usual(&self) -> Vec<Account>;

    /// Those of hatch's settings of an account that matter to it.
    fn settings(&self) -> &'static [KnownSetting];

    /// Makes its key files in `folder`, where they are missing.
    ///
    /// # Errors
    /// A file cannot be read or written.
    fn prepare(&self, folder: &Path) -> Result<(), Error>;

    /// The provider with these accounts.
    ///
    /// # Errors
    /// One of them is none, or a key file cannot be had.
    fn open(&self, accounts: &[Account], config: &Config) -> Result<Arc<dyn Provider>, Error>;
}

/// A provider with its accounts.
pub(crate) trait Provider: Send + Sync {
    /// As its [`Kind`] is called.
    fn name(&self) -> &'static str;

    /// Its accounts, in the order of the configuration.
    fn accounts(&self) -> Vec<Known<'_>>;

    /// Its own API.
    fn routes(self: Arc<Self>, simulator: &Arc<Simulator>) -> Router;

    /// Begins what runs beside all requests.
    fn start(self: Arc<Self>, simulator: &Arc<Simulator>);

    /// Begins again with the receipts of a message that was accepted before a restart.
    fn resume(self: Arc<Self>, simulator: &Arc<Simulator>, message: Arc<Message>, callback: String);

    /// Somebody writes to us: what the provider calls the message, and its signed webhook.
    ///
    /// # Errors
    /// What is wrong with the request, for whoever made it.
    fn inbound(
        &self,
        simulator: &Simulator,
        request: InboundRequest,
    ) -> Result<(String, Callback), String>;
}

/// An account, by all that it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known<'p> {
    /// Hatch's name.
    pub(crate) name: &'p str,
    /// The provider's, which the record has.
    pub(crate) key: &'p str,
}

impl Known<'_> {
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.key == name
    }
}

/// What handlers of one provider share.
pub(crate) struct Side<P> {
    pub(crate) simulator: Arc<Simulator>,
    pub(crate) provider: Arc<P>,
}

impl<P> Side<P> {
    pub(crate) fn new(simulator: &Arc<Simulator>, provider: Arc<P>) -> Self {
        Self { simulator: Arc::clone(simulator), provider }
    }
}

impl<P> Clone for Side<P> {
    fn clone(&self) -> Self {
        Self::new(&self.simulator, Arc::clone(&self.provider))
    }
}

/// The kind of that name.
pub(crate) fn kind(name: &str) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|kind| kind.name() == name)
}

/// What a provider knows of the settings of an account.
///
/// # Errors
/// [`Error::Account`] when something is missing, or of another type.
pub(crate) fn read<T: DeserializeOwned>(account: &Account) -> Result<T, Error> {
    let read = serde_json::from_value(Value::Object(account.settings.clone()));
    read.map_err(|error| Error::Account { name: account.name.clone(), fault: fault(&error) })
}

/// What is wrong with an account. A value is not told, because any may be a secret.
fn fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let is_about_a_key = text.starts_with("missing field");
    if is_about_a_key { text } else { "a value of another type".to_owned() }
}
