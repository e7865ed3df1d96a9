//! By which account a webhook was verified that is kept. It is read again as that account's and no other's: a path may
//! have another account by then, and what one has signed must not count as the other's.

use hatch_domain::ids::TenantId;
use hatch_providers::Tenants;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::WebhookAccount;
use crate::problem::Problem;

/// The account, as it was then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VerifiedBy {
    /// hatch's name of it.
    name: String,
    /// What its provider calls it.
    account: String,
    /// Whether a tenant keeps it in the log.
    of_log: bool,
    /// Its tenants; all that there are, where there is no list.
    tenants: Option<Vec<TenantId>>,
}

impl VerifiedBy {
    pub(super) fn of(account: &WebhookAccount) -> Self {
        let tenants = match &account.tenants {
            Tenants::All => None,
            Tenants::These(tenants) => Some(tenants.clone()),
        };
        let WebhookAccount { name, account, of_log, .. } = account;
        Self { name: name.to_string(), account: account.to_string(), of_log: *of_log, tenants }
    }

    fn is(&self, account: &WebhookAccount) -> bool {
        self.name == *account.name
            && self.account == *account.account
            && self.of_log == account.of_log
    }

    /// Those who were tenants of the account then, and are now.
    fn still(self, now: &Tenants) -> Tenants {
        match (self.tenants, now) {
            (None, now) => now.clone(),
            (Some(mut then), now) => {
                then.retain(|tenant| now.has(*tenant));
                Tenants::These(then)
            }
        }
    }
}

/// hatch's name of the account by which a request was verified that was kept with `kept`.
pub(super) fn verified_as(kept: &Value) -> Option<String> {
    VerifiedBy::deserialize(kept).ok().map(|by| by.name)
}

/// `account` as the one by which the request was verified that `tenant` has kept with `kept`, with those tenants alone
/// that it had then, too. A row from before that was kept is of an account of the files, and concerns its tenant alone.
///
/// # Errors
/// It was verified by another one, or is not that tenant's any more.
pub(super) fn verified(
    account: WebhookAccount,
    tenant: TenantId,
    kept: Option<&Value>,
) -> Result<WebhookAccount, Problem> {
    let tenants = match kept.map(VerifiedBy::deserialize) {
        None if !account.of_log && account.tenants.has(tenant) => Tenants::These(vec![tenant]),
        Some(Ok(kept)) if kept.is(&account) => kept.still(&account.tenants),
        None | Some(_) => Tenants::These(Vec::new()),
    };
    if !tenants.has(tenant) {
        let path = &account.path;
        let detail = format!("the account that it was posted to is not there any more at {path}");
        return Err(Problem::not_replayed(detail));
    }
    Ok(WebhookAccount { tenant_id: tenant, tenants, ..account })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use hatch_providers::{
        NotUnderstood, Observation, RawRequest, Verified, Webhook, WebhookRefusal,
    };
    use uuid::Uuid;

    use super::*;

    struct Mute;

    impl Webhook for Mute {
        fn may_be_signed(&self, _: &http::HeaderMap) -> bool {
            false
        }

        fn verify<'r>(&self, _: &'r RawRequest) -> Result<Verified<'r>, WebhookRefusal> {
            Err(WebhookRefusal::WrongSignature)
        }

        fn parse(&self, _: &Verified<'_>) -> Result<Vec<Observation>, NotUnderstood> {
            Ok(Vec::new())
        }

        fn success(&self) -> http::Response<Bytes> {
            http::Response::new(Bytes::new())
        }
    }

    fn tenant(n: u8) -> TenantId {
        TenantId(Uuid::from_u128(n.into()))
    }

    fn these(numbers: &[u8]) -> Tenants {
        Tenants::These(numbers.iter().copied().map(tenant).collect())
    }

    fn account(name: &str, account: &str, of_log: bool, tenants: Tenants) -> WebhookAccount {
        WebhookAccount {
            tenant_id: tenants.home(),
            tenants,
            name: name.into(),
            account: account.into(),
            of_log,
            provider: "twilio",
            path: "twilio/main".into(),
            acts_on_words: false,
            takes_tests: false,
            is_test: false,
            webhook: Arc::new(Mute),
        }
    }

    #[test]
    fn a_webhook_is_read_again_by_the_account_that_it_was_verified_by_and_for_its_tenants() {
        let theirs = account("main", "AC1", true, these(&[2]));
        let ours = account("main", "AC1", false, these(&[2, 3]));
        let cases = [
            // Kept by, read again by, for whom it counts then.
            (Some(&theirs), theirs.clone(), Some(these(&[2]))),
            (Some(&theirs), account("main", "AC2", true, these(&[2])), None),
            (Some(&theirs), account("other", "AC1", true, these(&[2])), None),
            // A file took the name.
            (Some(&theirs), account("main", "AC1", false, Tenants::All), None),
            (Some(&ours), account("main", "AC1", false, Tenants::All), Some(these(&[2, 3]))),
            (Some(&ours), account("main", "AC1", false, these(&[4, 2])), Some(these(&[2]))),
            (Some(&ours), account("main", "AC1", false, these(&[3])), None),
            (None, account("main", "AC1", false, Tenants::All), Some(these(&[2]))),
            (None, account("main", "AC1", false, these(&[3])), None),
            (None, theirs.clone(), None),
        ];
        for (n, (kept, now, expected)) in cases.into_iter().enumerate() {
            let kept =
                kept.map(|by| serde_json::to_value(VerifiedBy::of(by)).expect("it serialises"));
            let read = verified(now, tenant(2), kept.as_ref()).ok();
            assert_eq!(read.map(|account| account.tenants), expected, "case {n}");
        }
        let unreadable = verified(ours, tenant(2), Some(&Value::from("main")));
        assert!(unreadable.is_err(), "nobody's is guessed");
    }
}
