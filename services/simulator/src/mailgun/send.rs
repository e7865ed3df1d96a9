//! `POST /v3/{domain}/messages`

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::error::ApiError;
use super::events::More;
use super::form::Form;
use super::{Account, Mailgun, PROVIDER};
use crate::behaviour::{self, Answering, Reaction, react};
use crate::disturbance::Mode;
use crate::inbound_mail::{bare, bracketed};
use crate::record::{self, Message, Unrecorded, key};
use crate::registry::Side;
use crate::server::Simulator;
use crate::{clock, receipts};

pub(super) async fn create(
    State(Side { simulator, provider }): State<Side<Mailgun>>,
    Path(domain): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let account = match provider.authenticate(&simulator, &domain, &headers) {
        Ok(account) => account,
        Err(error) => return error.into_response(),
    };
    let disturbance = simulator.disturbances.get(&account.domain);
    let form = match body {
        Ok(body) => Form::read(&headers, body).await,
        Err(_) => Err(ApiError::too_large()),
    };
    let response = match form {
        Ok(form) => answer(&provider, &simulator, account, form).await,
        Err(error) => error.into_response(),
    };
    // What was asked is done by now; only the answer is late.
    tokio::time::sleep(disturbance.latency()).await;
    response
}

async fn answer(
    provider: &Arc<Mailgun>,
    simulator: &Arc<Simulator>,
    account: &Account,
    form: Form,
) -> Response {
    let content = [account.domain.as_str(), &form.from, form.first(), form.text()];
    let key = key(form.hatch_message_id(), &content);
    let calls = simulator.record.call(key);
    let mode = simulator.disturbances.get(&account.domain).mode;
    let reaction = ApiError::of_mode(mode, account)
        .and_then(|()| form.check())
        .map(|()| react(form.first(), calls));
    let refusal = match reaction {
        // It takes mail to anybody, and lets it fail later.
        Ok(Reaction::Accept(_) | Reaction::Invalid | Reaction::OptedOut) => {
            let answering = match mode {
                Mode::Mute => Answering::Never,
                _ => behaviour::course(form.first()).answer,
            };
            return match accept(provider, simulator, account, form, answering).await {
                Ok(response) => response,
                Err(error) => error.into_response(),
            };
        }
        Ok(Reaction::Vanish) => {
            simulator.record.not_accepted(key);
            return simulator.never().await;
        }
        Ok(Reaction::Throttle) => ApiError::throttled(account),
        Ok(Reaction::Outage) => ApiError::internal(),
        Err(error) => error,
    };
    simulator.record.not_accepted(key);
    refusal.into_response()
}

/// Takes the mail: records it, begins its events, answers.
async fn accept(
    provider: &Arc<Mailgun>,
    simulator: &Arc<Simulator>,
    account: &Account,
    form: Form,
    answering: Answering,
) -> Result<Response, ApiError> {
    let place = simulator.delivery.reserve().ok_or_else(|| ApiError::throttled(account))?;
    let now = account.clock.now();
    let own = || {
        let (time, unique) = (now.format("%Y%m%d%H%M%S"), clock::new_id().simple());
        format!("{time}.{unique}@{}", account.domain)
    };
    let id = form.message_id().map_or_else(own, str::to_owned);
    let more = More {
        to: form.to_header(),
        from: form.from.clone(),
        subject: form.subject.clone(),
        tags: form.tags.clone(),
        is_test: form.is_test,
    };
    let message = Message {
        provider: PROVIDER.to_owned(),
        provider_message_id: id.clone(),
        account: account.domain.clone(),
        hatch_message_id: form.hatch_message_id(),
        accepted_at: now,
        from: bare(&form.from).to_owned(),
        to: form.first().to_owned(),
        body: form.text().to_owned(),
        mail: Some(Box::new(record::Mail {
            recipients: form.recipients(),
            smtp_id: bracketed(&id),
            custom_args: form.variables,
        })),
        media: form.files,
        more: serde_json::to_value(more).ok().map(Box::new),
    };
    let recorded = simulator.record.accept(message, Some(account.events_url.clone()));
    let message = recorded.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "refused a mail");
        match error {
            Unrecorded::Full => ApiError::unavailable(),
            Unrecorded::File(_) => ApiError::internal(),
        }
    })?;
    let url = &account.events_url;
    receipts::begin(provider, simulator, Arc::clone(&message), url.clone(), place);
    match answering {
        Answering::AtOnce => {}
        Answering::AfterReceipt => {
            receipts::deliver_early(&**provider, simulator, &message, url).await;
        }
        Answering::Never => return Ok(simulator.never().await),
    }
    let body = json!({"id": bracketed(&id), "message": "Queued. Thank you."});
    Ok((StatusCode::OK, Json(body)).into_response())
}
