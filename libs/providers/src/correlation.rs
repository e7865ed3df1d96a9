//! Our own ids, on their way through a provider and back.

use hatch_domain::ids::{MessageId, TenantId};
use url::form_urlencoded;

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
}
