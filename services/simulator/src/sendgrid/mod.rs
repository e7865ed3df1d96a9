//! SendGrid, API version 3
//! (<https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send>).

mod error;
mod events;
mod inbound;
mod mail;
mod send;
mod signature;

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use p256::SecretKey;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use self::error::ApiError;
use self::events::Queued;
use crate::control::InboundRequest;
use crate::delivery::Callback;
use crate::disturbance::{Disturbances, Mode};
use crate::record::Message;
use crate::registry::{self, Known, Provider, Side};
use crate::server::Simulator;
use crate::{Clock, Config, Error, KeyPair, KnownSetting, clock, key_pair};

/// The provider's name in the record.
const PROVIDER: &str = "sendgrid";

/// Where hatch takes events, below its public URL.
const EVENTS_PATH: &str = "/api/v1/webhooks/sendgrid";

/// SendGrid's own maximum for a mail with its files.
const BODY_BYTES_MAX: usize = 30 * 1024 * 1024;

/// Events wait in a queue of this length to be posted.
const QUEUE_EVENTS_MAX: usize = 10_000;

/// The files of the key pair that the events of all accounts are signed with.
const PRIVATE_KEY: &str = "sendgrid.private.pem";
const PUBLIC_KEY: &str = "sendgrid.public.pem";

/// What it knows of an account's settings.
#[derive(Deserialize)]
struct Settings {
    /// What the record calls it; by default its name.
    account: Option<String>,
    /// Authenticates sends.
    api_key: String,
    /// The private key that signs webhooks, P-256 as PEM in PKCS #8, in the place of the folder's.
    private_key: Option<String>,
}

/// The provider before it has accounts.
pub(crate) struct Kind;

impl registry::Kind for Kind {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn usual(&self) -> Vec<crate::Account> {
        let account =
            |name: &str, key: &str| crate::Account::new(PROVIDER, name, json!({"api_key": key}));
        vec![
            account("sendgrid", "dev-sendgrid-api-key"),
            account("sendgrid-2", "dev-sendgrid-2-api-key"),
        ]
    }

    fn settings(&self) -> &'static [KnownSetting] {
        const SETTINGS: &[KnownSetting] = &[
            KnownSetting {
                key: "event_public_keys",
                is_secret: false,
                file: Some(("event_public_keys_file", PUBLIC_KEY)),
            },
            KnownSetting::secret("api_key"),
        ];
        SETTINGS
    }

    fn prepare(&self, folder: &Path) -> Result<(), Error> {
        pair(folder).map(drop)
    }

    fn open(
        &self,
        accounts: &[crate::Account],
        config: &Config,
    ) -> Result<Arc<dyn Provider>, Error> {
        let account = |account: &crate::Account| Account::new(account, config);
        let accounts = accounts.iter().map(account).collect::<Result<_, Error>>()?;
        let (events, queue) = mpsc::channel(QUEUE_EVENTS_MAX);
        Ok(Arc::new(SendGrid { accounts, events, queue: Mutex::new(Some(queue)) }))
    }
}

/// The key pair of the folder.
fn pair(folder: &Path) -> Result<KeyPair, Error> {
    key_pair(&folder.join(PRIVATE_KEY), &folder.join(PUBLIC_KEY))
}

/// The accounts, ready to sign, and the queue of their events.
struct SendGrid {
    accounts: Vec<Account>,
    events: mpsc::Sender<Queued>,
    /// The other end of it, until somebody posts what is in it.
    queue: Mutex<Option<mpsc::Receiver<Queued>>>,
}

/// An account.
struct Account {
    name: String,
    key_name: String,
    api_key: String,
    key: EcdsaKeyPair,
    clock: Clock,
    events_url: String,
    inbound_url: String,
}

impl Account {
    fn new(account: &crate::Account, config: &Config) -> Result<Self, Error> {
        let Settings { account: key_name, api_key, private_key } = registry::read(account)?;
        let of_folder = || config.folder.as_deref().map(pair).transpose();
        let private_key = match private_key {
            Some(key) => Some(key),
            None => of_folder()?.map(|pair| pair.private_pem),
        };
        let events_url = config.webhooks(account, EVENTS_PATH);
        Ok(Self {
            name: account.name.clone(),
            key_name: key_name.unwrap_or_else(|| account.name.clone()),
            api_key,
            key: signing_key(private_key.as_deref())?,
            clock: config.clock.clone(),
            inbound_url: format!("{}/inbound", events_url.trim_end_matches('/')),
            events_url,
        })
    }

    fn known(&self) -> Known<'_> {
        Known { name: &self.name, key: &self.key_name }
    }
}

impl Provider for SendGrid {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn accounts(&self) -> Vec<Known<'_>> {
        self.accounts.iter().map(Account::known).collect()
    }

    fn routes(self: Arc<Self>, simulator: &Arc<Simulator>) -> Router {
        let send = post(send::create).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
        Router::new()
            .route("/v3/mail/send", send)
            .route("/v3/scopes", get(scopes))
            .with_state(Side::new(simulator, self))
    }

    fn start(self: Arc<Self>, simulator: &Arc<Simulator>) {
        let queue = self.queue.lock().expect("nothing panics while it holds the queue").take();
        if let Some(queue) = queue {
            events::post_events(&self, simulator, queue);
        }
    }

    fn resume(self: Arc<Self>, simulator: &Arc<Simulator>, message: Arc<Message>, _: String) {
        events::resume(&self, simulator, message);
    }

    fn inbound(
        &self,
        _: &Simulator,
        request: InboundRequest,
    ) -> Result<(String, Callback), String> {
        Ok(inbound::inbound(request.account(&self.accounts, Account::known)?, &request))
    }
}

impl SendGrid {
    /// The account that the record calls so.
    fn account(&self, key_name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.key_name == key_name)
    }

    /// The account that the request proves to come from.
    fn authenticate(&self, of: &Disturbances, headers: &HeaderMap) -> Result<&Account, ApiError> {
        let shown = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let account = self.accounts.iter().find(|account| {
            let key = of.credential(&account.key_name, &account.api_key);
            key.is_some() && key.as_deref() == shown
        });
        account.ok_or_else(ApiError::unauthenticated)
    }
}

/// The key of an account, as ring takes it: it signs in a fraction of p256's time, which every event of
/// a mail costs.
fn signing_key(pem: Option<&str>) -> Result<EcdsaKeyPair, Error> {
    let key = pem.map_or_else(|| Ok(clock::new_key()), SecretKey::from_pkcs8_pem);
    let der = key.and_then(|key| key.to_pkcs8_der()).map_err(Error::Key)?;
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, der.as_bytes(), &SystemRandom::new());
    Ok(key.expect("p256 wrote the key with its public half"))
}

/// `GET /v3/scopes`: what the key may do
/// (<https://www.twilio.com/docs/sendgrid/api-reference/api-key-permissions>).
async fn scopes(
    State(Side { simulator, provider }): State<Side<SendGrid>>,
    headers: HeaderMap,
) -> Response {
    let known = provider.authenticate(&simulator.disturbances, &headers);
    let checked = known.and_then(|account| {
        let disturbance = simulator.disturbances.get(&account.key_name);
        check_mode(disturbance.mode, &account.clock).map(|()| disturbance.latency())
    });
    match checked {
        Ok(latency) => {
            tokio::time::sleep(latency).await;
            Json(json!({"scopes": ["mail.send", "alerts.read"]})).into_response()
        }
        Err(error) => error.into_response(),
    }
}

/// Fails as a disturbed account does; a slow one is slow elsewhere.
fn check_mode(mode: Mode, clock: &Clock) -> Result<(), ApiError> {
    match mode {
        Mode::Up | Mode::Slow | Mode::Mute => Ok(()),
        Mode::Unauthorized => Err(ApiError::unauthenticated()),
        Mode::Suspended => Err(ApiError::suspended()),
        Mode::NoCredit => Err(ApiError::no_credit()),
        Mode::Down => Err(ApiError::unavailable()),
        Mode::Throttled => Err(ApiError::throttled(clock)),
    }
}
