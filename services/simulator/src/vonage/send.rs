//! `POST /v1/messages`

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::authentication::Proof;
use super::error::ApiError;
use super::request::{Request, with_plus};
use super::status::More;
use super::{Account, PROVIDER, Vonage};
use crate::behaviour::{self, Answering, Reaction, react};
use crate::disturbance::Mode;
use crate::record::{Message, Unrecorded, key};
use crate::registry::Side;
use crate::server::Simulator;
use crate::{clock, receipts};

pub(super) async fn create(
    State(Side { simulator, provider }): State<Side<Vonage>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (account, proof) = match provider.authenticate(&simulator.disturbances, &headers) {
        Ok(known) => known,
        Err(error) => return error.into_response(),
    };
    let disturbance = simulator.disturbances.get(&account.key_name);
    let response = match read(&headers, &body) {
        Ok(request) => answer(&provider, &simulator, (account, proof), request).await,
        Err(error) => error.into_response(),
    };
    // What was asked is done by now; only the answer is late.
    tokio::time::sleep(disturbance.latency()).await;
    response
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<Request, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|text| text.starts_with("application/json")) {
        return Err(ApiError::media_type());
    }
    serde_json::from_slice(body).map_err(|_| ApiError::bad_json())
}

async fn answer(
    provider: &Arc<Vonage>,
    simulator: &Arc<Simulator>,
    (account, proof): (&Account, Proof),
    request: Request,
) -> Response {
    let to = with_plus(&request.to);
    let content = [account.key_name.as_str(), &request.from, &request.to, request.text()];
    let key = key(request.hatch_message_id(), &content);
    let calls = simulator.record.call(key);
    let mode = simulator.disturbances.get(&account.key_name).mode;
    let reaction = ApiError::of_mode(mode)
        .and_then(|()| request.check(&simulator.config))
        .map(|()| react(&to, calls));
    let refusal = match reaction {
        // Vonage accepts a message to a person who has opted out, and rejects it later.
        Ok(Reaction::Accept(_) | Reaction::OptedOut) => {
            let answering = match mode {
                Mode::Mute => Answering::Never,
                _ => behaviour::course(&to).answer,
            };
            return match accept(provider, simulator, (account, proof), request, answering).await {
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
        Ok(Reaction::Invalid) => ApiError::invalid_recipient(),
        Err(error) => error,
    };
    simulator.record.not_accepted(key);
    refusal.into_response()
}

/// Takes the message: records it, begins its statuses, answers.
async fn accept(
    provider: &Arc<Vonage>,
    simulator: &Arc<Simulator>,
    (account, proof): (&Account, Proof),
    request: Request,
    answering: Answering,
) -> Result<Response, ApiError> {
    let place = simulator.delivery.reserve().ok_or_else(ApiError::throttled)?;
    let id = clock::new_id().to_string();
    let more = More {
        channel: request.channel.clone(),
        client_ref: request.client_ref.clone(),
        webhook_version: request.webhook_version.clone(),
    };
    let message = Message {
        provider: PROVIDER.to_owned(),
        provider_message_id: id.clone(),
        account: account.key_name.clone(),
        hatch_message_id: request.hatch_message_id(),
        accepted_at: account.clock.now(),
        from: with_plus(&request.from),
        to: with_plus(&request.to),
        body: request.text().to_owned(),
        media: request.files(),
        mail: None,
        more: serde_json::to_value(more).ok().map(Box::new),
    };
    let of_application = || (proof == Proof::Application).then(|| account.webhook_url.clone());
    let callback = request.webhook_url.or_else(of_application);
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
        if answering == Answering::AfterReceipt {
            receipts::deliver_early(&**provider, simulator, &message, &callback).await;
        }
    }
    if answering == Answering::Never {
        return Ok(simulator.never().await);
    }
    Ok((StatusCode::ACCEPTED, Json(json!({"message_uuid": id}))).into_response())
}
