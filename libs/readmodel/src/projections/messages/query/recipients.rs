//! What became of each recipient of a message, as the API shows it.

use chrono::{DateTime, Utc};
use hatch_domain::SendError;
use hatch_domain::message::recipients::{Recipient as Kept, RecipientRole};
use hatch_domain::message::status::Status;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::message::Message;
use super::send_error::{self, ErrorSchema};

/// What became of one recipient of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Recipient {
    /// The recipient.
    pub address: String,
    /// How the message names the recipient; `other`, where only a receipt does.
    // Text, because rows may be newer than this build; and so is the status.
    #[schema(value_type = RecipientRole)]
    pub role: String,
    /// Where the message stands for this recipient.
    #[schema(value_type = Status)]
    pub status: String,
    /// Why the recipient did not get it, where that is so.
    #[serde(serialize_with = "send_error::with_class")]
    #[schema(value_type = Option<ErrorSchema>)]
    pub error: Option<SendError>,
    /// Since when it stands there.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub at: DateTime<Utc>,
    /// When the recipient called the message spam.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub complained_at: Option<DateTime<Utc>>,
    /// When the recipient unsubscribed by the message.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub unsubscribed_at: Option<DateTime<Utc>>,
}

/// The same as its row keeps it.
#[derive(Deserialize)]
pub(super) struct KeptRecipient {
    address: String,
    role: Option<String>,
    status: String,
    error: Option<SendError>,
    at: DateTime<Utc>,
    complained_at: Option<DateTime<Utc>>,
    unsubscribed_at: Option<DateTime<Utc>>,
}

impl From<KeptRecipient> for Recipient {
    fn from(kept: KeptRecipient) -> Self {
        let KeptRecipient { address, status, error, at, complained_at, unsubscribed_at, .. } = kept;
        let role = kept.role.unwrap_or_else(|| RecipientRole::To.as_str().to_owned());
        Self { address, role, status, error, at, complained_at, unsubscribed_at }
    }
}

impl From<&Kept> for Recipient {
    fn from(kept: &Kept) -> Self {
        Self {
            address: kept.address.to_string(),
            role: kept.role.as_str().to_owned(),
            status: kept.status.as_str().to_owned(),
            error: kept.error.clone(),
            at: kept.at,
            complained_at: kept.complained_at,
            unsubscribed_at: kept.unsubscribed_at,
        }
    }
}

impl Recipient {
    /// The recipients as they are kept, each with the reason of the whole message where it has none of its own.
    pub(super) fn all(
        kept: impl IntoIterator<Item = Self>,
        error: Option<&SendError>,
    ) -> Vec<Self> {
        let explained = |one: Self| {
            let bad = [Status::Failed, Status::Undelivered, Status::InDoubt, Status::Retrying];
            let is_bad = bad.iter().any(|status| status.as_str() == one.status);
            let error = one.error.clone().or_else(|| error.filter(|_| is_bad).cloned());
            Self { error, ..one }
        };
        kept.into_iter().map(explained).collect()
    }
}

impl Message {
    /// What became of each of its recipients; where nothing is known of them one by one, what became of the message.
    #[must_use]
    pub fn into_recipients(self) -> Vec<Recipient> {
        if !self.recipients.is_empty() {
            return self.recipients;
        }
        let at = self.stands_since();
        let to = self.to.into_iter().map(|address| (address, RecipientRole::To));
        let cc = self.cc.into_iter().map(|address| (address, RecipientRole::Cc));
        let bcc = self.bcc.into_iter().map(|address| (address, RecipientRole::Bcc));
        let one = |(address, role): (String, RecipientRole)| Recipient {
            address,
            role: role.as_str().to_owned(),
            status: self.status.clone(),
            error: self.error.clone(),
            at,
            complained_at: None,
            unsubscribed_at: None,
        };
        to.chain(cc).chain(bcc).map(one).collect()
    }

    /// Since when it has its status, as far as that is kept.
    fn stands_since(&self) -> DateTime<Utc> {
        let is = |status: Status| self.status == status.as_str();
        let since = if is(Status::Read) {
            self.read_at
        } else if is(Status::Delivered) {
            self.delivered_at
        } else if is(Status::Sent) {
            self.sent_at
        } else if is(Status::Received) {
            Some(self.created_at)
        } else {
            None
        };
        since.unwrap_or(self.updated_at)
    }
}
