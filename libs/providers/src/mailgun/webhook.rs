//! The webhooks of one Mailgun account: its events, and the mails that its routes bring. They differ in their bodies.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};

use super::{Settings, event, inbound};
use crate::webhook::{
    NotUnderstood, Observation, Once, RawRequest, Verified, Webhook, WebhookRefusal,
};
use crate::{Error, Secret};

/// The bodies that routes post: the second one for a mail with files.
const FORMS: [&str; 2] = ["application/x-www-form-urlencoded", "multipart/form-data"];

/// Believes and understands all that is posted to the account's path: events, and mails that are not too large for it.
pub struct MailgunPosts {
    events: MailgunEvents,
    routes: MailgunRoutes,
}

impl MailgunPosts {
    /// Makes the webhook of an account's path.
    ///
    /// # Errors
    /// [`Error::Setting`] for wrong settings.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let (events, routes) = (MailgunEvents::new(settings)?, MailgunRoutes::new(settings)?);
        Ok(Self { events, routes })
    }

    /// The one that such a request is for.
    fn of(&self, headers: &HeaderMap) -> &dyn Webhook {
        if self.routes.may_be_signed(headers) { &self.routes } else { &self.events }
    }
}

impl Webhook for MailgunPosts {
    fn verify<'r>(&self, request: &'r RawRequest) -> Result<Verified<'r>, WebhookRefusal> {
        self.of(&request.headers).verify(request)
    }

    fn may_be_signed(&self, headers: &HeaderMap) -> bool {
        self.of(headers).may_be_signed(headers)
    }

    fn once(&self, request: &Verified<'_>) -> Option<Once> {
        self.of(&request.request().headers).once(request)
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Vec<Observation>, NotUnderstood> {
        self.of(&request.request().headers).parse(request)
    }

    fn success(&self) -> http::Response<Bytes> {
        taken()
    }
}

/// Believes and understands events.
pub struct MailgunEvents {
    domain: String,
    keys: Vec<Secret>,
}

impl MailgunEvents {
    /// Makes the webhook of an account's events.
    ///
    /// # Errors
    /// [`Error::Setting`] for wrong settings.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self { domain: settings.domain.clone(), keys: settings.signing_keys() })
    }
}

impl Webhook for MailgunEvents {
    fn verify<'r>(&self, request: &'r RawRequest) -> Result<Verified<'r>, WebhookRefusal> {
        let signature = event::signature(&request.body);
        let signature = signature.ok_or(WebhookRefusal::MissingSignature)?;
        signature.verify(&self.keys).map(|()| Verified::new(request))
    }

    fn may_be_signed(&self, headers: &HeaderMap) -> bool {
        essence(headers) == "application/json"
    }

    fn once(&self, request: &Verified<'_>) -> Option<Once> {
        let body = &request.request().body;
        event::signature(body)?.once(event::said(body))
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Vec<Observation>, NotUnderstood> {
        event::parse(&self.domain, &request.request().body).map(|receipt| vec![receipt])
    }

    fn success(&self) -> http::Response<Bytes> {
        taken()
    }
}

/// Believes and understands mails that come in by a route, posted to the account's path with `/inbound` at its end.
pub struct MailgunRoutes {
    domain: String,
    keys: Vec<Secret>,
}

impl MailgunRoutes {
    /// Makes the webhook of an account's routes.
    ///
    /// # Errors
    /// [`Error::Setting`] for wrong settings.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self { domain: settings.domain.clone(), keys: settings.signing_keys() })
    }
}

impl Webhook for MailgunRoutes {
    fn verify<'r>(&self, request: &'r RawRequest) -> Result<Verified<'r>, WebhookRefusal> {
        let signature = inbound::signature(request);
        let signature = signature.ok_or(WebhookRefusal::MissingSignature)?;
        signature.verify(&self.keys).map(|()| Verified::new(request))
    }

    fn may_be_signed(&self, headers: &HeaderMap) -> bool {
        FORMS.contains(&essence(headers).as_str())
    }

    fn once(&self, request: &Verified<'_>) -> Option<Once> {
        inbound::once(request.request())
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Vec<Observation>, NotUnderstood> {
        let inbound = inbound::parse(&self.domain, request.request())?;
        Ok(vec![Observation::Inbound(inbound)])
    }

    fn success(&self) -> http::Response<Bytes> {
        taken()
    }
}

/// The kind of body, without its parameters.
pub(super) fn essence(headers: &HeaderMap) -> String {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// 200: Mailgun repeats what is answered in another way.
fn taken() -> http::Response<Bytes> {
    http::Response::new(Bytes::new())
}
