//! What is said of accounts and their policies beside messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use hatch_domain::OnDoubt;
use hatch_domain::ids::TenantId;
use hatch_providers::{Account, Accounts};
use hatch_readmodel::UsedAccount;

/// What becomes of doubts: what the accounts say, and what is set for them.
#[derive(Debug, Clone, Default)]
pub struct DoubtRules {
    /// The accounts that there are now.
    pub accounts: Accounts,
    /// What is set, by the name of an account or else of a provider.
    pub set: BTreeMap<String, OnDoubt>,
}

impl DoubtRules {
    /// The account of `tenant` by which an attempt was made.
    pub(super) fn account(
        &self,
        tenant: TenantId,
        provider: Option<&str>,
        account: Option<&str>,
    ) -> Option<Arc<Account>> {
        let (provider, account) = (provider?, account?);
        let is_it =
            |one: &&Arc<Account>| one.key() == (provider, account) && one.tenants.has(tenant);
        self.accounts.current().iter().find(is_it).cloned()
    }

    /// What becomes of a doubt of a message for which that is `asked`. Of an account that is gone, nobody can be asked.
    pub(super) fn policy(&self, account: Option<&Account>, asked: Option<OnDoubt>) -> OnDoubt {
        let Some(account) = account else { return OnDoubt::of(asked, None, false) };
        let set = self.set.get(account.name.as_str()).or_else(|| self.set.get(account.provider));
        account.policy_for(asked, set.copied())
    }

    /// The account that a filter names.
    pub(super) fn used(&self, tenant: TenantId, named: String) -> UsedAccount {
        used_account(&self.accounts, tenant, named)
    }
}

/// The account that a filter names: by hatch's own name of it, or else by what its provider calls it.
pub(crate) fn used_account(accounts: &Accounts, tenant: TenantId, named: String) -> UsedAccount {
    let accounts = accounts.current();
    let is_it = |one: &&Arc<Account>| one.name.as_str() == named && one.tenants.has(tenant);
    match accounts.iter().find(is_it) {
        Some(account) => UsedAccount {
            provider: Some(account.provider.to_owned()),
            account: account.account.clone(),
        },
        None => UsedAccount { provider: None, account: named },
    }
}
