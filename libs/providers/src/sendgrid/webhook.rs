//! The two webhooks of one SendGrid account. They differ in their paths, bodies and keys.

use bytes::Bytes;
use http::header::HeaderMap;
use http::status::StatusCode;

use super::{Settings, event, inbound, signature};
use crate::Error;
use crate::webhook::{NotUnderstood, Observation, RawRequest, Verified, Webhook, WebhookRefusal};

/// Believes and understands the event webhook, posted to the account's path.
pub struct SendGridEvents {
    account: String,
    keys: Vec<signature::Key>,
}

impl SendGridEvents {
    /// Makes the event webhook of an account.
    ///
    /// # Errors
    /// [`Error::Setting`] for wrong settings, and without a public key.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self { account: settings.account.clone(), keys: settings.event_keys()? })
    }
}

impl Webhook for SendGridEvents {
    fn verify<'r>(&self, request: &'r RawRequest) -> Result<Verified<'r>, WebhookRefusal> {
        signature::verify(&self.keys, request).map(|()| Verified::new(request))
    }

    fn may_be_signed(&self, headers: &HeaderMap) -> bool {
        signature::is_there(headers)
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Vec<Observation>, NotUnderstood> {
        event::parse(&self.account, &request.request().body)
    }

    fn success(&self) -> http::Response<Bytes> {
        taken()
    }
}

/// Believes and understands Inbound Parse, posted to the account's path with `/inbound` at its end.
pub struct SendGridInbound {
    account: String,
    keys: Vec<signature::Key>,
}

impl SendGridInbound {
    /// Makes the Inbound Parse webhook of an account.
    ///
    /// # Errors
    /// [`Error::Setting`] for wrong settings, and without a public key.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self { account: settings.account.clone(), keys: settings.inbound_keys()? })
    }
}

impl Webhook for SendGridInbound {
    fn verify<'r>(&self, request: &'r RawRequest) -> Result<Verified<'r>, WebhookRefusal> {
        signature::verify(&self.keys, request).map(|()| Verified::new(request))
    }

    fn may_be_signed(&self, headers: &HeaderMap) -> bool {
        signature::is_there(headers)
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Vec<Observation>, NotUnderstood> {
        let inbound = inbound::parse(&self.account, request.request())?;
        Ok(vec![Observation::Inbound(inbound)])
    }

    fn success(&self) -> http::Response<Bytes> {
        taken()
    }
}

/// 204: taken, and nothing to be said in return.
fn taken() -> http::Response<Bytes> {
    let mut response = http::Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
