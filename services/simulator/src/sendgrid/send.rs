//! `POST /v3/mail/send`

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};

use super::error::ApiError;
use super::mail::Mail;
use super::{Account, PROVIDER, SendGrid, check_mode, events};
use crate::behaviour::{self, Answering, Reaction, react};
use crate::clock;
use crate::disturbance::Mode;
use crate::record::{self, Message, Unrecorded, key};
use crate::registry::Side;
use crate::server::Simulator;

pub(super) async fn create(
    State(Side { simulator, provider }): State<Side<SendGrid>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let account = match provider.authenticate(&simulator.disturbances, &headers) {
        Ok(account) => account,
        Err(error) => return error.into_response(),
    };
    let disturbance = simulator.disturbances.get(&account.key_name);
    let response = match read(&headers, &body) {
        Ok(mail) => answer(&provider, &simulator, account, mail).await,
        Err(error) => error.into_response(),
    };
    // What was asked is done by now; only the answer is late.
    tokio::time::sleep(disturbance.latency()).await;
    response
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<Mail, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|text| text.starts_with("application/json")) {
        return Err(ApiError::media_type());
    }
    serde_json::from_slice(body).map_err(|_| ApiError::bad_json())
}

async fn answer(
    provider: &Arc<SendGrid>,
    simulator: &Arc<Simulator>,
    account: &Account,
    mail: Mail,
) -> Response {
    let content = [account.key_name.as_str(), &mail.from.email, mail.to(), mail.text()];
    let key = key(mail.hatch_message_id(), &content);
    let calls = simulator.record.call(key);
    let mode = simulator.disturbances.get(&account.key_name).mode;
    let reaction = check_mode(mode, &account.clock)
        .and_then(|()| mail.check())
        .map(|()| react(mail.to(), calls));
    let refusal = match reaction {
        // SendGrid takes mail to anybody, and drops it later.
        Ok(Reaction::Accept(_) | Reaction::Invalid | Reaction::OptedOut) => {
            return match accept(provider, simulator, account, mail, mode).await {
                Ok(response) => response,
                Err(error) => error.into_response(),
            };
        }
        Ok(Reaction::Vanish) => {
            simulator.record.not_accepted(key);
            return simulator.never().await;
        }
        Ok(Reaction::Throttle) => ApiError::throttled(&account.clock),
        Ok(Reaction::Outage) => ApiError::internal(),
        Err(error) => error,
    };
    simulator.record.not_accepted(key);
    refusal.into_response()
}

/// Takes the mail: records it, begins its events, answers.
async fn accept(
    provider: &Arc<SendGrid>,
    simulator: &Arc<Simulator>,
    account: &Account,
    mail: Mail,
    mode: Mode,
) -> Result<Response, ApiError> {
    let place = simulator.delivery.reserve();
    let place = place.ok_or_else(|| ApiError::throttled(&account.clock))?;
    let id = BASE64_URL_SAFE_NO_PAD.encode(clock::new_id().as_bytes());
    let answering = match mode {
        Mode::Mute => Answering::Never,
        _ => behaviour::course(mail.to()).answer,
    };
    let smtp_id = mail.message_id().map_or_else(|| format!("<{id}@sim.invalid>"), str::to_owned);
    let message = Message {
        provider: PROVIDER.to_owned(),
        provider_message_id: id.clone(),
        account: account.key_name.clone(),
        hatch_message_id: mail.hatch_message_id(),
        accepted_at: account.clock.now(),
        to: mail.to().to_owned(),
        body: mail.text().to_owned(),
        media: mail.filenames(),
        mail: Some(Box::new(record::Mail {
            recipients: mail.recipients(),
            smtp_id,
            custom_args: mail.custom_args,
        })),
        from: mail.from.email,
        more: None,
    };
    let recorded = simulator.record.accept(message, Some(account.events_url.clone()));
    let message = recorded.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "refused a mail");
        match error {
            Unrecorded::Full => ApiError::unavailable(),
            Unrecorded::File(_) => ApiError::internal(),
        }
    })?;
    events::begin(provider, simulator, Arc::clone(&message), place);
    match answering {
        Answering::AtOnce => {}
        Answering::AfterReceipt => events::deliver_early(provider, simulator, &message).await,
        Answering::Never => return Ok(simulator.never().await),
    }
    Ok((StatusCode::ACCEPTED, [("x-message-id", id)]).into_response())
}
