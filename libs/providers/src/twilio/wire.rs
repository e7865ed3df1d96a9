//! Twilio's own JSON, as far as hatch reads it. Unknown fields are ignored: Twilio
//! adds some without notice.

use serde::Deserialize;

/// Twilio's codes have five digits and begin here. Something in between that answers
/// `{"code": 503}` is therefore not taken for Twilio.
const CODE_MIN: u32 = 10_000;

/// The body of a 201.
#[derive(Debug, Deserialize)]
pub(super) struct Created {
    sid: String,
    #[serde(default)]
    num_segments: Option<String>,
}

impl Created {
    /// Reads the body; `None` without a message SID in it (`SM` or `MM` and 32 hexadecimal digits).
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let created: Self = serde_json::from_slice(body).ok()?;
        let digits = created.sid.strip_prefix("SM").or_else(|| created.sid.strip_prefix("MM"))?;
        let well_formed = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        well_formed.then_some(created)
    }

    /// The number of segments. Twilio writes numbers as strings, and 0 while it does not know.
    pub(super) fn segments(&self) -> Option<u32> {
        self.num_segments.as_deref()?.parse().ok().filter(|segments| *segments > 0)
    }

    pub(super) fn into_sid(self) -> String {
        self.sid
    }
}

/// The body of every error that Twilio itself answers.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) code: u32,
    #[serde(default)]
    pub(super) message: String,
}

impl ErrorBody {
    /// Reads the body; `None` when it is not Twilio's.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|error: &Self| error.code >= CODE_MIN)
    }
}

/// An account, as far as it says whether it may be sent by.
#[derive(Debug, Deserialize)]
pub(super) struct AccountBody {
    /// `active`, `suspended` or `closed`.
    pub(super) status: String,
    /// `Full` or `Trial`.
    #[serde(rename = "type", default)]
    pub(super) kind: String,
}

impl AccountBody {
    /// Reads the body; `None` when it is not Twilio's.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    pub(super) fn is_active(&self) -> bool {
        self.status == "active"
    }
}
