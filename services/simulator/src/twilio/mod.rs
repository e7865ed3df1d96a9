//! Twilio Programmable Messaging, API version 2010-04-01
//! (<https://www.twilio.com/docs/messaging/api/message-resource>).

mod error;
mod inbound;
mod lookup;
mod receipts;
mod resource;
mod send;
mod signature;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, header};
use axum::routing::{any, get};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Deserialize;
use serde_json::json;

use self::error::ApiError;
use crate::behaviour::{self, Receipt};
use crate::control::InboundRequest;
use crate::delivery::Callback;
use crate::disturbance::Mode;
use crate::receipts::Told;
use crate::record::Message;
use crate::registry::{self, Known, Provider, Side};
use crate::server::Simulator;
use crate::{Config, Error, KnownSetting};

/// The provider's name in the record.
const PROVIDER: &str = "twilio";

/// The version of the API, in its paths and webhooks.
const API_VERSION: &str = "2010-04-01";

/// Where hatch takes messages that come in, below its public URL.
const WEBHOOK_PATH: &str = "/api/v1/webhooks/twilio";

/// What it knows of an account's settings.
#[derive(Deserialize)]
struct Settings {
    /// `AC` and 32 hexadecimal digits.
    account_sid: String,
    /// Authenticates sends, and signs webhooks.
    auth_token: String,
}

/// An account.
struct Account {
    name: String,
    account_sid: String,
    auth_token: String,
    /// Where messages that come in are posted.
    inbound_url: String,
}

impl Account {
    fn new(account: &crate::Account, config: &Config) -> Result<Self, Error> {
        let Settings { account_sid, auth_token } = registry::read(account)?;
        let inbound_url = config.webhooks(account, WEBHOOK_PATH);
        Ok(Self { name: account.name.clone(), account_sid, auth_token, inbound_url })
    }

    fn known(&self) -> Known<'_> {
        Known { name: &self.name, key: &self.account_sid }
    }
}

/// The provider before it has accounts.
pub(crate) struct Kind;

impl registry::Kind for Kind {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn usual(&self) -> Vec<crate::Account> {
        let account = |name: &str, sid: String| {
            let settings = json!({"account_sid": sid, "auth_token": "dev-twilio-auth-token"});
            crate::Account::new(PROVIDER, name, settings)
        };
        vec![
            account("twilio", format!("AC{}", "0".repeat(32))),
            account("twilio-2", format!("AC{}2", "0".repeat(31))),
        ]
    }

    fn settings(&self) -> &'static [KnownSetting] {
        const SETTINGS: &[KnownSetting] =
            &[KnownSetting::plain("account_sid"), KnownSetting::secret("auth_token")];
        SETTINGS
    }

    fn prepare(&self, _: &Path) -> Result<(), Error> {
        Ok(())
    }

    fn open(
        &self,
        accounts: &[crate::Account],
        config: &Config,
    ) -> Result<Arc<dyn Provider>, Error> {
        let account = |account: &crate::Account| Account::new(account, config);
        let accounts = accounts.iter().map(account).collect::<Result<_, Error>>()?;
        Ok(Arc::new(Twilio { accounts }))
    }
}

/// The provider with its accounts.
struct Twilio {
    accounts: Vec<Account>,
}

impl Provider for Twilio {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn accounts(&self) -> Vec<Known<'_>> {
        self.accounts.iter().map(Account::known).collect()
    }

    fn routes(self: Arc<Self>, simulator: &Arc<Simulator>) -> Router {
        let messages = "/2010-04-01/Accounts/{account_sid}/Messages.json";
        let message = "/2010-04-01/Accounts/{account_sid}/Messages/{file}";
        Router::new()
            .route("/2010-04-01/Accounts/{account_sid}", get(lookup::account))
            .route(messages, get(lookup::list).post(send::create))
            .route(message, get(lookup::fetch))
            .route("/2010-04-01/{*rest}", any(async || ApiError::not_found()))
            .with_state(Side::new(simulator, self))
    }

    fn start(self: Arc<Self>, _: &Arc<Simulator>) {}

    fn resume(
        self: Arc<Self>,
        simulator: &Arc<Simulator>,
        message: Arc<Message>,
        callback: String,
    ) {
        crate::receipts::resume(&self, simulator, message, callback);
    }

    fn inbound(
        &self,
        _: &Simulator,
        request: InboundRequest,
    ) -> Result<(String, Callback), String> {
        let account = request.account(&self.accounts, Account::known)?;
        Ok(inbound::inbound(account, request))
    }
}

impl Told for Twilio {
    fn fates<'m>(&self, message: &'m Message) -> Vec<(&'m str, &'static [Receipt])> {
        vec![(message.to.as_str(), behaviour::course(&message.to).receipts)]
    }

    fn request(
        &self,
        _: &Simulator,
        message: &Message,
        callback: &str,
        (_, receipt): (&str, Receipt),
    ) -> Option<Callback> {
        let account = self.accounts.iter().find(|one| one.account_sid == message.account)?;
        Some(receipts::request(account, message, callback, receipt))
    }
}

impl Twilio {
    /// The account of the path, if the request proves to come from it.
    fn authenticate(
        &self,
        simulator: &Simulator,
        account_sid: &str,
        headers: &HeaderMap,
    ) -> Result<&Account, ApiError> {
        let credentials = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
            .and_then(|encoded| BASE64_STANDARD.decode(encoded).ok())
            .ok_or_else(ApiError::unauthenticated)?;
        let account = self.accounts.iter().find(|account| {
            let of = &simulator.disturbances;
            let token = of.credential(&account.account_sid, &account.auth_token);
            token.is_some_and(|token| {
                credentials == format!("{}:{token}", account.account_sid).as_bytes()
            })
        });
        match account {
            Some(account) if account.account_sid == account_sid => Ok(account),
            Some(_) => Err(ApiError::not_found()),
            None => Err(ApiError::unauthenticated()),
        }
    }
}

/// Fails as a disturbed account does; a slow one is slow elsewhere.
fn check_mode(mode: Mode) -> Result<(), ApiError> {
    match mode {
        Mode::Up | Mode::Slow | Mode::Mute => Ok(()),
        Mode::Unauthorized => Err(ApiError::unauthenticated()),
        // Twilio suspends an account that has used up its balance.
        Mode::Suspended | Mode::NoCredit => Err(ApiError::suspended()),
        Mode::Down => Err(ApiError::unavailable()),
        Mode::Throttled => Err(ApiError::throttled()),
    }
}
