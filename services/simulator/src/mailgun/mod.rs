//! Mailgun, API version 3 (<https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages>).

mod error;
mod events;
mod form;
mod inbound;
mod lookup;
mod send;
mod signature;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, header};
use axum::routing::{get, post};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Deserialize;
use serde_json::json;

use self::error::ApiError;
use crate::behaviour::{Receipt, later_receipts};
use crate::control::InboundRequest;
use crate::delivery::Callback;
use crate::receipts::{self, Told};
use crate::record::Message;
use crate::registry::{self, Known, Provider, Side};
use crate::server::Simulator;
use crate::{Clock, Config, Error, KnownSetting};

/// The provider's name in the record.
const PROVIDER: &str = "mailgun";

/// Where hatch takes events, below its public URL.
const WEBHOOK_PATH: &str = "/api/v1/webhooks/mailgun";

/// A mail with its files is no longer than 25 MB; the rest is for how a form is written.
const BODY_BYTES_MAX: usize = 26 * 1024 * 1024;

/// What it knows of an account's settings: an account is a domain.
#[derive(Deserialize)]
struct Settings {
    domain: String,
    /// Authenticates requests.
    api_key: String,
    /// Signs webhooks.
    signing_key: String,
}

/// An account.
struct Account {
    name: String,
    domain: String,
    api_key: String,
    signing_key: String,
    events_url: String,
    inbound_url: String,
    clock: Clock,
}

impl Account {
    fn new(account: &crate::Account, config: &Config) -> Result<Self, Error> {
        let Settings { domain, api_key, signing_key } = registry::read(account)?;
        let events_url = config.webhooks(account, WEBHOOK_PATH);
        Ok(Self {
            name: account.name.clone(),
            domain,
            api_key,
            signing_key,
            inbound_url: format!("{}/inbound", events_url.trim_end_matches('/')),
            events_url,
            clock: config.clock.clone(),
        })
    }

    fn known(&self) -> Known<'_> {
        Known { name: &self.name, key: &self.domain }
    }
}

/// The provider before it has accounts.
pub(crate) struct Kind;

impl registry::Kind for Kind {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn usual(&self) -> Vec<crate::Account> {
        let settings = json!({
            "domain": "mail.usehatchapp.com",
            "api_key": "dev-mailgun-api-key",
            "signing_key": "dev-mailgun-signing-key",
        });
        vec![crate::Account::new(PROVIDER, "mailgun", settings)]
    }

    fn settings(&self) -> &'static [KnownSetting] {
        const SETTINGS: &[KnownSetting] = &[
            KnownSetting::plain("domain"),
            KnownSetting::secret("api_key"),
            KnownSetting::secret("signing_key"),
        ];
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
        Ok(Arc::new(Mailgun { accounts }))
    }
}

/// The provider with its accounts.
struct Mailgun {
    accounts: Vec<Account>,
}

impl Provider for Mailgun {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn accounts(&self) -> Vec<Known<'_>> {
        self.accounts.iter().map(Account::known).collect()
    }

    fn routes(self: Arc<Self>, simulator: &Arc<Simulator>) -> Router {
        let send = post(send::create).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
        Router::new()
            .route("/v3/{domain}/messages", send)
            .route("/v3/{domain}/events", get(lookup::events))
            .route("/v3/{domain}/events/{page}", get(lookup::page))
            .route("/v4/domains/{domain}", get(lookup::domain))
            .with_state(Side::new(simulator, self))
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
        Ok(inbound::inbound(request.account(&self.accounts, Account::known)?, &request))
    }
}

impl Told for Mailgun {
    fn fates<'m>(&self, message: &'m Message) -> Vec<(&'m str, &'static [Receipt])> {
        let recipients = message.mail.iter().flat_map(|mail| &mail.recipients);
        recipients.map(|recipient| (recipient.as_str(), later_receipts(recipient))).collect()
    }

    fn request(
        &self,
        simulator: &Simulator,
        message: &Message,
        callback: &str,
        (recipient, receipt): (&str, Receipt),
    ) -> Option<Callback> {
        let account = self.accounts.iter().find(|one| one.domain == message.account)?;
        let event = events::event(message, recipient, receipt, simulator.config.receipt_delay_ms);
        Some(signature::signed_event(callback, event, account))
    }
}

impl Mailgun {
    /// The account of the path, if the request proves to come from it.
    fn authenticate(
        &self,
        simulator: &Simulator,
        domain: &str,
        headers: &HeaderMap,
    ) -> Result<&Account, ApiError> {
        let shown = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
            .and_then(|encoded| BASE64_STANDARD.decode(encoded).ok())
            .ok_or(ApiError::Forbidden)?;
        let fits = |account: &&Account| {
            let key = simulator.disturbances.credential(&account.domain, &account.api_key);
            key.is_some_and(|key| shown == format!("api:{key}").as_bytes())
        };
        let mut of_key = self.accounts.iter().filter(fits).peekable();
        if of_key.peek().is_none() {
            return Err(ApiError::Forbidden);
        }
        let account = of_key.find(|account| account.domain.eq_ignore_ascii_case(domain));
        account.ok_or_else(|| ApiError::no_domain(domain))
    }
}
