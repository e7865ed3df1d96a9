//! SendGrid as a provider of accounts.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use hatch_domain::Channel;
use hatch_domain::account_name::AccountName;
use serde_json::{Value, json};
use url::Url;

use super::{PROVIDER, SendGridAdapter, SendGridEvents, SendGridInbound, Settings, posted};
use crate::account::{Account, Common, Context, Hook};
use crate::mail::DEFAULT_SUBJECT;
use crate::registry::{self, Provider, of_development, schema_of};
use crate::{Error, Posted};

const CHANNELS: &[Channel] = &[Channel::Email];

/// How the path of mails that come in ends, after the account.
pub(super) const INBOUND: &str = "inbound";

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = schema_of::<Settings>();
    if let Some(required) = schema["required"].as_array_mut() {
        // Without a key no event could be believed.
        required.push("event_public_keys".into());
    }
    schema
});

/// SendGrid.
#[derive(Debug)]
pub struct SendGrid;

impl Provider for SendGrid {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn title(&self) -> &'static str {
        "SendGrid"
    }

    fn channels(&self) -> &'static [Channel] {
        CHANNELS
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["api_key"]
    }

    fn schema(&self) -> &'static Value {
        &SCHEMA
    }

    fn account(
        &self,
        name: &AccountName,
        common: Common,
        settings: Value,
        context: &Context,
    ) -> Result<Account, Error> {
        account(name, common, Settings::read(name, settings)?, context)
    }

    fn default_subject(&self) -> Option<&'static str> {
        Some(DEFAULT_SUBJECT)
    }

    fn commanding_headers(&self) -> &'static [&'static str] {
        &["x-smtpapi", "x-sg-"]
    }

    fn development(&self, simulator: &Url, files: &Path) -> Vec<(AccountName, Value)> {
        let set = |api_key: &str| {
            json!({
                "api_key": api_key,
                "base_url": simulator.as_str().trim_end_matches('/'),
                "event_public_keys_file": files.join("sendgrid.public.pem").display().to_string(),
            })
        };
        of_development([
            ("sendgrid", set("dev-sendgrid-api-key")),
            ("sendgrid-2", set("dev-sendgrid-2-api-key")),
        ])
    }

    fn posted(&self) -> Vec<Posted> {
        posted::posted()
    }
}

impl Settings {
    /// Reads what is set of the account `name`, which the log calls so, too, unless `account` says otherwise.
    ///
    /// # Errors
    /// What is wrong, by its key.
    pub fn read(name: &AccountName, settings: Value) -> Result<Self, Error> {
        let Value::Object(mut settings) = settings else { return Err(Error::SettingForm) };
        if settings.get("account").is_none_or(Value::is_null) {
            settings.insert("account".to_owned(), name.as_str().into());
        }
        registry::read(settings, &SCHEMA)
    }
}

/// An account that is set so.
///
/// # Errors
/// As [`Provider::account`].
pub fn account(
    name: &AccountName,
    common: Common,
    settings: Settings,
    context: &Context,
) -> Result<Account, Error> {
    let events = SendGridEvents::new(&settings)?;
    let inbound = SendGridInbound::new(&settings)?;
    let adapter = SendGridAdapter::new(settings.clone())?;
    let account = Account {
        name: name.clone(),
        provider: PROVIDER,
        channels: common.channels_of(CHANNELS),
        senders: common.senders,
        tenants: common.tenants,
        traffic: common.traffic,
        limits: common.limits,
        on_doubt: common.on_doubt,
        adapter: Arc::new(adapter),
        hooks: vec![
            Hook { suffix: None, webhook: Arc::new(events) },
            Hook { suffix: Some(INBOUND), webhook: Arc::new(inbound) },
        ],
        acts_on_words: false,
        http_timeout: settings.http_timeout(),
        is_at_provider: settings.is_at_provider(),
        reached_by: context.public_url.clone(),
        of_log: false,
        account: settings.account,
        default_subject: Some(settings.default_subject),
    };
    account.check(CHANNELS)
}
