//! An account at a provider: all that hatch sends by it, and takes from it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hatch_domain::account_name::AccountName;
use hatch_domain::address::{Address, SenderKind};
use hatch_domain::ids::TenantId;
use hatch_domain::traffic::Traffic;
use hatch_domain::{Channel, Environment, OnDoubt};
use url::Url;

use crate::http_client::check_url;
use crate::registry::provider;
use crate::{Adapter, Error, Webhook};

/// Below the public URL: where all webhooks are posted.
const WEBHOOKS: &str = "/api/v1/webhooks";

/// The key of where a provider's API is.
const BASE_URL: &str = "base_url";

/// Which tenants an account is of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tenants {
    /// All that there are, and all that will be.
    #[default]
    All,
    /// These alone.
    These(Vec<TenantId>),
}

impl Tenants {
    /// Whether the account is this tenant's, too.
    #[must_use]
    pub fn has(&self, tenant: TenantId) -> bool {
        match self {
            Self::All => true,
            Self::These(tenants) => tenants.contains(&tenant),
        }
    }

    /// The default one alone.
    #[must_use]
    pub fn default_alone() -> Self {
        Self::These(vec![TenantId::DEFAULT])
    }

    /// Whose is what nothing else is said about: the default tenant's, if it is one of them, else the first one's.
    #[must_use]
    pub fn home(&self) -> TenantId {
        match self {
            Self::These(these) if !these.contains(&TenantId::DEFAULT) => {
                these.first().copied().unwrap_or(TenantId::DEFAULT)
            }
            Self::These(_) | Self::All => TenantId::DEFAULT,
        }
    }
}

/// What every account has, whatever its provider.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Common {
    /// What it carries: all that its provider can, where none is named.
    pub channels: Vec<Channel>,
    /// The senders that it sends for: any, where none is named.
    pub senders: Vec<Address>,
    /// The tenants that it is of.
    pub tenants: Tenants,
    /// Which messages it takes.
    pub traffic: Traffic,
    /// How much it is given.
    pub limits: Limits,
    /// What becomes of its attempts in doubt, where that is said.
    pub on_doubt: Option<OnDoubt>,
}

/// How much an account is given, by all processes together. None of a limit is as much as there is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Messages a second.
    pub per_s: Option<f64>,
    /// Messages a second of each of its senders.
    pub per_sender_per_s: Option<f64>,
    /// Messages of a day, in UTC.
    pub per_day: Option<u64>,
    /// Calls under way at a time.
    pub concurrency: Option<u32>,
}

impl Limits {
    /// What a rate is, for people.
    pub const RATE_EXPECTED: &'static str = "a number of 0.001 to 100,000, such as 100 or 0.5";
    /// What a number of messages or calls is, for people.
    pub const COUNT_EXPECTED: &'static str = "a whole number of 1 to 1,000,000,000";

    /// Whether it can be a rate.
    #[must_use]
    pub fn is_rate(rate: f64) -> bool {
        (0.001..=100_000.0).contains(&rate)
    }

    /// Whether it can be a number of messages or calls.
    #[must_use]
    pub fn is_count(number: u64) -> bool {
        (1..=1_000_000_000).contains(&number)
    }
}

/// What an installation has beside its accounts.
#[derive(Clone)]
pub struct Context {
    /// Where the outside reaches it.
    pub public_url: Url,
    /// The clock, for providers that sign with the time, or believe a signature for a short time only.
    pub clock: Arc<dyn Environment>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

/// Webhooks of one kind that an account's provider posts.
#[derive(Clone)]
pub struct Hook {
    /// How the path of these ends, after the account: none where it is the account's own path.
    pub suffix: Option<&'static str>,
    /// Our code for them.
    pub webhook: Arc<dyn Webhook>,
}

/// An account at a provider.
#[derive(Clone)]
pub struct Account {
    /// hatch's own name of it.
    pub name: AccountName,
    /// The provider.
    pub provider: &'static str,
    /// What the provider calls it, as the log has it.
    pub account: String,
    /// What it carries.
    pub channels: Vec<Channel>,
    /// The senders that it sends for; any, where it is empty.
    pub senders: Vec<Address>,
    /// The tenants that it is of.
    pub tenants: Tenants,
    /// Which messages it takes.
    pub traffic: Traffic,
    /// How much it is given.
    pub limits: Limits,
    /// What becomes of its attempts in doubt, where that is said.
    pub on_doubt: Option<OnDoubt>,
    /// Sends by it.
    pub adapter: Arc<dyn Adapter>,
    /// What its provider posts.
    pub hooks: Vec<Hook>,
    /// Whether the provider acts by itself upon words such as STOP and START, and answers them.
    pub acts_on_words: bool,
    /// How long a call may take.
    pub http_timeout: Duration,
    /// The subject of a mail that has none.
    pub default_subject: Option<String>,
    /// Whether it is at the provider itself, and not at something that stands in for it.
    pub is_at_provider: bool,
    /// Where the provider reaches hatch.
    pub reached_by: Url,
    /// Whether a tenant keeps it in the log, and not the operator in the files.
    pub of_log: bool,
}

/// Says which account it is, and nothing of its secrets.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Account");
        shown.field("name", &self.name.as_str()).field("provider", &self.provider);
        shown.field("account", &self.account).finish_non_exhaustive()
    }
}

/// What an account is wanted for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Whose the message is.
    pub tenant: TenantId,
    /// How it travels.
    pub channel: Channel,
    /// Who sends it.
    pub from: &'a Address,
    /// Whether it only tries hatch out.
    pub is_test: bool,
}

/// What decides whether an account takes a message: of an account as it is, or as it was at a past time.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Its provider.
    pub provider: &'a str,
    /// Which messages it takes.
    pub traffic: Traffic,
    /// The tenants that it is of.
    pub tenants: &'a Tenants,
    /// What it carries.
    pub channels: &'a [Channel],
    /// The senders that it sends for; any, where it is empty.
    pub senders: &'a [Address],
}

impl Terms<'_> {
    /// Whether the message may be sent by the account. Nothing else decides that: no test reaches a live account.
    #[must_use]
    pub fn take(&self, wanted: &Wanted<'_>) -> bool {
        let Wanted { tenant, channel, from, is_test } = *wanted;
        let is_sender = || self.senders.iter().any(|one| one.identity() == from.identity());
        self.traffic.admits(is_test)
            && self.tenants.has(tenant)
            && self.channels.contains(&channel)
            && self.can_send_from(channel, from)
            && (self.senders.is_empty() || is_sender())
    }

    /// Whether its provider sends text messages from a sender of this kind. Mails and chats have other senders, which
    /// are checked elsewhere. A name carries no files, at no provider.
    fn can_send_from(&self, channel: Channel, from: &Address) -> bool {
        if !matches!(channel, Channel::Sms | Channel::Mms) {
            return true;
        }
        let Some(kind) = SenderKind::of(from) else { return false };
        let is_known = provider(self.provider).is_none_or(|of| of.sender_kinds().contains(&kind));
        is_known && (channel == Channel::Sms || kind != SenderKind::Alphanumeric)
    }
}

impl Account {
    /// Whether the message may be sent by this account.
    #[must_use]
    pub fn takes(&self, wanted: &Wanted<'_>) -> bool {
        self.terms().take(wanted)
    }

    /// What decides whether it takes a message.
    fn terms(&self) -> Terms<'_> {
        let Self { provider, traffic, tenants, channels, senders, .. } = self;
        Terms { provider, traffic: *traffic, tenants, channels, senders }
    }

    /// Whether its provider sends by the channel from a sender of this kind.
    #[must_use]
    pub fn can_send_from(&self, channel: Channel, from: &Address) -> bool {
        self.terms().can_send_from(channel, from)
    }

    /// What the provider and we call it, by which attempts, blocks and what is known of it are told apart.
    #[must_use]
    pub fn key(&self) -> (&'static str, &str) {
        (self.provider, &self.account)
    }

    /// What becomes of a doubt about an attempt by this account: `asked` for its message, or else what the account says
    /// itself, or else what is `set` for it.
    #[must_use]
    pub fn policy_for(&self, asked: Option<OnDoubt>, set: Option<OnDoubt>) -> OnDoubt {
        OnDoubt::of(asked, self.on_doubt.or(set), self.adapter.can_look_up())
    }

    /// The hook whose path ends so.
    #[must_use]
    pub fn hook(&self, suffix: Option<&str>) -> Option<&Hook> {
        self.hooks.iter().find(|hook| hook.suffix == suffix)
    }

    /// Refuses what the common settings ask of the account and it cannot have.
    ///
    /// # Errors
    /// [`Error::Setting`] with the setting's name.
    pub(crate) fn check(self, carried: &[Channel]) -> Result<Self, Error> {
        if self.channels.iter().any(|channel| !carried.contains(channel)) {
            let expected = "channels that the provider carries";
            return Err(Error::Setting { setting: "channels", expected });
        }
        if self.traffic.is_simulated() && self.is_at_provider {
            let expected =
                "live for an account at the provider itself: tests go to a simulator alone";
            return Err(Error::Setting { setting: "traffic", expected });
        }
        if matches!(&self.tenants, Tenants::These(tenants) if tenants.is_empty()) {
            let expected = "at least one tenant, or *";
            return Err(Error::Setting { setting: "tenants", expected });
        }
        Ok(self)
    }
}

impl Common {
    /// What the account carries, whose provider carries `all`.
    pub(crate) fn channels_of(&self, all: &[Channel]) -> Vec<Channel> {
        if self.channels.is_empty() { all.to_vec() } else { self.channels.clone() }
    }
}

/// Where the webhooks of an account are posted, below the public URL. An account that is called as its provider has the
/// short path.
#[must_use]
pub fn webhook_path(provider: &str, name: &AccountName, suffix: Option<&str>) -> String {
    let mut path = format!("{WEBHOOKS}/{provider}");
    if name.as_str() != provider {
        path = format!("{path}/{name}");
    }
    match suffix {
        Some(suffix) => format!("{path}/{suffix}"),
        None => path,
    }
}

/// Refuses a base URL that is none, or leads to a provider's hosts in `domain` by another way than its API's.
pub(crate) fn check_base_url(url: &Url, domain: &str) -> Result<(), Error> {
    check_url(BASE_URL, url)?;
    if is_in(url, domain) && (url.scheme() != "https" || url.port().is_some()) {
        let expected = "https without a port, at the provider itself";
        return Err(Error::Setting { setting: BASE_URL, expected });
    }
    Ok(())
}

/// Whether `host` is `domain`, or a name in it.
pub(crate) fn is_in(url: &Url, domain: &str) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether nobody but this machine gets anywhere by `url`.
#[must_use]
pub fn is_of_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_local = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(is_local)
}
