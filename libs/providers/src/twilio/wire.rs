//! Twilio's own JSON and error codes, as far as hatch reads them. Unknown fields are ignored: Twilio
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

/// The codes after which another attempt at the same message may succeed.
///
/// Twilio lists its codes at <https://www.twilio.com/docs/api/errors>. Those that are not here are
/// permanent for the message: a recipient that does not exist (21211, 21614, 30005) or opted out
/// (21610), content that cannot be sent (21602, 21617, 30007), and a *configuration* that is wrong
/// (20003 credentials, 21606 sender, 21408 region, 30034 unregistered number): there it is the
/// account that must be mended, and attempts until then only burn. Codes that are not known are
/// permanent too. So is 30410, "timed out at the carrier": the message may have arrived, and to
/// send it again is a decision for people.
const RETRYABLE: [u32; 19] = [
    14107, // rate between two numbers
    20429, // too many requests at once
    20500, // internal error
    20503, // unavailable
    21611, // the sender's queue is full
    30001, // queue overflow
    30003, // handset off or out of reach
    30008, // unknown error
    30017, // carrier congested
    30022, // 10DLC rate
    30023, // 10DLC daily cap
    30027, // T-Mobile daily cap
    30036, // validity period over
    63009, // channel provider error
    63010, // channel provider internal error
    63012, // channel provider unavailable
    63017, // channel rate
    63018, // channel rate
    63038, // daily limit of the account
];

/// Whether another attempt cannot help after this code.
pub(super) fn is_permanent(code: u32) -> bool {
    !RETRYABLE.contains(&code)
}
