//! What a client is told that keeps accounts, or other things that have secrets.

use hatch_domain::account_name::AccountName;

use super::{Problem, catalogue};

impl Problem {
    /// A secret cannot be kept, for want of the installation's master key.
    pub(crate) fn no_master_key() -> Self {
        Self::without_master_key("no master key is set")
    }

    /// A secret cannot be kept, or not be read again, for want of the installation's master key; `detail` says why.
    pub(crate) fn without_master_key(detail: impl Into<String>) -> Self {
        let detail = format!(
            "{}: who runs the installation makes one by `hatch master-key create`, and sets it as \
             HATCH_MASTER_KEY_FILE",
            detail.into()
        );
        Self::of(&catalogue::NO_MASTER_KEY, detail)
    }

    /// Another account has the name, whosever it is.
    pub(crate) fn account_exists(name: &AccountName) -> Self {
        let detail = format!("/name: {name} is taken in this installation");
        Self::of(&catalogue::ACCOUNT_EXISTS, detail)
    }

    /// It is the same account at its provider as another one here.
    pub(crate) fn account_in_use(provider: &str) -> Self {
        let detail = format!("another account of this installation is this one at {provider}");
        Self::of(&catalogue::ACCOUNT_IN_USE, detail)
    }

    /// The tenant has as many accounts as it may; `detail` says what helps.
    pub(crate) fn too_many_accounts(detail: impl Into<String>) -> Self {
        Self::of(&catalogue::TOO_MANY_ACCOUNTS, detail)
    }

    /// The tenant has a pool of this name.
    pub(crate) fn pool_exists(name: &str) -> Self {
        let detail = format!("/name: the tenant has a pool {name}");
        Self::of(&catalogue::POOL_EXISTS, detail)
    }

    /// Another route of the tenant has the name.
    pub(crate) fn route_exists(name: &str) -> Self {
        let detail = format!("/name: the tenant has another route {name}");
        Self::of(&catalogue::ROUTE_EXISTS, detail)
    }

    /// The tenant has as many pools as it may; `detail` says what helps.
    pub(crate) fn too_many_pools(detail: impl Into<String>) -> Self {
        Self::of(&catalogue::TOO_MANY_POOLS, detail)
    }

    /// The tenant has as many routes as it may; `detail` says what helps.
    pub(crate) fn too_many_routes(detail: impl Into<String>) -> Self {
        Self::of(&catalogue::TOO_MANY_ROUTES, detail)
    }
}
