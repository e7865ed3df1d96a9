//! `POST /2010-04-01/Accounts/{sid}/Messages.json`

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use url::{Url, form_urlencoded};
use uuid::Uuid;

use super::error::ApiError;
use super::resource::SERVICE;
use super::{PROVIDER, Twilio, check_mode, resource};
use crate::behaviour::{Answering, Course, Reaction, react};
use crate::disturbance::Mode;
use crate::record::{Message, Unrecorded, key};
use crate::registry::Side;
use crate::server::Simulator;
use crate::{clock, receipts};

const BODY_CHARS_MAX: usize = 1_600;
const MEDIA_MAX: usize = 10;

pub(super) async fn create(
    State(Side { simulator, provider }): State<Side<Twilio>>,
    Path(account_sid): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let disturbance = simulator.disturbances.get(&account_sid);
    let response = match provider.authenticate(&simulator, &account_sid, &headers) {
        Ok(_) => answer(&provider, &simulator, account_sid, Form::read(&body)).await,
        Err(error) => error.into_response(),
    };
    // What was asked is done by now; only the answer is late.
    tokio::time::sleep(disturbance.latency()).await;
    response
}

async fn answer(
    provider: &Arc<Twilio>,
    simulator: &Arc<Simulator>,
    account: String,
    form: Form,
) -> Response {
    let content = [account.as_str(), &form.from, &form.to, &form.body];
    let key = key(form.hatch_message_id(), &content);
    let calls = simulator.record.call(key);
    let mode = simulator.disturbances.get(&account).mode;
    let reaction = check_mode(mode)
        .and_then(|()| form.check())
        .and_then(|()| check_callback(simulator, form.status_callback.as_deref()))
        .map(|()| react(&form.to, calls));
    let refusal = match reaction {
        Ok(Reaction::Accept(course)) => {
            let course = match mode {
                Mode::Mute => Course { answer: Answering::Never, ..course },
                _ => course,
            };
            return match accept(provider, simulator, account, form, course).await {
                Ok(response) => response,
                Err(error) => error.into_response(),
            };
        }
        Ok(Reaction::Vanish) => {
            simulator.record.not_accepted(key);
            return simulator.never().await;
        }
        Ok(Reaction::Throttle) => ApiError::throttled(),
        Ok(Reaction::Outage) => ApiError::internal(),
        Ok(Reaction::Invalid) => form.invalid_recipient(),
        Ok(Reaction::OptedOut) => {
            ApiError::refused(21610, "Attempt to send to unsubscribed recipient")
        }
        Err(error) => error,
    };
    simulator.record.not_accepted(key);
    refusal.into_response()
}

/// Takes the message: records it, begins its receipts, answers.
async fn accept(
    provider: &Arc<Twilio>,
    simulator: &Arc<Simulator>,
    account: String,
    form: Form,
    course: Course,
) -> Result<Response, ApiError> {
    let place = simulator.delivery.reserve().ok_or_else(ApiError::throttled)?;
    let prefix = if form.media.is_empty() { "SM" } else { "MM" };
    let message = Message {
        provider: PROVIDER.to_owned(),
        provider_message_id: format!("{prefix}{}", clock::new_id().simple()),
        account,
        hatch_message_id: form.hatch_message_id(),
        accepted_at: simulator.config.clock.now(),
        from: form.from,
        to: form.to,
        body: form.body,
        media: form.media,
        mail: None,
        more: None,
    };
    let callback = form.status_callback;
    let recorded = simulator.record.accept(message, callback.clone());
    let message = recorded.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "refused a message");
        match error {
            Unrecorded::Full => ApiError::unavailable(),
            Unrecorded::File(_) => ApiError::internal(),
        }
    })?;
    if let Some(callback) = callback {
        receipts::begin(provider, simulator, Arc::clone(&message), callback.clone(), place);
        if course.answer == Answering::AfterReceipt {
            receipts::deliver_early(&**provider, simulator, &message, &callback).await;
        }
    }
    if course.answer == Answering::Never {
        return Ok(simulator.never().await);
    }
    let resource = resource::message(&message, "queued", None);
    Ok((StatusCode::CREATED, Json(resource)).into_response())
}

/// Bytes of the SID of a messaging service.
const SERVICE_SID_BYTES: usize = 34;

/// The fields that matter here. Others are ignored.
#[derive(Default)]
struct Form {
    to: String,
    from: String,
    body: String,
    media: Vec<String>,
    status_callback: Option<String>,
}

impl Form {
    fn read(body: &[u8]) -> Self {
        let mut form = Self::default();
        for (key, value) in form_urlencoded::parse(body) {
            match &*key {
                "To" => form.to = value.into_owned(),
                // A service chooses among its numbers; here it is the sender itself.
                "From" | "MessagingServiceSid" => form.from = value.into_owned(),
                "Body" => form.body = value.into_owned(),
                "MediaUrl" => form.media.push(value.into_owned()),
                "StatusCallback" if !value.is_empty() => {
                    form.status_callback = Some(value.into_owned());
                }
                _ => {}
            }
        }
        form
    }

    /// Hatch's id of the message, which it puts into the callback's query.
    fn hatch_message_id(&self) -> Option<Uuid> {
        let (_, query) = self.status_callback.as_deref()?.split('#').next()?.split_once('?')?;
        let (_, id) =
            form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "message_id")?;
        id.parse().ok()
    }

    /// Refuses what Twilio refuses, with its codes.
    fn check(&self) -> Result<(), ApiError> {
        let refuse = |code, message: &str| Err(ApiError::refused(code, message));
        if self.to.is_empty() {
            return refuse(21604, "A 'To' phone number is required.");
        }
        if self.from.is_empty() {
            return refuse(21603, "A 'From' phone number is required.");
        }
        if self.body.is_empty() && self.media.is_empty() {
            return refuse(21602, "Message body is required.");
        }
        if !is_phone(&self.to) {
            return Err(self.invalid_recipient());
        }
        let is_service = self.from.len() == SERVICE_SID_BYTES && self.from.starts_with(SERVICE);
        if !is_service && !is_phone(&self.from) && !is_short_or_named(&self.from) {
            return refuse(21212, "Invalid 'From' Phone Number");
        }
        if self.body.chars().count() > BODY_CHARS_MAX {
            return refuse(
                21617,
                "The concatenated message body exceeds the 1600 character limit.",
            );
        }
        if self.media.len() > MEDIA_MAX {
            return refuse(21623, "Number of media files exceeds allowed limit.");
        }
        if !self.media.iter().all(|url| is_web_url(url)) {
            return refuse(21620, "Invalid media URL(s)");
        }
        Ok(())
    }

    fn invalid_recipient(&self) -> ApiError {
        let message = format!("The 'To' number {} is not a valid phone number.", self.to);
        ApiError::refused(21211, message)
    }
}

/// Refuses a callback to anywhere but hatch: whoever reaches the simulator could have it post, signed, to any
/// address that this machine reaches.
fn check_callback(simulator: &Simulator, callback: Option<&str>) -> Result<(), ApiError> {
    match callback {
        Some(url) if !is_web_url(url) => {
            Err(ApiError::refused(21609, "The 'StatusCallback' URL is not valid."))
        }
        Some(url) if !simulator.config.calls_back(url) => {
            let ours = simulator.config.public_url.origin().ascii_serialization();
            let message = format!(
                "The 'StatusCallback' URL is not valid: the simulator calls back to {ours} only."
            );
            Err(ApiError::refused(21609, message))
        }
        _ => Ok(()),
    }
}

/// E.164.
fn is_phone(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

/// A short code, or an alphanumeric sender.
fn is_short_or_named(text: &str) -> bool {
    text.len() <= 11 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ')
}

/// An http or https URL whose host has no underscore, which Twilio does not take.
fn is_web_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.contains('_'))
    })
}
