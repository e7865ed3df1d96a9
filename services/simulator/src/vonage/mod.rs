//! Vonage, Messages API version 1 (<https://developer.vonage.com/en/api/messages>): SMS and MMS.

mod authentication;
mod development_key;
mod error;
mod inbound;
mod request;
mod send;
mod signature;
mod status;

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
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
use crate::{Clock, Config, Error, KnownSetting};

/// The provider's name in the record.
const PROVIDER: &str = "vonage";

/// Where hatch takes statuses and messages that come in, below its public URL.
const WEBHOOK_PATH: &str = "/api/v1/webhooks/vonage";

/// The file of the key that the accounts of `hatch up` sign their requests with.
const PRIVATE_KEY: &str = "vonage.private.pem";

/// What it knows of an account's settings: an account is one application of it.
#[derive(Deserialize)]
struct Settings {
    api_key: Option<String>,
    /// Authenticates sends without an application.
    api_secret: Option<String>,
    application_id: String,
    /// The application's key, RSA as PEM in PKCS #8. Only its public half, which is all that Vonage has, is used.
    private_key: String,
    /// Signs webhooks.
    signature_secret: String,
}

/// An account.
struct Account {
    name: String,
    /// What the record calls it: its API key, or else its application.
    key_name: String,
    api_key: Option<String>,
    api_secret: Option<String>,
    application_id: String,
    private_key: String,
    /// The public half of it.
    public_key: Vec<u8>,
    signature_secret: String,
    webhook_url: String,
    clock: Clock,
}

impl Account {
    fn new(account: &crate::Account, config: &Config) -> Result<Self, Error> {
        let Settings { api_key, api_secret, application_id, private_key, signature_secret } =
            registry::read(account)?;
        Ok(Self {
            name: account.name.clone(),
            key_name: api_key.clone().unwrap_or_else(|| application_id.clone()),
            api_key,
            api_secret,
            application_id,
            public_key: public_key(&private_key)?,
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

/// The public half of an RSA key.
fn public_key(private_pem: &str) -> Result<Vec<u8>, Error> {
    let (_, key) = SecretDocument::from_pem(private_pem).map_err(|_| Error::RsaKey)?;
    let key = RsaKeyPair::from_pkcs8(key.as_bytes()).map_err(|_| Error::RsaKey)?;
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
        let mut options = OpenOptions::new();
        let created = std::fs::create_dir_all(folder)
            .and_then(|()| options.write(true).create_new(true).mode(0o600).open(&path))
            .and_then(|mut file| file.write_all(DEVELOPMENT_ONLY_PRIVATE_KEY.as_bytes()));
        match created {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(Error::KeyFile { path, source: error })
            }
            _ => Ok(()),
        }
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
