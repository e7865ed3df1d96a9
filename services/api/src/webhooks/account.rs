//! Who posts to a path.

use std::sync::Arc;

use hatch_domain::ids::TenantId;
use hatch_domain::traffic::Traffic;
use hatch_providers::{Account, Observation, Tenants, Webhook, webhook_path};

use super::{GENERIC, Webhooks};
use crate::problem::Problem;

/// Where webhooks of accounts are posted, before the account's path.
pub(super) const PREFIX: &str = "/api/v1/webhooks/";

/// How the path of mails ends that come in. No account is called so.
const INBOUND: &str = "inbound";

/// The tenants that there are; none while that is not known.
pub type AllTenants = Arc<dyn Fn() -> Option<Vec<TenantId>> + Send + Sync>;

/// A provider account that posts webhooks of one kind to us.
#[derive(Clone)]
pub(super) struct WebhookAccount {
    /// Whose its webhooks are, as far as nothing says otherwise.
    pub(super) tenant_id: TenantId,
    /// All whose account it is.
    pub(super) tenants: Tenants,
    /// hatch's own name of it.
    pub(super) name: Arc<str>,
    /// What its provider calls it.
    pub(super) account: Arc<str>,
    /// Whether a tenant keeps it in the log.
    pub(super) of_log: bool,
    /// The provider: `twilio`.
    pub(super) provider: &'static str,
    /// Where it posts, after `/api/v1/webhooks/`: `twilio`, `sendgrid/inbound`, `twilio/main`.
    pub(super) path: Arc<str>,
    /// Whether the provider acts by itself upon words such as STOP and START, and answers them.
    pub(super) acts_on_words: bool,
    /// Whether tests go by it.
    pub(super) takes_tests: bool,
    /// Whether nothing but tests goes by it.
    pub(super) is_test: bool,
    /// Our code for it.
    pub(super) webhook: Arc<dyn Webhook>,
}

/// The parts of a path: provider, account, and what the path of the hook ends with.
struct Parts<'p> {
    provider: &'p str,
    name: Option<&'p str>,
    suffix: Option<&'p str>,
}

impl<'p> Parts<'p> {
    fn of(path: &'p str) -> Option<Self> {
        let mut parts = path.split('/');
        let (provider, second, third) = (parts.next()?, parts.next(), parts.next());
        let (name, suffix) = match (second, third, parts.next()) {
            (Some(INBOUND), None, None) => (None, Some(INBOUND)),
            (name, suffix, None) => (name, suffix),
            _ => return None,
        };
        Some(Self { provider, name, suffix })
    }
}

impl Webhooks {
    /// Who posts to `path`, which is what comes after `/api/v1/webhooks/`.
    pub(super) fn posting(&self, path: &str) -> Option<WebhookAccount> {
        if path == GENERIC {
            return Some(generic(Arc::clone(self.generic.as_ref()?)));
        }
        let Parts { provider, name, suffix } = Parts::of(path)?;
        of_account(self.accounts.posted_to(provider, name)?.as_ref(), suffix)
    }

    /// Everybody who posts now.
    pub(super) fn all_posting(&self) -> Vec<WebhookAccount> {
        let accounts = self.accounts.current();
        let of_accounts = accounts.iter().flat_map(|account| {
            account.hooks.iter().filter_map(move |hook| of_account(account, hook.suffix))
        });
        of_accounts.chain(self.generic.clone().map(generic)).collect()
    }

    /// Nobody posts to `path`: what may be meant by it, where it is one of several accounts.
    pub(super) fn no_account_at(&self, path: &str) -> Problem {
        let provider = path.split('/').next().unwrap_or_default();
        let paths = self.accounts.paths(provider);
        match paths.is_empty() {
            true => Problem::not_found("provider account"),
            false => Problem::absent(format!(
                "no account has this path: expected {}",
                paths.join(" or ")
            )),
        }
    }

    /// The tenants of `account`.
    ///
    /// # Errors
    /// They are not known yet.
    pub(super) fn tenants_of(&self, account: &WebhookAccount) -> Result<Vec<TenantId>, Problem> {
        match &account.tenants {
            Tenants::These(tenants) => Ok(tenants.clone()),
            Tenants::All => (self.tenants)()
                .ok_or_else(|| Problem::unavailable("the tenants are not known yet")),
        }
    }
}

fn generic(webhook: Arc<dyn Webhook>) -> WebhookAccount {
    let tenants = Tenants::default_alone();
    WebhookAccount {
        tenant_id: tenants.home(),
        tenants,
        name: GENERIC.into(),
        account: GENERIC.into(),
        of_log: false,
        provider: GENERIC,
        path: GENERIC.into(),
        acts_on_words: false,
        takes_tests: false,
        is_test: false,
        webhook,
    }
}

fn of_account(account: &Account, suffix: Option<&str>) -> Option<WebhookAccount> {
    let hook = account.hook(suffix)?;
    let path = webhook_path(account.provider, &account.name, hook.suffix);
    Some(WebhookAccount {
        tenant_id: account.tenants.home(),
        tenants: account.tenants.clone(),
        name: account.name.as_str().into(),
        account: account.account.as_str().into(),
        of_log: account.of_log,
        provider: account.provider,
        path: path.strip_prefix(PREFIX)?.into(),
        acts_on_words: account.acts_on_words,
        takes_tests: account.traffic.admits(true),
        is_test: account.traffic == Traffic::Test,
        webhook: Arc::clone(&hook.webhook),
    })
}

impl Webhooks {
    /// For which account what came in is: where several are one at their provider, each for senders of its own, it is
    /// for the one that sends for whom it was sent to, whichever of their paths the provider was told. What nobody of
    /// them sends for stays with the account of the path.
    pub(super) fn by_recipient(
        &self,
        account: &WebhookAccount,
        observations: &[Observation],
    ) -> WebhookAccount {
        self.sibling(account, observations).unwrap_or_else(|| account.clone())
    }

    /// The one called `name` of those that are the same account at their provider as `account`.
    pub(super) fn sibling_called(
        &self,
        account: &WebhookAccount,
        name: &str,
    ) -> Option<WebhookAccount> {
        let Parts { suffix, .. } = Parts::of(&account.path)?;
        let current = self.accounts.current();
        let key = (account.provider, &*account.account);
        let sibling = current.iter().find(|one| one.name.as_str() == name && one.key() == key)?;
        of_account(sibling, suffix)
    }

    fn sibling(
        &self,
        account: &WebhookAccount,
        observations: &[Observation],
    ) -> Option<WebhookAccount> {
        let inbound = observations.iter().find_map(|observation| match observation {
            Observation::Inbound(inbound) => Some(inbound),
            Observation::Receipt(_) | Observation::Unclear(_) => None,
        })?;
        let Parts { provider, name, suffix } = Parts::of(&account.path)?;
        let posted = self.accounts.posted_to(provider, name)?;
        let sends_for = |one: &Account| {
            let mut to = inbound.to.iter().chain(&inbound.delivered_to);
            to.any(|to| one.senders.iter().any(|sender| sender.identity() == to.identity()))
        };
        if posted.senders.is_empty() || sends_for(&posted) {
            return None;
        }
        let current = self.accounts.current();
        let sibling = current.iter().find(|one| one.key() == posted.key() && sends_for(one))?;
        of_account(sibling, suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_provider_an_account_and_a_kind() {
        let parts = |path: &'static str| {
            Parts::of(path).map(|Parts { provider, name, suffix }| (provider, name, suffix))
        };
        assert_eq!(parts("twilio"), Some(("twilio", None, None)));
        assert_eq!(parts("sendgrid/inbound"), Some(("sendgrid", None, Some("inbound"))));
        assert_eq!(parts("twilio/main"), Some(("twilio", Some("main"), None)));
        let both = Some(("sendgrid", Some("main"), Some("inbound")));
        assert_eq!(parts("sendgrid/main/inbound"), both);
        assert_eq!(parts("a/b/c/d"), None);
    }
}
