//! What a client is told that keeps accounts, or other things that have secrets.

use axum::http::StatusCode;
use hatch_domain::account_name::AccountName;

use super::Problem;

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
        let title = "The installation's master key is missing";
        Self::new(StatusCode::CONFLICT, "no-master-key", title, detail)
    }

    /// Another account has the name, whosever it is.
    pub(crate) fn account_exists(name: &AccountName) -> Self {
        let title = "There is an account of this name";
        let detail = format!("/name: {name} is taken in this installation");
        Self::new(StatusCode::CONFLICT, "account-exists", title, detail)
    }

    /// It is the same account at its provider as another one here.
    pub(crate) fn account_in_use(provider: &str) -> Self {
        let title = "The provider's account is in use already";
        let detail = format!("another account of this installation is this one at {provider}");
        Self::new(StatusCode::CONFLICT, "account-in-use", title, detail)
    }

    /// The tenant has as many accounts as it may; `detail` says what helps.
    pub(crate) fn too_many_accounts(detail: impl Into<String>) -> Self {
        let title = "The tenant has as many accounts as it may";
        Self::new(StatusCode::CONFLICT, "too-many-accounts", title, detail)
    }
}
