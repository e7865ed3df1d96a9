//! The accounts that there are now, and the one place where it is chosen by which of them a message goes.

use std::sync::Arc;

use hatch_domain::Channel;
use hatch_domain::ids::TenantId;
use tokio::sync::watch;

use crate::account::{Account, Tenants, Wanted, webhook_path};

/// Paths that are told to whoever asks for one that is nobody's, at most.
const PATHS_MAX: usize = 10;

/// Accounts, in the order of their names.
pub type AccountList = Arc<[Arc<Account>]>;

/// A handle to the accounts that there are now: the whole list is replaced at once, and all clones see it.
#[derive(Debug, Clone)]
pub struct Accounts(watch::Sender<AccountList>);

impl Default for Accounts {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Accounts {
    /// A handle to these accounts.
    #[must_use]
    pub fn new(accounts: Vec<Account>) -> Self {
        Self(watch::Sender::new(in_order(accounts)))
    }

    /// Those that there are now.
    #[must_use]
    pub fn current(&self) -> AccountList {
        Arc::clone(&self.0.borrow())
    }

    /// From now on there are these, and no others.
    pub fn replace(&self, accounts: Vec<Account>) {
        self.0.send_replace(in_order(accounts));
    }

    /// Tells whenever the list is replaced.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<AccountList> {
        self.0.subscribe()
    }

    /// The account by which a message is sent: the first that takes it. Nobody else chooses one.
    #[must_use]
    pub fn choose(&self, wanted: &Wanted<'_>) -> Option<Arc<Account>> {
        chosen(&self.current(), wanted).cloned()
    }

    /// The channels that some account carries for the tenant.
    #[must_use]
    pub fn carried(&self, tenant: TenantId, is_test: bool) -> Vec<Channel> {
        let accounts = self.current();
        let carries = |channel: &Channel| {
            accounts.iter().any(|account| {
                account.channels.contains(channel)
                    && account.tenants.has(tenant)
                    && account.traffic.admits(is_test)
            })
        };
        Channel::ALL.into_iter().filter(carries).collect()
    }

    /// The account whose webhooks come to the path of `name`; without one, to the short path: it belongs to the account
    /// that is called as its provider, and else to the only one of that provider. Those of the log have no part in it, or
    /// a tenant could take it from the operator.
    #[must_use]
    pub fn posted_to(&self, provider: &str, name: Option<&str>) -> Option<Arc<Account>> {
        let accounts = self.current();
        let of_provider = || accounts.iter().filter(|account| account.provider == provider);
        let named = |name: &str| of_provider().find(|account| account.name.as_str() == name);
        let of_files = || of_provider().filter(|account| !account.of_log);
        match name {
            Some(name) => named(name).cloned(),
            None => {
                let called_so = of_files().find(|account| account.name.as_str() == provider);
                called_so.cloned().or_else(|| {
                    let mut all = of_files();
                    let only = all.next()?;
                    all.next().is_none().then(|| Arc::clone(only))
                })
            }
        }
    }

    /// Where webhooks of a provider's accounts are posted, as anybody may know: of no account that is some tenants' alone,
    /// and ten at most.
    #[must_use]
    pub fn paths(&self, provider: &str) -> Vec<String> {
        let accounts = self.current();
        let is_known = |account: &&Arc<Account>| {
            account.provider == provider && !account.of_log && account.tenants == Tenants::All
        };
        let paths = accounts.iter().filter(is_known).flat_map(|account| {
            let path = |suffix| webhook_path(account.provider, &account.name, suffix);
            account.hooks.iter().map(move |hook| path(hook.suffix)).collect::<Vec<_>>()
        });
        paths.take(PATHS_MAX).collect()
    }
}

/// The first of `accounts` that takes the message. [`Accounts::choose`] chooses by it, and so does who holds a list of
/// them for longer, as a dispatcher does.
#[must_use]
pub fn chosen<'a, A: AsRef<Account>>(accounts: &'a [A], wanted: &Wanted<'_>) -> Option<&'a A> {
    accounts.iter().find(|account| account.as_ref().takes(wanted))
}

fn in_order(accounts: Vec<Account>) -> AccountList {
    let mut accounts: Vec<Arc<Account>> = accounts.into_iter().map(Arc::new).collect();
    accounts.sort_by(|one, other| one.name.cmp(&other.name));
    accounts.into()
}

#[cfg(test)]
mod tests;
