//! What is kept in the log of an account, and what it comes to: whoever has the master key can use it.

use std::collections::BTreeMap;
use std::time::Duration;

use hatch_domain::account::{Account as KeptAccount, AccountLimits, account_id};
use hatch_domain::account_name::AccountName;
use hatch_domain::address::Address;
use hatch_domain::ids::{AccountId, TenantId};
use hatch_domain::sealed::Sealed;
use hatch_domain::traffic::Traffic;
use hatch_domain::{Channel, OnDoubt};
use hatch_providers::{Account, Accounts, Common, Context, Limits, Tenants, provider};
use hatch_seal::{Keyring, OpenError, Place};
use serde_json::{Map, Value};

/// The setting of every provider that says how long it may take to answer.
const HTTP_TIMEOUT: &str = "http_timeout_ms";

use crate::webhooks::GENERIC;

/// What the process knows that keeps accounts in the log, or uses them.
#[derive(Debug, Clone)]
pub struct Vault {
    /// The master keys.
    pub keyring: Keyring,
    /// The accounts that are used now, of files and of the log.
    pub accounts: Accounts,
    /// What accounts are made in.
    pub context: Context,
    /// How long a call to a provider may take, for the leases of attempts to be longer.
    pub http_timeout_max: Duration,
}

/// Why an account cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// A newer hatch made it, or one of another build.
    #[error("this build cannot read it")]
    Unreadable,
    /// It is called as a provider is, or as what has no account: the short webhook paths are the operator's.
    #[error("an account of the log is called neither as a provider nor `generic`")]
    Name,
    /// Its provider is none that this build has.
    #[error("this build knows no provider {0}")]
    Provider(String),
    /// One of its secrets does not open.
    #[error("{key} cannot be read: {why}")]
    Sealed {
        /// The secret's key.
        key: String,
        /// Why not.
        why: OpenError,
    },
    /// Its settings are not what its provider asks for.
    #[error(transparent)]
    Setting(hatch_providers::Error),
    /// Its calls may take longer than the leases of attempts leave room for.
    #[error("http_timeout_ms: expected at most {} here", .0.as_millis())]
    Slow(Duration),
}

/// An account as it is to be, all in clear.
#[derive(Clone, Copy)]
pub(super) struct Draft<'a> {
    pub(super) name: &'a AccountName,
    pub(super) provider: &'a str,
    pub(super) channels: &'a [Channel],
    pub(super) senders: &'a [Address],
    pub(super) traffic: Traffic,
    pub(super) limits: AccountLimits,
    pub(super) on_doubt: Option<OnDoubt>,
    pub(super) settings: &'a BTreeMap<String, Value>,
    pub(super) secrets: &'a BTreeMap<String, Value>,
}

impl Vault {
    /// The account by which messages are sent and webhooks are believed. It is its tenant's alone.
    ///
    /// # Errors
    /// Why there is none: the master key is missing or another, or its settings are not good for this build.
    pub fn account(&self, tenant: TenantId, kept: &KeptAccount) -> Result<Account, Unusable> {
        let name = kept.name().ok_or(Unusable::Unreadable)?;
        let secrets = self.opened(tenant, account_id(name), kept.secrets())?;
        let made = self.made(
            tenant,
            &Draft {
                name,
                provider: kept.provider(),
                channels: kept.channels(),
                senders: kept.senders(),
                traffic: kept.traffic(),
                limits: kept.limits(),
                on_doubt: kept.on_doubt(),
                settings: kept.settings(),
                secrets: &secrets,
            },
        );
        made.map(|account| Account { of_log: true, ..account })
    }

    /// The account that a draft comes to, by its provider's own reading.
    pub(super) fn made(&self, tenant: TenantId, draft: &Draft<'_>) -> Result<Account, Unusable> {
        if provider(draft.name.as_str()).is_some() || draft.name.as_str() == GENERIC {
            return Err(Unusable::Name);
        }
        let named = || Unusable::Provider(draft.provider.to_owned());
        let provider = provider(draft.provider).ok_or_else(named)?;
        let common = Common {
            channels: draft.channels.to_vec(),
            senders: draft.senders.to_vec(),
            tenants: Tenants::These(vec![tenant]),
            traffic: draft.traffic,
            limits: limits_of(draft.limits),
            on_doubt: draft.on_doubt,
        };
        let all = draft.settings.iter().chain(draft.secrets);
        let mut settings: Map<String, Value> =
            all.map(|(key, value)| (key.clone(), value.clone())).collect();
        let make = |settings: &Map<String, Value>| {
            let settings = Value::Object(settings.clone());
            let made = provider.account(draft.name, common.clone(), settings, &self.context);
            made.map_err(Unusable::Setting)
        };
        let account = make(&settings)?;
        if account.http_timeout <= self.http_timeout_max {
            return Ok(account);
        }
        if settings.contains_key(HTTP_TIMEOUT) {
            return Err(Unusable::Slow(self.http_timeout_max));
        }
        // Leases here leave less time than the provider's own default.
        let most = u64::try_from(self.http_timeout_max.as_millis()).unwrap_or(u64::MAX);
        settings.insert(HTTP_TIMEOUT.to_owned(), most.into());
        make(&settings)
    }

    /// Secrets in clear, by their keys.
    pub(super) fn opened(
        &self,
        tenant: TenantId,
        id: AccountId,
        secrets: &BTreeMap<String, Sealed>,
    ) -> Result<BTreeMap<String, Value>, Unusable> {
        let mut all = BTreeMap::new();
        for (key, sealed) in secrets {
            let refused = |why| Unusable::Sealed { key: key.clone(), why };
            let opened = self.keyring.open(sealed, &place(tenant, id, key)).map_err(refused)?;
            let value = serde_json::from_slice(opened.expose());
            let value: Value = value.map_err(|_| refused(OpenError::Damaged))?;
            all.insert(key.clone(), value);
        }
        Ok(all)
    }
}

/// Where a secret of an account belongs.
#[must_use]
pub const fn place(tenant: TenantId, id: AccountId, key: &str) -> Place<'_> {
    Place { tenant: tenant.0, stream: id.0, field: key }
}

/// As whoever sends by the account goes by them.
const fn limits_of(kept: AccountLimits) -> Limits {
    Limits {
        per_s: kept.rate_per_s,
        per_sender_per_s: kept.rate_per_sender_per_s,
        per_day: kept.per_day,
        concurrency: kept.concurrency_max,
    }
}
