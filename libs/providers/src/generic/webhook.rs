//! One message a request.

use bytes::Bytes;
use hatch_domain::address::{Address, AddressKind};
use hatch_domain::mailbox::{Mailbox, Person, PersonRole};
use hatch_domain::{Attachment, Channel, Email};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::error::Category;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use url::Url;

use super::{ACCOUNT, EMAIL_PATH, SMS_PATH, Settings};
use crate::Error;
use crate::webhook::{
    Inbound, NotUnderstood, Observation, RawRequest, Verified, Webhook, WebhookRefusal,
};

/// The fields of a request.
const FIELDS: [&str; 8] = [
    "attachments",
    "body",
    "from",
    "messaging_provider_id",
    "timestamp",
    "to",
    "type",
    "xillio_id",
];

/// The provider's id of a message is at most so long.
const ID_CHARS_MAX: usize = 255;

/// Files of a message at most, as many as one that is sent may have.
const ATTACHMENTS_MAX: usize = 50;

/// Believes whoever shows the secret, or anybody.
pub struct GenericWebhook {
    settings: Settings,
}

impl GenericWebhook {
    /// Makes the webhook.
    ///
    /// # Errors
    /// [`Error::Setting`] for wrong settings, and when they do not say who may post.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self { settings })
    }

    fn check_secret(&self, headers: &HeaderMap) -> Result<(), WebhookRefusal> {
        let Some(secret) = &self.settings.bearer_secret else { return Ok(()) };
        let header = headers.get(AUTHORIZATION).ok_or(WebhookRefusal::MissingSecret)?;
        let header = header.to_str().map_err(|_| WebhookRefusal::WrongSecret)?;
        let (scheme, shown) = header.split_once(' ').ok_or(WebhookRefusal::WrongSecret)?;
        // Of digests, how long a comparison takes tells nothing about the secret.
        let same = Sha256::digest(shown.trim()) == Sha256::digest(secret.expose());
        let good = same && scheme.eq_ignore_ascii_case("bearer");
        good.then_some(()).ok_or(WebhookRefusal::WrongSecret)
    }
}

impl Webhook for GenericWebhook {
    fn verify<'r>(&self, request: &'r RawRequest) -> Result<Verified<'r>, WebhookRefusal> {
        self.check_secret(&request.headers).map(|()| Verified::new(request))
    }

    fn may_be_signed(&self, headers: &HeaderMap) -> bool {
        self.check_secret(headers).is_ok()
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Vec<Observation>, NotUnderstood> {
        let request = request.request();
        let fields: Map<String, Value> =
            serde_json::from_slice(&request.body).map_err(|error| match error.classify() {
                Category::Data => NotUnderstood::ContentType { expected: "a JSON object" },
                _ => NotUnderstood::NotJson { line: error.line(), column: error.column() },
            })?;
        if let Some(unknown) = fields.keys().find(|key| !FIELDS.contains(&key.as_str())) {
            return Err(NotUnderstood::Unknown { field: unknown.clone() });
        }
        let inbound = Fields(fields).inbound(request.path_and_query.path())?;
        Ok(vec![Observation::Inbound(inbound)])
    }

    fn refuses_nonsense(&self) -> bool {
        true
    }

    fn success(&self) -> http::Response<Bytes> {
        let mut response = http::Response::new(Bytes::from_static(br#"{"status":"received"}"#));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}

/// The fields of a request, all of known names.
struct Fields(Map<String, Value>);

impl Fields {
    fn inbound(&self, path: &str) -> Result<Inbound, NotUnderstood> {
        let urls = self.attachments()?;
        let channel = self.channel(path, !urls.is_empty())?;
        let body = self.text("body")?.filter(|body| !body.is_empty());
        if body.is_none() && urls.is_empty() {
            return Err(wrong("body", "a text that is not empty, or attachments"));
        }
        // Kept by the sender, and never ours to order by.
        self.text("timestamp")?;
        let (id, other) = match channel {
            Channel::Email => ("xillio_id", "messaging_provider_id"),
            _ => ("messaging_provider_id", "xillio_id"),
        };
        if self.text(other)?.is_some() {
            return Err(wrong(other, "no such field for this type"));
        }
        let id = match self.text(id)?.filter(|text| !text.trim().is_empty()) {
            None => return Err(NotUnderstood::Missing { field: id }),
            Some(text) if text.chars().count() > ID_CHARS_MAX => {
                return Err(wrong(id, "at most 255 characters"));
            }
            Some(text) => text,
        };
        let attachment = |url| Attachment { url: Some(url), ..Attachment::default() };
        let (from, to) = (self.mailbox("from", channel)?, self.mailbox("to", channel)?);
        let people = [(PersonRole::From, &from), (PersonRole::To, &to)];
        let people = people.into_iter().filter_map(|(role, one)| Person::of(role, one));
        let email = Email { people: people.collect(), ..Email::default() };
        Ok(Inbound {
            account: ACCOUNT.to_owned(),
            provider_message_id: id.to_owned(),
            channel,
            from: from.address,
            to: vec![to.address],
            body: body.map(str::to_owned),
            attachments: urls.into_iter().map(attachment).collect(),
            email: (channel == Channel::Email).then(|| Box::new(email)),
            delivered_to: Vec::new(),
            segments: None,
        })
    }

    /// As `type` says; without it, as the path or the sender's address does, an SMS with
    /// attachments being an MMS.
    fn channel(&self, path: &str, attached: bool) -> Result<Channel, NotUnderstood> {
        let by_address = || {
            let from = self.text("from").ok().flatten().unwrap_or_default();
            Address::written_kind(from) == AddressKind::Email
        };
        match (self.text("type")?, path) {
            (Some("email"), EMAIL_PATH) => Ok(Channel::Email),
            (Some("sms"), SMS_PATH) => Ok(Channel::Sms),
            (Some("mms"), SMS_PATH) => Ok(Channel::Mms),
            (Some(_), SMS_PATH) => Err(wrong("type", "sms or mms")),
            (Some(_), EMAIL_PATH) => Err(wrong("type", "email")),
            (Some("email"), _) => Ok(Channel::Email),
            (Some("sms"), _) => Ok(Channel::Sms),
            (Some("mms"), _) => Ok(Channel::Mms),
            (Some(_), _) => Err(wrong("type", "sms, mms or email")),
            (None, EMAIL_PATH) => Ok(Channel::Email),
            (None, path) if path != SMS_PATH && by_address() => Ok(Channel::Email),
            (None, _) => Ok(if attached { Channel::Mms } else { Channel::Sms }),
        }
    }

    /// A text; `None` when it is absent or null.
    fn text(&self, field: &'static str) -> Result<Option<&str>, NotUnderstood> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.contains('\0') => {
                Err(wrong(field, "a text without NUL characters"))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(field, "a text")),
        }
    }

    fn mailbox(&self, field: &'static str, channel: Channel) -> Result<Mailbox, NotUnderstood> {
        let text = self.text(field)?.filter(|text| !text.trim().is_empty());
        let text = text.ok_or(NotUnderstood::Missing { field })?;
        let address = match channel {
            Channel::Email => Mailbox::parse(text),
            _ => Address::phone(text).map(Mailbox::from),
        };
        address.map_err(|source| NotUnderstood::Address { field, source })
    }

    fn attachments(&self) -> Result<Vec<String>, NotUnderstood> {
        let refuse = || wrong("attachments", "null, or a list of http and https URLs");
        let list = match self.0.get("attachments") {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(refuse()),
        };
        if list.len() > ATTACHMENTS_MAX {
            return Err(wrong("attachments", "at most 50 URLs"));
        }
        let url = |value: &Value| {
            let text = value.as_str()?;
            let url = Url::parse(text).ok()?;
            matches!(url.scheme(), "http" | "https").then(|| text.to_owned())
        };
        list.iter().map(|value| url(value).ok_or_else(refuse)).collect()
    }
}

fn wrong(field: &str, expected: &'static str) -> NotUnderstood {
    NotUnderstood::Field { field: field.to_owned(), expected }
}
