//! SendGrid, API version 3
//! (<https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send>).

mod error;
mod events;
mod inbound;
mod mail;
mod send;
mod signature;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use p256::SecretKey;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use serde_json::json;
use tokio::sync::mpsc;

use self::error::ApiError;
use self::events::Queued;
pub(crate) use self::events::{post_events, resume};
pub(crate) use self::inbound::inbound;
use crate::accounts::{Accounts, Mode};
use crate::server::Simulator;
use crate::{Clock, Config, Error};

/// The provider's name in the record.
pub(crate) const PROVIDER: &str = "sendgrid";

/// Where hatch takes events, below its public URL.
const EVENTS_PATH: &str = "/api/v1/webhooks/sendgrid";

/// SendGrid's own maximum for a mail with its files.
const BODY_BYTES_MAX: usize = 30 * 1024 * 1024;

/// Events wait in a queue of this length to be posted.
const QUEUE_EVENTS_MAX: usize = 10_000;

/// The accounts, ready to sign, and the queue of their events.
pub(crate) struct SendGrid {
    accounts: Vec<Account>,
    events: mpsc::Sender<Queued>,
}

/// An account.
struct Account {
    name: String,
    api_key: String,
    key: EcdsaKeyPair,
    clock: Clock,
    events_url: String,
    inbound_url: Option<String>,
}

impl SendGrid {
    /// The configured accounts, and the other end of the queue.
    pub(crate) fn new(config: &Config) -> Result<(Self, mpsc::Receiver<Queued>), Error> {
        let default_url =
            format!("{}{EVENTS_PATH}", config.public_url.as_str().trim_end_matches('/'));
        let account = |account: &crate::SendGridAccount| {
            let key = signing_key(&account.private_key)?;
            let url = account.event_webhook_url.as_ref().map(ToString::to_string);
            Ok(Account {
                name: account.account.clone(),
                api_key: account.api_key.clone(),
                key,
                clock: config.clock.clone(),
                events_url: url.unwrap_or_else(|| default_url.clone()),
                inbound_url: account.inbound_webhook_url.as_ref().map(ToString::to_string),
            })
        };
        let accounts = config.sendgrid.iter().map(account).collect::<Result<_, Error>>()?;
        let (events, queue) = mpsc::channel(QUEUE_EVENTS_MAX);
        Ok((Self { accounts, events }, queue))
    }

    fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name == name)
    }

    /// The account that the request proves to come from.
    fn authenticate(&self, of: &Accounts, headers: &HeaderMap) -> Result<&Account, ApiError> {
        let shown = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let account = self.accounts.iter().find(|account| {
            let key = of.credential(&account.name, &account.api_key);
            key.is_some() && key.as_deref() == shown
        });
        account.ok_or_else(ApiError::unauthenticated)
    }
}

/// The key of an account, as ring takes it: it signs in a fraction of p256's time, which every event of
/// a mail costs.
fn signing_key(pem: &str) -> Result<EcdsaKeyPair, Error> {
    let der = SecretKey::from_pkcs8_pem(pem).and_then(|key| key.to_pkcs8_der());
    let der = der.map_err(Error::Key)?;
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, der.as_bytes(), &SystemRandom::new());
    Ok(key.expect("p256 wrote the key with its public half"))
}

pub(crate) fn routes() -> Router<Arc<Simulator>> {
    let send = post(send::create).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    Router::new().route("/v3/mail/send", send).route("/v3/scopes", get(scopes))
}

/// `GET /v3/scopes`: what the key may do
/// (<https://www.twilio.com/docs/sendgrid/api-reference/api-key-permissions>).
async fn scopes(State(simulator): State<Arc<Simulator>>, headers: HeaderMap) -> Response {
    let known = simulator.sendgrid.authenticate(&simulator.accounts, &headers);
    let checked = known.and_then(|account| {
        let disturbance = simulator.accounts.get(&account.name);
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
        Mode::Up | Mode::Slow => Ok(()),
        Mode::Unauthorized => Err(ApiError::unauthenticated()),
        Mode::Suspended => Err(ApiError::suspended()),
        Mode::NoCredit => Err(ApiError::no_credit()),
        Mode::Down => Err(ApiError::unavailable()),
        Mode::Throttled => Err(ApiError::throttled(clock)),
    }
}
