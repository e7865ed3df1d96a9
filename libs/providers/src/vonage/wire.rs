//! Vonage's own JSON, as far as hatch writes and reads it. Unknown fields are ignored: Vonage adds some without notice.

use hatch_domain::address::{Address, AddressKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

/// The hosts below which Vonage explains its errors.
const ERROR_HOSTS: [&str; 2] = ["developer.vonage.com", "developer.nexmo.com"];

/// A message as Vonage takes it.
#[derive(Serialize)]
pub(super) struct MessageBody<'a> {
    pub(super) channel: &'static str,
    pub(super) message_type: &'static str,
    pub(super) to: &'a str,
    pub(super) from: &'a str,
    #[serde(flatten)]
    pub(super) content: Content<'a>,
    pub(super) client_ref: String,
    pub(super) webhook_url: &'a str,
    pub(super) webhook_version: &'static str,
}

/// What a message says: a text, or one file under the name of its kind.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Content<'a> {
    Text(&'a str),
    Image(File<'a>),
    Vcard(File<'a>),
    Audio(File<'a>),
    Video(File<'a>),
}

/// A file that Vonage fetches, and the text with it.
#[derive(Serialize, Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) caption: Option<&'a str>,
}

impl Content<'_> {
    /// The channel, and Vonage's name of the kind.
    pub(super) const fn kind(&self) -> (&'static str, &'static str) {
        match self {
            Self::Text(_) => ("sms", "text"),
            Self::Image(_) => ("mms", "image"),
            Self::Vcard(_) => ("mms", "vcard"),
            Self::Audio(_) => ("mms", "audio"),
            Self::Video(_) => ("mms", "video"),
        }
    }
}

/// A number as Vonage writes it, which is without its `+`; a name as it is.
pub(super) fn to_vonage(address: &Address) -> &str {
    let text = address.as_str();
    text.strip_prefix('+').unwrap_or(text)
}

/// Whom Vonage names. A number has no `+`, and a short code is a number of no country.
pub(super) fn from_vonage(text: &str) -> Address {
    /// Digits of a short code at most.
    const SHORT_CODE_DIGITS_MAX: usize = 8;
    let digits = text.trim();
    let is_bare = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_bare {
        return Address::received_phone(text);
    }
    let international = format!("+{digits}");
    match Address::phone(&international) {
        Ok(phone) => phone,
        Err(_) if digits.len() <= SHORT_CODE_DIGITS_MAX => Address::received_phone(digits),
        Err(_) => {
            let received = Address::received_phone(&international);
            let is_phone = received.kind() == AddressKind::Phone;
            if is_phone { received } else { Address::received_phone(digits) }
        }
    }
}

/// The body of a 202.
#[derive(Deserialize)]
pub(super) struct Created {
    message_uuid: String,
}

impl Created {
    /// What Vonage calls the message; `None` where the body does not say so.
    pub(super) fn read(body: &[u8]) -> Option<String> {
        let created: Self = serde_json::from_slice(body).ok()?;
        Uuid::try_parse(&created.message_uuid).ok()?;
        Some(created.message_uuid)
    }
}

/// The body of every error that Vonage itself answers (RFC 9457).
pub(super) struct Problem {
    /// What `type` ends in behind its `#`: a number, or a word such as `low-balance`.
    pub(super) code: String,
    /// Vonage's words.
    pub(super) detail: String,
}

#[derive(Deserialize)]
struct ProblemBody {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    title: Value,
    #[serde(default)]
    detail: Value,
    #[serde(default)]
    invalid_parameters: Value,
}

impl Problem {
    /// Reads the body; `None` when it is not Vonage's.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body: ProblemBody = serde_json::from_slice(body).ok()?;
        let code = code_of(&body.kind)?;
        let words = [&body.title, &body.detail].map(Value::as_str);
        let mut detail: Vec<String> = words.into_iter().flatten().map(str::to_owned).collect();
        let wrong = body.invalid_parameters.as_array().into_iter().flatten();
        detail.extend(wrong.filter_map(|one| {
            Some(format!("{}: {}", one["name"].as_str()?, one["reason"].as_str()?))
        }));
        Some(Self { code, detail: detail.join("; ") })
    }
}

/// The code at the end of a URL of Vonage's about an error.
pub(super) fn code_of(kind: &str) -> Option<String> {
    let url = Url::parse(kind).ok()?;
    let host = url.host_str()?;
    let is_vonage = ERROR_HOSTS.contains(&host.strip_prefix("www.").unwrap_or(host));
    let code = url.fragment().filter(|code| is_code(code))?;
    is_vonage.then(|| code.to_owned())
}

/// Whether a text can be a code: it ends up in the log and in the names of figures.
pub(super) fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
