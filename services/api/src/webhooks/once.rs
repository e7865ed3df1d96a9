//! Signatures that cover nothing of what a request says. Each is good for one thing, and for half a day: whoever has
//! seen one request could else post whatever they like with it.

use chrono::{DateTime, TimeDelta, Utc};
use hatch_providers::{Once, WebhookRefusal};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{WebhookAccount, Webhooks};
use crate::problem::Problem;

/// Namespace of the ids of tokens: a UUIDv4 drawn once for hatch.
const NAMESPACE: Uuid = Uuid::from_u128(0x5b0e_7a61_3c94_4d2f_8e15_b7c2_90f4_a6d3);

/// A signature is believed for so long: a provider repeats what we did not take for eight hours, and may not sign it
/// anew. A token is remembered for longer, as long as the schema says.
const BELIEVED: TimeDelta = TimeDelta::hours(12);

/// A provider's clock may be ahead of ours by so much.
const AHEAD_MAX: TimeDelta = TimeDelta::hours(1);

impl Webhooks {
    /// Why a signature that may be used once only is not believed, where it is not. Its token is used before anything
    /// that the request says is recorded, so that of two requests with one token one alone is.
    ///
    /// # Errors
    /// The tokens cannot be read.
    pub(super) async fn reused(
        &self,
        account: &WebhookAccount,
        once: Option<Once>,
    ) -> Result<Option<WebhookRefusal>, Problem> {
        let Some(Once { token, signed_at, said }) = once else { return Ok(None) };
        if !is_of_now(signed_at, self.store.environment().now()) {
            return Ok(Some(WebhookRefusal::Stale));
        }
        let token = Uuid::new_v5(&NAMESPACE, [account.provider, &token].join("\n").as_bytes());
        let said = said_to(&account.name, &said);
        let is_good = self.read_model.use_webhook_token(token, &said).await?;
        Ok((!is_good).then_some(WebhookRefusal::Used))
    }
}

/// What is said, and to which account: several accounts may have one key, and be of several tenants. Whoever reads the
/// webhooks of one could else have another believe them.
fn said_to(account: &str, said: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(said).chain_update(account).finalize().into()
}

fn is_of_now(signed_at: i64, now: DateTime<Utc>) -> bool {
    let signed_at = DateTime::from_timestamp(signed_at, 0);
    signed_at.is_some_and(|at| at > now - BELIEVED && at < now + AHEAD_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_believed_for_as_long_as_a_provider_repeats_it() {
        let now = DateTime::from_timestamp(1_780_000_000, 0).expect("a time");
        for (ago_s, believed) in [
            (0, true),
            (8 * 3_600 + 300, true),
            (12 * 3_600 + 1, false),
            (-300, true),
            (-3_601, false),
            (1_780_000_000, false),
            (i64::MIN / 2, false),
        ] {
            let signed_at = now.timestamp().saturating_sub(ago_s);
            assert_eq!(is_of_now(signed_at, now), believed, "{ago_s}");
        }
    }
}
