//! SendGrid's own JSON, as far as hatch writes and reads it. Unknown fields are ignored.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The body of `POST /v3/mail/send`.
#[derive(Debug, Serialize)]
pub(super) struct Mail<'a> {
    pub(super) personalizations: [Personalization<'a>; 1],
    pub(super) from: Mailbox<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reply_to: Option<Mailbox<'a>>,
    pub(super) subject: &'a str,
    /// Plain text before HTML.
    pub(super) content: Vec<Content>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) attachments: Vec<File<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<&'a str, String>,
    /// Come back at the top level of each event.
    pub(super) custom_args: CustomArgs,
}

/// Who gets the one mail. An address may be in one of the three lists only.
#[derive(Debug, Serialize)]
pub(super) struct Personalization<'a> {
    pub(super) to: Vec<Mailbox<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) cc: Vec<Mailbox<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) bcc: Vec<Mailbox<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Mailbox<'a> {
    pub(super) email: Cow<'a, str>,
    /// The name that is shown with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Content {
    #[serde(rename = "type")]
    pub(super) media_type: &'static str,
    pub(super) value: String,
}

#[derive(Debug, Serialize)]
pub(super) struct File<'a> {
    /// In base64.
    pub(super) content: &'a str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) media_type: Option<&'a str>,
    pub(super) filename: &'a str,
    pub(super) disposition: &'static str,
}

/// Our ids, as texts: SendGrid takes nothing else.
#[derive(Debug, Serialize)]
pub(super) struct CustomArgs {
    pub(super) message_id: String,
    pub(super) attempt: String,
    pub(super) tenant_id: String,
}

/// The body of every error that SendGrid itself answers.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    errors: Vec<ErrorEntry>,
}

#[derive(Debug, Deserialize)]
struct ErrorEntry {
    message: String,
    #[serde(default)]
    field: Option<String>,
}

impl ErrorBody {
    /// Reads the body; `None` when it is not SendGrid's.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|body: &Self| !body.errors.is_empty())
    }

    /// The fields that are wrong.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.errors.iter().filter_map(|error| error.field.as_deref())
    }

    /// SendGrid's words, each error with its field.
    pub(super) fn detail(&self) -> String {
        let said = |error: &ErrorEntry| match error.field.as_deref() {
            Some(field) if !field.is_empty() => format!("{field}: {}", error.message),
            _ => error.message.clone(),
        };
        self.errors.iter().map(said).collect::<Vec<_>>().join("; ")
    }
}

/// The id that a send was answered with, from the longer one that events carry: that ends in a dot
/// and the route of one recipient's mail through SendGrid. The id itself may hold dots in old
/// accounts, so it is the route that is recognised by how it begins.
pub(super) fn x_message_id(sg_message_id: &str) -> &str {
    const ROUTES: [&str; 4] = [".filter", ".recvd", ".ismtpd", ".geopod"];
    /// Sixteen bytes in base64.
    const ID_BYTES: usize = 22;
    if let Some(end) = ROUTES.iter().filter_map(|route| sg_message_id.find(route)).min() {
        return &sg_message_id[..end];
    }
    match sg_message_id.split_once('.') {
        Some((id, _)) if id.len() == ID_BYTES => id,
        _ => sg_message_id,
    }
}

/// What a key may do.
#[derive(Debug, Deserialize)]
pub(super) struct Scopes {
    scopes: Vec<String>,
}

impl Scopes {
    /// Reads the body; `None` when it is not SendGrid's.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Whether mail may be sent with it.
    pub(super) fn may_send(&self) -> bool {
        self.scopes.iter().any(|scope| scope == "mail.send")
    }
}
