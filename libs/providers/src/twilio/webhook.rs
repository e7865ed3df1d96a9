//! Receipts and inbound messages, which Twilio posts as forms to one URL.

use std::borrow::Cow;

use bytes::Bytes;
use hatch_domain::address::Address;
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

/// Namespace of receipt ids. It never changes: streams remember the ids.
const RECEIPTS: Uuid = uuid!("dec1975f-1fcb-4352-bc83-a8ad623573d2");

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
        let observation = match form.status() {
            Some("received" | "receiving") => Observation::Inbound(form.inbound(account)?),
            Some(status) => {
                let query = request.path_and_query.query().unwrap_or_default();
                let correlation = Correlation::from_query(query);
                Observation::Receipt(form.receipt(account, status, correlation)?)
            }
            None if form.get("Body").is_some() => Observation::Inbound(form.inbound(account)?),
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

    fn required(&self, field: &'static str) -> Result<&str, NotUnderstood> {
        self.get(field).ok_or(NotUnderstood::Missing { field })
    }

    fn sid(&self) -> Result<&str, NotUnderstood> {
        provider_id("MessageSid", self.required("MessageSid")?)
    }

    /// The status, by which receipts and inbound messages differ: receipts carry it under both
    /// names, inbound messages as `SmsStatus` only.
    fn status(&self) -> Option<&str> {
        self.get("MessageStatus").or_else(|| self.get("SmsStatus"))
    }

    fn address(&self, field: &'static str) -> Result<Address, NotUnderstood> {
        Address::phone_or_short_code(self.required(field)?)
            .map_err(|source| NotUnderstood::Address { field, source })
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
        let address = self.address("To").ok();
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

    fn inbound(&self, account: &str) -> Result<Inbound, NotUnderstood> {
        let media = self.get("NumMedia").and_then(|n| n.parse().ok()).unwrap_or(0).min(MEDIA_MAX);
        let on_the_web =
            |url: &&str| Url::parse(url).is_ok_and(|url| ["http", "https"].contains(&url.scheme()));
        // A page that shows the value makes a link of it.
        let file = |n| {
            let field = format!("MediaUrl{n}");
            let expected = "an http or https URL";
            let Some(url) = self.get(&field).filter(on_the_web) else {
                return Err(NotUnderstood::Field { field, expected });
            };
            let content_type = self.get(&format!("MediaContentType{n}")).map(str::to_owned);
            Ok(Attachment { url: Some(url.to_owned()), content_type, ..Attachment::default() })
        };
        Ok(Inbound {
            account: account.to_owned(),
            provider_message_id: self.sid()?.to_owned(),
            channel: if media == 0 { Channel::Sms } else { Channel::Mms },
            from: self.address("From")?,
            to: vec![self.address("To")?],
            body: self.get("Body").map(clean),
            attachments: (0..media).map(file).collect::<Result<_, _>>()?,
            email: None,
            segments: self.get("NumSegments").and_then(|n| n.parse().ok()).filter(|n| *n > 0),
        })
    }
}
