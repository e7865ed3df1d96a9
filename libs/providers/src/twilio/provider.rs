//! Twilio as a provider of accounts.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use hatch_domain::Channel;
use hatch_domain::account_name::AccountName;
use hatch_domain::address::SenderKind;
use serde_json::{Value, json};
use url::Url;

use super::{PROVIDER, Settings, TwilioAdapter, TwilioWebhook, posted};
use crate::account::{Account, Common, Context, Hook, webhook_path};
use crate::registry::{self, Provider, of_development, schema_of_reached};
use crate::{Error, Posted};

const CHANNELS: &[Channel] = &[Channel::Sms, Channel::Mms];

static SCHEMA: LazyLock<Value> = LazyLock::new(schema_of_reached::<Settings>);

/// Twilio.
#[derive(Debug)]
pub struct Twilio;

impl Provider for Twilio {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn title(&self) -> &'static str {
        "Twilio"
    }

    fn channels(&self) -> &'static [Channel] {
        CHANNELS
    }

    fn sender_kinds(&self) -> &'static [SenderKind] {
        &SenderKind::ALL
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["auth_token", "auth_token_secondary"]
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
        account(name, common, Settings::read(settings, context)?)
    }

    fn can_look_up(&self) -> bool {
        true
    }

    fn receipts_by_message(&self) -> bool {
        true
    }

    fn development(&self, simulator: &Url, _files: &Path) -> Vec<(AccountName, Value)> {
        let set = |sid: &str| {
            json!({
                "account_sid": format!("AC{sid:0>32}"),
                "auth_token": "dev-twilio-auth-token",
                "base_url": simulator.as_str().trim_end_matches('/'),
            })
        };
        of_development([("twilio", set("0")), ("twilio-2", set("2"))])
    }

    fn posted(&self) -> Vec<Posted> {
        posted::posted()
    }
}

impl Settings {
    /// Reads what is set of an account: it is reached as all are, where it has no `public_url` of its own.
    ///
    /// # Errors
    /// What is wrong, by its key.
    pub fn read(settings: Value, context: &Context) -> Result<Self, Error> {
        registry::read_reached(settings, context, &SCHEMA)
    }
}

/// An account that is set so.
///
/// # Errors
/// As [`Provider::account`].
pub fn account(name: &AccountName, common: Common, settings: Settings) -> Result<Account, Error> {
    let path = webhook_path(PROVIDER, name, None);
    let adapter = TwilioAdapter::posted_to(settings.clone(), &path)?;
    let webhook = TwilioWebhook::new(settings.clone())?;
    let account = Account {
        name: name.clone(),
        provider: PROVIDER,
        account: settings.account_sid.clone(),
        channels: common.channels_of(CHANNELS),
        senders: common.senders,
        tenants: common.tenants,
        traffic: common.traffic,
        limits: common.limits,
        on_doubt: common.on_doubt,
        adapter: Arc::new(adapter),
        hooks: vec![Hook { suffix: None, webhook: Arc::new(webhook) }],
        acts_on_words: settings.acts_on_words,
        http_timeout: settings.http_timeout(),
        default_subject: None,
        is_at_provider: settings.is_at_provider(),
        reached_by: settings.public_url,
        of_log: false,
    };
    account.check(CHANNELS)
}
