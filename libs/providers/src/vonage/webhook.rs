//! Statuses and inbound messages, which Vonage posts as JSON to one URL.

use std::sync::Arc;

use bytes::Bytes;
use hatch_domain::Environment;
use hatch_domain::address::Address;
use http::header::HeaderMap;
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::signature::Signer;
use super::wire::from_vonage;
use super::{Settings, inbound, signature, status};
use crate::Error;
use crate::webhook::{NotUnderstood, Observation, RawRequest, Verified, Webhook, WebhookRefusal};

/// Believes and understands the webhooks of one Vonage account.
pub struct VonageWebhook {
    settings: Settings,
    clock: Arc<dyn Environment>,
}

impl VonageWebhook {
    /// Makes the webhook of an account.
    ///
    /// # Errors
    /// [`Error::Setting`] for wrong settings.
    pub fn new(settings: Settings, clock: Arc<dyn Environment>) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self { settings, clock })
    }

    fn signer(&self) -> Signer<'_> {
        Signer {
            secret: &self.settings.signature_secret,
            api_key: &self.settings.api_key,
            application_id: self.settings.application_id.as_deref(),
        }
    }
}

impl Webhook for VonageWebhook {
    fn verify<'r>(&self, request: &'r RawRequest) -> Result<Verified<'r>, WebhookRefusal> {
        signature::verify(self.signer(), self.clock.now(), request)?;
        Ok(Verified::new(request))
    }

    fn may_be_signed(&self, headers: &HeaderMap) -> bool {
        signature::is_there(self.signer(), self.clock.now(), headers)
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Vec<Observation>, NotUnderstood> {
        let body = &request.request().body;
        let fields = Fields::read(body)?;
        let account = &self.settings.api_key;
        // A message from outside has no field `status`.
        let observation = match (fields.get("status"), fields.text("status")) {
            (None, _) => Observation::Inbound(inbound::inbound(&fields, account, body)?),
            (_, Some(status)) => Observation::Receipt(status::receipt(&fields, account, status)?),
            (Some(_), None) => {
                let (field, expected) = ("status".to_owned(), "a text that is not empty");
                return Err(NotUnderstood::Field { field, expected });
            }
        };
        Ok(vec![observation])
    }

    /// 200, which is what Vonage expects: anything else has it post the same again.
    fn success(&self) -> http::Response<Bytes> {
        http::Response::new(Bytes::new())
    }
}

/// The fields of a webhook.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    fn read(body: &[u8]) -> Result<Self, NotUnderstood> {
        serde_json::from_slice(body).map(Self).map_err(|error| match error.classify() {
            Category::Data => NotUnderstood::ContentType { expected: "a JSON object" },
            _ => NotUnderstood::NotJson { line: error.line(), column: error.column() },
        })
    }

    /// A field, whatever it is.
    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// A text that is not empty.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.get(field)?.as_str().filter(|text| !text.is_empty())
    }

    /// A part of a field that is an object.
    pub(super) fn part(&self, field: &str, part: &str) -> Option<&Value> {
        self.get(field)?.get(part).filter(|value| !value.is_null())
    }

    /// The content of a message as older webhooks have it, which is not among the fields.
    pub(super) fn older_content(&self) -> Option<&Value> {
        self.part("message", "content")
    }

    /// Whom the field names, whatever it says: Vonage signed it. Older webhooks name a number within an object.
    pub(super) fn address(&self, field: &str) -> Address {
        let number = self.part(field, "number").and_then(Value::as_str);
        from_vonage(self.text(field).or(number).unwrap_or_default())
    }
}
