//! The accounts, routes and pools of a process: those of its files, and those that the log keeps.
//!
//! One place joins them. Those of the files are there whatever the log says; one of the log that cannot be used, or would
//! take something from another one, is left out, and `/ready` and `hatch doctor` say which and why.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use hatch_api::accounts::{Unusable, Vault};
use hatch_api::planning::route_table;
use hatch_directory::{AccountEntry, Directory};
use hatch_domain::account::Account as KeptAccount;
use hatch_domain::account_name::AccountName;
use hatch_domain::ids::AccountId;
use hatch_eventstore::SystemEnvironment;
use hatch_providers::{Account, Accounts, Context, Pools, Routes};
use hatch_readmodel::StoredConfiguration;
use hatch_routing::{Pool, Route};
use hatch_seal::Keyring;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::accounts::accounts_by;
use super::pool_table::pool_table;
use super::process::{Process, Workers};
use crate::reload::Reload;
use crate::settings::Settings;
use crate::settings::accounts::outside_url;

/// How soon after one change another one may follow: who changes his account time and again disturbs nobody's sending.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long a process that starts waits for the log, so that no webhook finds its account missing.
const FIRST_MAX: Duration = Duration::from_secs(10);

/// An account of the log that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// What it is called.
    pub(crate) name: String,
    /// Why it is not used.
    pub(crate) why: String,
    /// Whether a master key is what it lacks.
    pub(crate) is_sealed: bool,
}

/// Those that are left out now. The clones are one list.
#[derive(Debug, Clone)]
pub(crate) struct LeftOuts(watch::Sender<Arc<[LeftOut]>>);

impl Default for LeftOuts {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }
}

impl LeftOuts {
    pub(crate) fn current(&self) -> Arc<[LeftOut]> {
        Arc::clone(&self.0.borrow())
    }
}

/// What accounts of the log are made by.
///
/// # Errors
/// A bad setting.
pub(crate) fn vault(
    settings: &Settings,
    keyring: Keyring,
    accounts: Accounts,
) -> anyhow::Result<Vault> {
    let public_url = outside_url(&settings.public_url()).context(
        "configuration: public_url: expected a URL such as https://hatch.example.com, without user and \
         password",
    )?;
    // The leases of all attempts leave room for the slowest account: nobody's may take more than half of them.
    let http_timeout_max = Duration::from_millis(settings.dispatcher.lease_ms / 2);
    let context = Context { public_url, clock: Arc::new(SystemEnvironment) };
    Ok(Vault { keyring, accounts, context, http_timeout_max })
}

/// What the tables have of accounts that are there.
pub(crate) fn kept(stored: StoredConfiguration) -> Vec<AccountEntry> {
    let entries = stored.accounts.into_iter().map(|one| AccountEntry {
        id: AccountId(one.id),
        tenant_id: one.tenant_id,
        account: one.state.map(Arc::new),
    });
    entries.filter(|entry| entry.account.as_ref().is_none_or(|one| one.is_there())).collect()
}

/// An account that was made of what the log keeps.
struct Made {
    of: Arc<KeptAccount>,
    account: Account,
    /// Another number each time that it is made.
    number: u64,
}

/// Joins, and remembers what it made, so that what has not changed stays as it is.
#[derive(Default)]
pub(crate) struct Joiner {
    made: HashMap<AccountId, Made>,
    numbers: u64,
}

/// What is used, and what is not.
pub(crate) struct Joined {
    pub(crate) accounts: Vec<Account>,
    pub(crate) left_out: Vec<LeftOut>,
    /// Which ones of the log these are, as they were made.
    of_log: Vec<(AccountId, u64)>,
}

impl Joiner {
    pub(crate) fn join(
        &mut self,
        files: &[Account],
        mut kept: Vec<AccountEntry>,
        vault: &Vault,
    ) -> Joined {
        // Whoever came first stays, whatever is made later.
        let age = |entry: &AccountEntry| -> (Option<DateTime<Utc>>, AccountId) {
            (entry.account.as_ref().and_then(|account| account.created_at()), entry.id)
        };
        kept.sort_by_key(age);
        let ids: HashSet<AccountId> = kept.iter().map(|entry| entry.id).collect();
        self.made.retain(|id, _| ids.contains(id));
        let (accounts, left_out) = (files.to_vec(), Vec::new());
        let mut joined = Joined { accounts, left_out, of_log: Vec::new() };
        for entry in &kept {
            match self.one(entry, &joined.accounts, vault) {
                Ok((account, number)) => {
                    joined.accounts.push(account);
                    joined.of_log.push((entry.id, number));
                }
                Err(left_out) => joined.left_out.push(left_out),
            }
        }
        joined
    }

    fn one(
        &mut self,
        entry: &AccountEntry,
        others: &[Account],
        vault: &Vault,
    ) -> Result<(Account, u64), LeftOut> {
        let name = || match entry.account.as_ref().and_then(|account| account.name()) {
            Some(name) => name.to_string(),
            None => entry.id.to_string(),
        };
        let left_out = |why: String| LeftOut { name: name(), why, is_sealed: false };
        let unusable = |error: Unusable| {
            let is_sealed = matches!(error, Unusable::Sealed { .. });
            LeftOut { name: name(), why: error.to_string(), is_sealed }
        };
        let kept = entry.account.as_ref().ok_or_else(|| unusable(Unusable::Unreadable))?;
        let is_called_so = |name: &AccountName| others.iter().any(|one| one.name == *name);
        if kept.name().is_some_and(is_called_so) {
            return Err(left_out("an account of the files is called so, too".to_owned()));
        }
        let (account, number) = self.made(entry, kept, vault).map_err(unusable)?;
        // Whoever has the same one could sign webhooks for the other, or have it paused.
        if let Some(other) = others.iter().find(|one| one.key() == account.key()) {
            let (provider, other) = (account.provider, &other.name);
            return Err(left_out(format!("at {provider} it is the same account as {other}")));
        }
        Ok((account, number))
    }

    /// The account as it was made before, where it has not changed since, or made now.
    fn made(
        &mut self,
        entry: &AccountEntry,
        kept: &Arc<KeptAccount>,
        vault: &Vault,
    ) -> Result<(Account, u64), Unusable> {
        if let Some(made) = self.made.get(&entry.id).filter(|made| is_same(&made.of, kept)) {
            return Ok((made.account.clone(), made.number));
        }
        let account = vault.account(entry.tenant_id, kept)?;
        self.numbers += 1;
        let (of, number) = (Arc::clone(kept), self.numbers);
        self.made.insert(entry.id, Made { of, account: account.clone(), number });
        Ok((account, number))
    }
}

/// Whether an account sends and takes as it did. Secrets that were only wrapped anew are the same.
fn is_same(one: &KeptAccount, other: &KeptAccount) -> bool {
    let sealed = |account: &KeptAccount| {
        let secrets = account.secrets().iter();
        secrets.map(|(key, sealed)| (key.clone(), sealed.sealed().to_owned())).collect::<Vec<_>>()
    };
    one.created_at() == other.created_at()
        && one.channels() == other.channels()
        && one.senders() == other.senders()
        && one.traffic() == other.traffic()
        && one.limits() == other.limits()
        && one.on_doubt() == other.on_doubt()
        && one.settings() == other.settings()
        && sealed(one) == sealed(other)
}

/// The worker of a process.
struct Joining {
    vault: Vault,
    directory: Directory,
    changes: watch::Receiver<u64>,
    reload: Reload,
    files: Vec<Account>,
    routes: Routes,
    file_routes: Vec<Route>,
    pools: Pools,
    file_pools: Vec<Pool>,
    /// Where the outside reaches this process until its end, for the accounts of files and log alike.
    public_url: String,
    joiner: Joiner,
    left_outs: LeftOuts,
    /// Which ones of the log were used last.
    used: Vec<(AccountId, u64)>,
    /// Whether those of the files are others than were used last.
    is_reloaded: bool,
}

/// Joins the accounts for the first time, and has a worker do so whenever they change or the settings are read again. It
/// waits for the log until `shutdown` at most.
///
/// # Errors
/// A bad setting.
pub(super) async fn start(
    process: &Process,
    shutdown: &CancellationToken,
    workers: &mut Workers,
) -> anyhow::Result<()> {
    let accounts = process.accounts.clone();
    let mut vault = vault(&process.settings, process.keyring.clone(), accounts.clone())?;
    vault.context.clock = Arc::new(process.head.clock().clone());
    let files: Vec<Account> =
        accounts.current().iter().map(|account| Account::clone(account)).collect();
    let mut joining = Joining {
        vault,
        routes: process.routes.clone(),
        file_routes: process.settings.routes(&files)?,
        pools: process.pools.clone(),
        file_pools: process.settings.pools()?,
        directory: process.directory.clone(),
        changes: process.directory.account_changes(),
        reload: process.reload.clone(),
        files,
        public_url: process.settings.public_url(),
        joiner: Joiner::default(),
        left_outs: process.left_out.clone(),
        used: Vec::new(),
        is_reloaded: false,
    };
    let head = process.head.current();
    let known = shutdown.run_until_cancelled(process.directory.wait_for(head, FIRST_MAX)).await;
    if known == Some(false) {
        tracing::warn!(
            "the accounts of the log are not known yet, and join those of the files later"
        );
    }
    joining.join();
    let ending = process.workers.clone();
    workers.spawn(async move {
        let _ = ending.run_until_cancelled(joining.run()).await;
    });
    Ok(())
}

impl Joining {
    async fn run(mut self) -> std::convert::Infallible {
        loop {
            tokio::select! {
                changed = self.changes.changed() => {
                    if changed.is_err() {
                        // The process ends.
                        std::future::pending::<()>().await;
                    }
                }
                settings = self.reload.changed() => self.read_again(&settings),
            }
            self.join();
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Whoever has read them has refused what is wrong with them.
    fn read_again(&mut self, settings: &Settings) {
        let public_url = Some(self.public_url.clone());
        let clock = Arc::clone(&self.vault.context.clock);
        let read = accounts_by(&Settings { public_url, ..settings.clone() }, clock)
            .and_then(|files| Ok((settings.routes(&files)?, settings.pools()?, files)));
        match read {
            Ok((routes, pools, files)) => {
                (self.file_routes, self.file_pools) = (routes, pools);
                (self.files, self.is_reloaded) = (files, true);
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(
                    error,
                    "the accounts, routes and pools of the files stay as they were"
                );
            }
        }
    }

    fn join(&mut self) {
        self.changes.mark_unchanged();
        let kept = self.directory.accounts();
        let joined = self.joiner.join(&self.files, kept, &self.vault);
        self.tell(joined.left_out);
        // Whoever uses them knows by their adapters which ones are as they were.
        if self.is_reloaded || self.used != joined.of_log {
            (self.used, self.is_reloaded) = (joined.of_log, false);
            self.vault.accounts.replace(joined.accounts);
        }
        self.routes.replace(route_table(&self.file_routes, self.directory.routes()));
        self.pools.replace(pool_table(&self.file_pools, self.directory.pools()));
    }

    fn tell(&self, left_out: Vec<LeftOut>) {
        let before = self.left_outs.current();
        if *before == *left_out {
            return;
        }
        for LeftOut { name, why, .. } in left_out.iter().filter(|one| !before.contains(one)) {
            tracing::error!(account = name, why, "an account of the log is not used");
        }
        self.left_outs.0.send_replace(left_out.into());
    }
}

#[cfg(test)]
mod tests;
