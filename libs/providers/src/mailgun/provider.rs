//! Mailgun as a provider of accounts.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use hatch_domain::Channel;
use hatch_domain::account_name::AccountName;
use serde_json::{Value, json};
use url::Url;

use super::{
    COMMANDING_HEADERS, MailgunAdapter, MailgunPosts, MailgunRoutes, PROVIDER, Settings, posted,
};
use crate::account::{Account, Common, Context, Hook};
use crate::mail::DEFAULT_SUBJECT;
use crate::registry::{self, Provider, of_development, schema_of};
use crate::{Error, Posted};

const CHANNELS: &[Channel] = &[Channel::Email];

/// How the path of mails that come in ends, after the account.
pub(super) const INBOUND: &str = "inbound";

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
        let posts = MailgunPosts::new(&settings)?;
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
                Hook { suffix: None, webhook: Arc::new(posts) },
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

    fn can_look_up(&self) -> bool {
        true
    }

    fn default_subject(&self) -> Option<&'static str> {
        Some(DEFAULT_SUBJECT)
    }

    fn commanding_headers(&self) -> &'static [&'static str] {
        &[COMMANDING_HEADERS]
    }

    fn development(&self, simulator: &Url, _files: &Path) -> Vec<(AccountName, Value)> {
        let set = json!({
            "domain": "mail.usehatchapp.com",
            "api_key": "dev-mailgun-api-key",
            "signing_key": "dev-mailgun-signing-key",
            "base_url": simulator.as_str().trim_end_matches('/'),
            // What is at the simulator is among its events at once.
            "events_settled_after_ms": 0,
        });
        of_development([("mailgun", set)])
    }

    fn posted(&self) -> Vec<Posted> {
        posted::posted()
    }
}
