//! Vonage, Messages API version 1 (<https://developer.vonage.com/en/api/messages>): SMS and MMS.

mod authentication;
mod development_key;
mod error;
mod inbound;
mod request;
mod send;
mod signature;
mod status;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use p256::pkcs8::SecretDocument;
use ring::signature::{KeyPair as _, RsaKeyPair};
use serde::Deserialize;
use serde_json::json;

use self::development_key::DEVELOPMENT_ONLY_PRIVATE_KEY;
use crate::behaviour::{self, Reaction, Receipt};
use crate::control::InboundRequest;
use crate::delivery::Callback;
use crate::receipts::{self, Told};
use crate::record::Message;
use crate::registry::{self, Known, Provider, Side};
use crate::server::Simulator;
use crate::{Clock, Config, Error, KnownSetting, keys};

/// The provider's name in the record.
const PROVIDER: &str = "vonage";

/// Where hatch takes statuses and messages that come in, below its public URL.
const WEBHOOK_PATH: &str = "/api/v1/webhooks/vonage";

/// The file of the key that the accounts of `hatch up` sign their requests with.
const PRIVATE_KEY: &str = "vonage.private.pem";

/// What it knows of an account's settings: an account has one application, or none.
#[derive(Deserialize)]
struct Settings {
    api_key: Option<String>,
    /// Authenticates sends without an application.
    api_secret: Option<String>,
    application_id: Option<String>,
    /// The application's key, RSA as PEM. Only its public half, which is all that Vonage has, is used.
    private_key: Option<String>,
    /// Signs webhooks.
    signature_secret: String,
}

/// An account.
struct Account {
    name: String,
    /// What the record calls it: its API key, or else its application, or else as hatch does.
    key_name: String,
    api_key: Option<String>,
    api_secret: Option<String>,
    application_id: Option<String>,
    private_key: Option<String>,
    /// The public half of it.
    public_key: Option<Vec<u8>>,
    signature_secret: String,
    webhook_url: String,
    clock: Clock,
}

impl Account {
    fn new(account: &crate::Account, config: &Config) -> Result<Self, Error> {
        let Settings { api_key, api_secret, application_id, private_key, signature_secret } =
            registry::read(account)?;
        let key_name = api_key.clone().or_else(|| application_id.clone());
        Ok(Self {
            name: account.name.clone(),
            key_name: key_name.unwrap_or_else(|| account.name.clone()),
            api_key,
            api_secret,
            application_id,
            public_key: private_key.as_deref().map(public_key).transpose()?,
            private_key,
            signature_secret,
            webhook_url: config.webhooks(account, WEBHOOK_PATH),
            clock: config.clock.clone(),
        })
    }

    fn known(&self) -> Known<'_> {
        Known { name: &self.name, key: &self.key_name }
    }
}

/// The public half of an RSA key, which is in PKCS #1 or PKCS #8.
fn public_key(private_pem: &str) -> Result<Vec<u8>, Error> {
    let (label, key) = SecretDocument::from_pem(private_pem).map_err(|_| Error::RsaKey)?;
    let key = match label {
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(key.as_bytes()),
        _ => RsaKeyPair::from_pkcs8(key.as_bytes()),
    };
    let key = key.map_err(|_| Error::RsaKey)?;
    Ok(key.public_key().as_ref().to_vec())
}

/// The provider before it has accounts.
pub(crate) struct Kind;

impl registry::Kind for Kind {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn usual(&self) -> Vec<crate::Account> {
        let settings = json!({
            "api_key": "dev-vonage",
            "application_id": "00000000-0000-4000-8000-000000000001",
            "private_key": DEVELOPMENT_ONLY_PRIVATE_KEY,
            "signature_secret": "dev-vonage-signature-secret",
        });
        vec![crate::Account::new(PROVIDER, "vonage", settings)]
    }

    fn settings(&self) -> &'static [KnownSetting] {
        const SETTINGS: &[KnownSetting] = &[
            KnownSetting::plain("api_key"),
            KnownSetting::secret("api_secret"),
            KnownSetting::plain("application_id"),
            KnownSetting {
                key: "private_key",
                is_secret: true,
                file: Some(("private_key_file", PRIVATE_KEY)),
            },
            KnownSetting::secret("signature_secret"),
        ];
        SETTINGS
    }

    fn prepare(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(PRIVATE_KEY);
        if path.exists() {
            return Ok(());
        }
        let placed = keys::place(&path, DEVELOPMENT_ONLY_PRIVATE_KEY);
        placed.map_err(|source| Error::KeyFile { path, source })
    }

    fn open(
        &self,
        accounts: &[crate::Account],
        config: &Config,
    ) -> Result<Arc<dyn Provider>, Error> {
        if let Some(folder) = &config.folder {
            self.prepare(folder)?;
        }
        let account = |account: &crate::Account| Account::new(account, config);
        let accounts = accounts.iter().map(account).collect::<Result<_, Error>>()?;
        Ok(Arc::new(Vonage { accounts }))
    }
}

/// The provider with its accounts.
struct Vonage {
    accounts: Vec<Account>,
}

impl Provider for Vonage {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn accounts(&self) -> Vec<Known<'_>> {
        self.accounts.iter().map(Account::known).collect()
    }

    fn routes(self: Arc<Self>, simulator: &Arc<Simulator>) -> Router {
        let side = Side::new(simulator, self);
        Router::new().route("/v1/messages", post(send::create)).with_state(side)
    }

    fn start(self: Arc<Self>, _: &Arc<Simulator>) {}

    fn resume(
        self: Arc<Self>,
        simulator: &Arc<Simulator>,
        message: Arc<Message>,
        callback: String,
    ) {
        receipts::resume(&self, simulator, message, callback);
    }

    fn inbound(
        &self,
        _: &Simulator,
        request: InboundRequest,
    ) -> Result<(String, Callback), String> {
        inbound::inbound(request.account(&self.accounts, Account::known)?, &request)
    }
}

impl Told for Vonage {
    fn fates<'m>(&self, message: &'m Message) -> Vec<(&'m str, &'static [Receipt])> {
        let receipts: &'static [Receipt] = match behaviour::react(&message.to, u32::MAX) {
            // Whether somebody wants messages shows when one is on its way.
            Reaction::OptedOut => &[Receipt::OptedOut],
            _ => behaviour::course(&message.to).receipts,
        };
        vec![(message.to.as_str(), receipts)]
    }

    fn request(
        &self,
        simulator: &Simulator,
        message: &Message,
        callback: &str,
        (_, receipt): (&str, Receipt),
    ) -> Option<Callback> {
        let account = self.accounts.iter().find(|one| one.key_name == message.account)?;
        let delay_ms = simulator.config.receipt_delay_ms;
        Some(status::request(account, message, callback, receipt, delay_ms))
    }
}
