//! `GET` of messages: those to and from somebody, or one by its SID.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::error::ApiError;
use super::{API_VERSION, Twilio, check_mode, resource};
use crate::disturbance::Mode;
use crate::record::Message;
use crate::registry::Side;
use crate::server::Simulator;

const PAGE_SIZE: usize = 50;
const PAGE_SIZE_MAX: usize = 1_000;

/// `GET .../Messages.json?To=&From=&PageSize=&Page=`: newest first. Filters by date are ignored.
pub(super) async fn list(
    State(Side { simulator, provider }): State<Side<Twilio>>,
    Path(account_sid): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let page = provider
        .authenticate(&simulator, &account_sid, &headers)
        .and_then(|_| check_mode(simulator.disturbances.get(&account_sid).mode))
        .map(|()| page(&simulator, &account_sid, &query));
    tokio::time::sleep(simulator.disturbances.get(&account_sid).latency()).await;
    page.map(Json).into_response()
}

/// `GET .../Messages/{sid}.json`
pub(super) async fn fetch(
    State(Side { simulator, provider }): State<Side<Twilio>>,
    Path((account_sid, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let found = provider
        .authenticate(&simulator, &account_sid, &headers)
        .and_then(|_| check_mode(simulator.disturbances.get(&account_sid).mode))
        .and_then(|()| {
            file.strip_suffix(".json")
                .and_then(|sid| simulator.record.find(sid))
                .filter(|message| message.account == account_sid)
                .map(|message| shown(&simulator, &message))
                .ok_or_else(ApiError::not_found)
        });
    tokio::time::sleep(simulator.disturbances.get(&account_sid).latency()).await;
    found.map(Json).into_response()
}

/// `GET /2010-04-01/Accounts/{sid}.json` (<https://www.twilio.com/docs/iam/api/account>). A suspended account still says
/// that it is.
pub(super) async fn account(
    State(Side { simulator, provider }): State<Side<Twilio>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(sid) = file.strip_suffix(".json") else {
        return ApiError::not_found().into_response();
    };
    let disturbance = simulator.disturbances.get(sid);
    let is_suspended = matches!(disturbance.mode, Mode::Suspended | Mode::NoCredit);
    let found = provider.authenticate(&simulator, sid, &headers).and_then(|account| {
        if !is_suspended {
            check_mode(disturbance.mode)?;
        }
        let status = if is_suspended { "suspended" } else { "active" };
        Ok(json!({"sid": account.account_sid, "status": status, "type": "Full"}))
    });
    tokio::time::sleep(disturbance.latency()).await;
    found.map(Json).into_response()
}

fn page(simulator: &Simulator, account_sid: &str, query: &HashMap<String, String>) -> Value {
    let text = |key: &str| query.get(key).map(String::as_str).filter(|text| !text.is_empty());
    let number = |key: &str| text(key).and_then(|text| text.parse::<usize>().ok());
    let (to, from) = (text("To"), text("From"));
    let page = number("Page").unwrap_or(0);
    let page_size = number("PageSize").unwrap_or(PAGE_SIZE).clamp(1, PAGE_SIZE_MAX);
    let wanted = |message: &Message| {
        message.account == account_sid && from.is_none_or(|from| message.from == from)
    };
    let start = page.saturating_mul(page_size);
    let mut found = simulator.record.page(to, wanted, start, page_size + 1);
    let more = found.len() > page_size;
    found.truncate(page_size);
    let uri = |page: usize| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(to.map(|to| ("To", to)));
        query.extend_pairs(from.map(|from| ("From", from)));
        query.append_pair("PageSize", &page_size.to_string());
        query.append_pair("Page", &page.to_string());
        format!("/{API_VERSION}/Accounts/{account_sid}/Messages.json?{}", query.finish())
    };
    let messages: Vec<Value> = found.iter().map(|message| shown(simulator, message)).collect();
    json!({
        "end": (start + messages.len()).saturating_sub(1),
        "first_page_uri": uri(0),
        "messages": messages,
        "next_page_uri": more.then(|| uri(page + 1)),
        "page": page,
        "page_size": page_size,
        "previous_page_uri": page.checked_sub(1).map(uri),
        "start": start,
        "uri": uri(page),
    })
}

fn shown(simulator: &Simulator, message: &Message) -> Value {
    resource::message_at(message, simulator.config.clock.now(), simulator.config.receipt_delay_ms)
}
