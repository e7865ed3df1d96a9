//! Our own ids, on their way through a provider and back.

use hatch_domain::ids::{MessageId, TenantId};
use url::form_urlencoded;
use uuid::Uuid;

/// What references of ours begin with.
const REFERENCE: &str = "hatch";

/// Which attempt a receipt speaks of. A provider that echoes no reference of ours gets these in the
/// query of the URL that it posts receipts to; they are covered by its signature there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correlation {
    /// Whose message it is.
    pub tenant_id: TenantId,
    /// The message.
    pub message_id: MessageId,
    /// The attempt's number, from 1.
    pub attempt: u32,
}

impl Correlation {
    /// The query of a receipt URL, without its question mark.
    pub(crate) fn to_query(self) -> String {
        let Self { tenant_id, message_id, attempt } = self;
        format!("message_id={message_id}&attempt={attempt}&tenant_id={tenant_id}")
    }

    /// Reads the query of a receipt's URL; `None` unless all three are there and well formed.
    /// Other keys are ignored.
    pub(crate) fn from_query(query: &str) -> Option<Self> {
        let value = |wanted| {
            form_urlencoded::parse(query.as_bytes())
                .find_map(|(key, value)| (key == wanted).then_some(value))
        };
        Some(Self {
            tenant_id: value("tenant_id")?.parse().ok()?,
            message_id: value("message_id")?.parse().ok()?,
            attempt: value("attempt")?.parse().ok().filter(|attempt| *attempt > 0)?,
        })
    }

    /// The same for a provider that takes a short reference of ours and echoes it: 100 characters at most.
    pub(crate) fn to_reference(self) -> String {
        let Self { tenant_id, message_id, attempt } = self;
        format!("{REFERENCE}.{}.{}.{attempt}", tenant_id.0.simple(), message_id.0.simple())
    }

    /// Reads such a reference; `None` for one that is not ours.
    pub(crate) fn from_reference(reference: &str) -> Option<Self> {
        let parts: Vec<&str> = reference.splitn(5, '.').collect();
        let [REFERENCE, tenant, message, attempt] = parts.as_slice() else { return None };
        Some(Self {
            tenant_id: TenantId(Uuid::try_parse(tenant).ok()?),
            message_id: MessageId(Uuid::try_parse(message).ok()?),
            attempt: attempt.parse().ok().filter(|attempt| *attempt > 0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_short_and_is_read_again() {
        let correlation = Correlation {
            tenant_id: TenantId(Uuid::from_u128(1)),
            message_id: MessageId(Uuid::from_u128(u128::MAX)),
            attempt: u32::MAX,
        };
        let reference = correlation.to_reference();
        assert!(reference.len() <= 100, "{reference}");
        assert_eq!(Correlation::from_reference(&reference), Some(correlation));
        let strange = ["", "hatch", "hatch.1.2.3", "order 17", &format!("{reference}.5")];
        for other in strange.into_iter().chain([reference.replace("hatch", "other").as_str()]) {
            assert_eq!(Correlation::from_reference(other), None, "{other}");
        }
        let first = Correlation { attempt: 1, ..correlation }.to_reference();
        let none = format!("{}0", first.trim_end_matches('1'));
        assert_eq!(Correlation::from_reference(&none), None, "there is no attempt 0");
    }
}
