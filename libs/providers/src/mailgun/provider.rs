//! Mailgun as a provider of accounts.

use std::sync::{Arc, LazyLock};

use hatch_domain::Channel;
use hatch_domain::account_name::AccountName;
use serde_json::Value;

use super::{MailgunAdapter, MailgunEvents, MailgunRoutes, PROVIDER, Settings};
use crate::Error;
use crate::account::{Account, Common, Context, Hook};
use crate::registry::{self, Provider, schema_of};

const CHANNELS: &[Channel] = &[Channel::Email];

/// How the path of mails that come in ends, after the account.
const INBOUND: &str = "inbound";

static SCHEMA: LazyLock<Value> = LazyLock::new(schema_of::<Settings>);

/// Mailgun.
#[derive(Debug)]
pub struct Mailgun;

impl Provider for Mailgun {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn title(&self) -> &'static str {
        "Mailgun"
    }

    fn channels(&self) -> &'static [Channel] {
        CHANNELS
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["api_key", "signing_key", "signing_key_previous"]
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
        let Value::Object(settings) = settings else { return Err(Error::SettingForm) };
        let settings: Settings = registry::read(settings, &SCHEMA)?;
        let events = MailgunEvents::new(&settings)?;
        let routes = MailgunRoutes::new(&settings)?;
        let adapter = MailgunAdapter::new(settings.clone())?;
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
                Hook { suffix: Some(INBOUND), webhook: Arc::new(routes) },
            ],
            acts_on_words: false,
            http_timeout: settings.http_timeout(),
            is_at_provider: settings.is_at_provider(),
            reached_by: context.public_url.clone(),
            of_log: false,
            account: settings.domain,
            default_subject: Some(settings.default_subject),
        };
        account.check(CHANNELS)
    }
}
