//! Receipts and inbound messages, which Twilio posts as forms to one URL.

use std::borrow::Cow;

use bytes::Bytes;
use hatch_domain::address::{Address, AddressKind};
use hatch_domain::{Attachment, Channel, ErrorClass, SendError};
use hatch_mail::clean;
use http::header::HeaderMap;
use http::status::StatusCode;
use url::{Url, form_urlencoded};
use uuid::{Uuid, uuid};

use super::codes::meaning;
use super::{Settings, signature};
use crate::webhook::{
    Inbound, NotUnderstood, Observation, RawRequest, Receipt, ReportedOutcome, Suppression,
    Verified, Webhook, WebhookRefusal, provider_id,
};
use crate::{Correlation, Error};

/// Twilio takes and brings ten files a message at most.
const MEDIA_MAX: usize = 10;

/// The names of the field that says what Twilio calls a message.
const SIDS: [&str; 3] = ["MessageSid", "SmsMessageSid", "SmsSid"];

/// Namespace of receipt ids. It never changes: streams remember the ids.
const RECEIPTS: Uuid = uuid!("dec1975f-1fcb-4352-bc83-a8ad623573d2");

/// Namespace of the names of messages for which Twilio gives none. It never changes.
const NAMELESS: Uuid = uuid!("5b7e0f1c-64b8-4d0e-9c55-2f1a8d7c3e90");

/// Believes and understands the webhooks of one Twilio account.
pub struct TwilioWebhook {
    settings: Settings,
}

impl TwilioWebhook {
    /// Makes the webhook of an account.
    ///
    /// # Errors
    /// [`Error::Setting`] for wrong settings.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self { settings })
    }
}

impl Webhook for TwilioWebhook {
    fn verify<'r>(&self, request: &'r RawRequest) -> Result<Verified<'r>, WebhookRefusal> {
        let mut tokens = vec![&self.settings.auth_token];
        tokens.extend(&self.settings.auth_token_secondary);
        signature::verify(&self.settings.public_url, &tokens, request)?;
        Ok(Verified::new(request))
    }

    fn may_be_signed(&self, headers: &HeaderMap) -> bool {
        signature::is_there(headers)
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Vec<Observation>, NotUnderstood> {
        let request = request.request();
        if !signature::is_form(request) {
            return Err(NotUnderstood::ContentType { expected: "a form" });
        }
        if signature::has_many_fields(&request.body) {
            return Err(NotUnderstood::ContentType { expected: "a form of at most 1,000 fields" });
        }
        let form = Form(form_urlencoded::parse(&request.body).collect());
        // The token proves this account and speaks for no other.
        let account = &self.settings.account_sid;
        if form.get("AccountSid").is_some_and(|named| named != account) {
            return Err(NotUnderstood::ForeignAccount);
        }
        let query = request.path_and_query.query().unwrap_or_default();
        let correlation = Correlation::from_query(query);
        let observation = match form.status() {
            Some("received" | "receiving") => Observation::Inbound(form.inbound(account)),
            // A status that there is not says nothing, and the text is there.
            Some(status) if correlation.is_none() && form.is_text(status) => {
                Observation::Inbound(form.inbound(account))
            }
            Some(status) => Observation::Receipt(form.receipt(account, status, correlation)?),
            // Nobody but a sender says so little; what names a message of ours is about that.
            None if form.is_from_somebody() && correlation.is_none() => {
                Observation::Inbound(form.inbound(account))
            }
            None => return Err(NotUnderstood::Missing { field: "MessageStatus" }),
        };
        Ok(vec![observation])
    }

    /// 204: taken, and nothing to be said in return.
    fn success(&self) -> http::Response<Bytes> {
        let mut response = http::Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }
}

/// The fields of a webhook, some dozen.
struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Form<'_> {
    /// A field that is there and not empty; the last of its name.
    fn get(&self, field: &str) -> Option<&str> {
        let (_, value) = self.0.iter().rfind(|(name, _)| name == field)?;
        Some(value.as_ref()).filter(|value| !value.is_empty())
    }

    /// What Twilio calls the message. Older accounts are told it by other names only.
    fn sid(&self) -> Result<&str, NotUnderstood> {
        let field = "MessageSid";
        let sid = SIDS.iter().find_map(|name| self.get(name));
        provider_id(field, sid.ok_or(NotUnderstood::Missing { field })?)
    }

    /// Whether it can be the message of somebody, without a status that says so.
    fn is_from_somebody(&self) -> bool {
        ["Body", "From"].iter().any(|field| self.get(field).is_some())
    }

    /// Whether it is the message of somebody, though it has a status that Twilio does not document.
    fn is_text(&self, status: &str) -> bool {
        let has = |field| self.get(field).is_some();
        has("Body") && !has("MessageStatus") && self.outcome(status).is_err()
    }

    /// The status, by which receipts and inbound messages differ: receipts carry it under both
    /// names, inbound messages as `SmsStatus` only.
    fn status(&self) -> Option<&str> {
        self.get("MessageStatus").or_else(|| self.get("SmsStatus"))
    }

    /// Whom the field names, whatever it says: Twilio signed it.
    fn address(&self, field: &str) -> Address {
        Address::received_phone(self.get(field).unwrap_or_default())
    }

    fn receipt(
        &self,
        account: &str,
        status: &str,
        correlation: Option<Correlation>,
    ) -> Result<Receipt, NotUnderstood> {
        let sid = self.sid()?;
        let code = self.get("ErrorCode").unwrap_or_default();
        let done = self.get("RawDlrDoneDate").unwrap_or_default();
        let content = [account, sid, status, code, done].join("\n");
        let outcome = self.outcome(status)?;
        Ok(Receipt {
            suppression: self.suppression(&outcome),
            correlation,
            account: account.to_owned(),
            provider_message_id: sid.to_owned(),
            receipt_id: Uuid::new_v5(&RECEIPTS, content.as_bytes()),
            recipient: None,
            outcome,
        })
    }

    fn outcome(&self, status: &str) -> Result<ReportedOutcome, NotUnderstood> {
        Ok(match status {
            "accepted" | "scheduled" | "queued" | "sending" => ReportedOutcome::Progress,
            "sent" => ReportedOutcome::Sent,
            "delivered" | "partially_delivered" => ReportedOutcome::Delivered,
            "read" => ReportedOutcome::Read,
            "undelivered" => ReportedOutcome::Undelivered(self.error(status)),
            "failed" | "canceled" => ReportedOutcome::Failed(self.error(status)),
            _ => return Err(NotUnderstood::Status { status: status.to_owned() }),
        })
    }

    /// Twilio's callbacks do not always name the recipient, and a message has one only.
    fn suppression(&self, outcome: &ReportedOutcome) -> Option<Suppression> {
        let error = outcome.error().filter(|error| error.class == ErrorClass::OptedOut)?;
        let address = Some(self.address("To")).filter(|to| to.kind() == AddressKind::Phone);
        Some(Suppression { address, reason: error.code.clone(), lifted: false })
    }

    /// Twilio's code where it gives one, else the status.
    fn error(&self, status: &str) -> SendError {
        let code = self.get("ErrorCode").filter(|code| *code != "0");
        let number = code.and_then(|code| code.parse().ok());
        let (class, permanent) = number.map_or((ErrorClass::Other, true), meaning);
        SendError {
            code: code.unwrap_or(status).to_owned(),
            class,
            detail: match (self.get("ErrorMessage"), code) {
                (Some(message), _) => clean(message),
                (None, Some(code)) => format!("see https://www.twilio.com/docs/errors/{code}"),
                (None, None) => format!("Twilio reported the message as {status}"),
            },
            permanent,
        }
    }

    fn inbound(&self, account: &str) -> Inbound {
        let media = self.media();
        Inbound {
            account: account.to_owned(),
            provider_message_id: self.name(),
            channel: if media == 0 { Channel::Sms } else { Channel::Mms },
            from: self.address("From"),
            to: vec![self.address("To")],
            body: self.get("Body").map(clean),
            attachments: (0..media).map(|n| self.file(n)).collect(),
            email: None,
            delivered_to: Vec::new(),
            segments: self.get("NumSegments").and_then(|n| n.parse().ok()).filter(|n| *n > 0),
        }
    }

    /// What Twilio calls the message, or else a UUIDv5 of what it says: the same again where it comes again.
    fn name(&self) -> String {
        let otherwise = || {
            let mut fields: Vec<_> = self.0.iter().collect();
            fields.sort_unstable();
            let mut content = Vec::new();
            for text in fields.into_iter().flat_map(|(name, value)| [name, value]) {
                content.extend_from_slice(&(text.len() as u64).to_be_bytes());
                content.extend_from_slice(text.as_bytes());
            }
            Uuid::new_v5(&NAMELESS, &content).to_string()
        };
        self.sid().map_or_else(|_| otherwise(), str::to_owned)
    }

    /// How many files came with the message: as many as it says, and no fewer than it names.
    fn media(&self) -> usize {
        let said = self.get("NumMedia").and_then(|n| n.trim().parse().ok()).unwrap_or(0);
        let is_named = |n: &usize| self.get(&format!("MediaUrl{n}")).is_some();
        let named = (0..MEDIA_MAX).rev().find(is_named).map_or(0, |last| last + 1);
        said.min(MEDIA_MAX).max(named)
    }

    /// A file, or what is known of one that cannot be fetched: a page that shows its URL makes a link of it.
    fn file(&self, n: usize) -> Attachment {
        let is_on_the_web = |url: &Url| ["http", "https"].contains(&url.scheme()) && url.has_host();
        let named = self.get(&format!("MediaUrl{n}"));
        let url = named.filter(|url| Url::parse(url).is_ok_and(|url| is_on_the_web(&url)));
        let missing = match named {
            _ if url.is_some() => None,
            Some(_) => Some("Twilio named no http or https URL for it"),
            None => Some("Twilio named no URL for it"),
        };
        Attachment {
            url: url.map(str::to_owned),
            content_type: self.get(&format!("MediaContentType{n}")).map(clean),
            missing: missing.map(str::to_owned),
            ..Attachment::default()
        }
    }
}
