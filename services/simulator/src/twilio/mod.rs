//! Twilio Programmable Messaging, API version 2010-04-01
//! (<https://www.twilio.com/docs/messaging/api/message-resource>).

mod error;
mod inbound;
mod lookup;
mod receipts;
mod resource;
mod send;
mod signature;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, header};
use axum::routing::get;
use base64::prelude::{BASE64_STANDARD, Engine};

use self::error::ApiError;
pub(crate) use self::inbound::inbound;
pub(crate) use self::receipts::resume;
use crate::accounts::Mode;
use crate::config::TwilioAccount;
use crate::server::Simulator;

/// The provider's name in the record.
pub(crate) const PROVIDER: &str = "twilio";

/// The version of the API, in its paths and webhooks.
const API_VERSION: &str = "2010-04-01";

pub(crate) fn routes() -> Router<Arc<Simulator>> {
    let messages = "/2010-04-01/Accounts/{account_sid}/Messages.json";
    let message = "/2010-04-01/Accounts/{account_sid}/Messages/{file}";
    Router::new()
        .route("/2010-04-01/Accounts/{account_sid}", get(lookup::account))
        .route(messages, get(lookup::list).post(send::create))
        .route(message, get(lookup::fetch))
        .fallback(async || ApiError::not_found())
}

/// The account of the path, if the request proves to come from it.
fn authenticate<'s>(
    simulator: &'s Simulator,
    account_sid: &str,
    headers: &HeaderMap,
) -> Result<&'s TwilioAccount, ApiError> {
    let credentials = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
        .and_then(|encoded| BASE64_STANDARD.decode(encoded).ok())
        .ok_or_else(ApiError::unauthenticated)?;
    let account = simulator.config.twilio.iter().find(|account| {
        let token = simulator.accounts.credential(&account.account_sid, &account.auth_token);
        token.is_some_and(|token| {
            credentials == format!("{}:{token}", account.account_sid).as_bytes()
        })
    });
    match account {
        Some(account) if account.account_sid == account_sid => Ok(account),
        Some(_) => Err(ApiError::not_found()),
        None => Err(ApiError::unauthenticated()),
    }
}

/// Fails as a disturbed account does; a slow one is slow elsewhere.
fn check_mode(mode: Mode) -> Result<(), ApiError> {
    match mode {
        Mode::Up | Mode::Slow => Ok(()),
        Mode::Unauthorized => Err(ApiError::unauthenticated()),
        // Twilio suspends an account that has used up its balance.
        Mode::Suspended | Mode::NoCredit => Err(ApiError::suspended()),
        Mode::Down => Err(ApiError::unavailable()),
        Mode::Throttled => Err(ApiError::throttled()),
    }
}
