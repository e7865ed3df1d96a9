//! Look-ups: the events of a domain, and how the domain is.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::error::ApiError;
use super::{Account, Mailgun, events as of_mail};
use crate::behaviour::Receipt;
use crate::disturbance::Mode;
use crate::record::Message;
use crate::registry::Side;
use crate::server::Simulator;

const PAGE_EVENTS: usize = 100;
const PAGE_EVENTS_MAX: usize = 300;

/// So many mails are looked through for one page, the newest.
const MAILS_MAX: usize = 10_000;

/// The key of a page's first event in its query.
const SKIP: &str = "skip";

type Filters = BTreeMap<String, String>;

/// `GET /v3/{domain}/events`
pub(super) async fn events(
    State(side): State<Side<Mailgun>>,
    Path(domain): Path<String>,
    Query(filters): Query<Filters>,
    headers: HeaderMap,
) -> Response {
    answer(&side, &domain, Some(filters), &headers).await
}

/// `GET /v3/{domain}/events/{page}`: the page that an earlier one has told of.
pub(super) async fn page(
    State(side): State<Side<Mailgun>>,
    Path((domain, page)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let filters = BASE64_URL_SAFE_NO_PAD.decode(page).ok();
    let filters = filters.and_then(|json| serde_json::from_slice(&json).ok());
    answer(&side, &domain, filters, &headers).await
}

/// `GET /v4/domains/{domain}`: one that may not send still says so.
pub(super) async fn domain(
    State(Side { simulator, provider }): State<Side<Mailgun>>,
    Path(domain): Path<String>,
    headers: HeaderMap,
) -> Response {
    let account = match provider.authenticate(&simulator, &domain, &headers) {
        Ok(account) => account,
        Err(error) => return error.into_response(),
    };
    let disturbance = simulator.disturbances.get(&account.domain);
    tokio::time::sleep(disturbance.latency()).await;
    let is_disabled = matches!(disturbance.mode, Mode::Suspended | Mode::NoCredit);
    if !is_disabled && let Err(error) = ApiError::of_mode(disturbance.mode, account) {
        return error.into_response();
    }
    let state = if is_disabled { "disabled" } else { "active" };
    let domain = json!({
        "name": account.domain, "state": state, "is_disabled": is_disabled, "type": "custom",
        "wildcard": false, "web_scheme": "https", "require_tls": false, "skip_verification": false,
    });
    let body = json!({"domain": domain, "receiving_dns_records": [], "sending_dns_records": []});
    Json(body).into_response()
}

async fn answer(
    Side { simulator, provider }: &Side<Mailgun>,
    domain: &str,
    filters: Option<Filters>,
    headers: &HeaderMap,
) -> Response {
    let account = match provider.authenticate(simulator, domain, headers) {
        Ok(account) => account,
        Err(error) => return error.into_response(),
    };
    let disturbance = simulator.disturbances.get(&account.domain);
    tokio::time::sleep(disturbance.latency()).await;
    let asked = ApiError::of_mode(disturbance.mode, account)
        .and_then(|()| filters.ok_or_else(|| ApiError::invalid("no such page")))
        .and_then(Asked::read);
    match asked {
        Ok(asked) => {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
            let base =
                format!("http://{}/v3/{}/events", host.unwrap_or("localhost"), account.domain);
            Json(asked.page(simulator, account, &base)).into_response()
        }
        Err(error) => error.into_response(),
    }
}

/// Which events are asked for.
struct Asked {
    filters: Filters,
    begin: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
    is_ascending: bool,
    limit: usize,
    skip: usize,
}

/// An event that may be shown.
type Found = (DateTime<Utc>, Arc<Message>, String, Receipt);

impl Asked {
    fn read(filters: Filters) -> Result<Self, ApiError> {
        let text = |key: &str| filters.get(key).map(String::as_str).filter(|text| !text.is_empty());
        let number = |key: &str, usual: usize| match text(key).map(str::parse::<usize>) {
            None => Ok(usual),
            Some(Ok(number)) => Ok(number),
            Some(Err(_)) => Err(ApiError::invalid(format!("{key} parameter is not a number"))),
        };
        let time = |key: &str| match text(key).map(time) {
            None => Ok(None),
            Some(Some(time)) => Ok(Some(time)),
            Some(None) => Err(ApiError::invalid(format!("{key} parameter is not a valid date"))),
        };
        let (begin, end) = (time("begin")?, time("end")?);
        let is_ascending = match text("ascending") {
            Some(said) => said == "yes" || said == "true",
            // Of two times, the order says it.
            None => begin.zip(end).is_some_and(|(begin, end)| begin < end),
        };
        let limit = number("limit", PAGE_EVENTS)?;
        if limit == 0 || limit > PAGE_EVENTS_MAX {
            return Err(ApiError::invalid("limit parameter is expected to be 1 to 300"));
        }
        let skip = number(SKIP, 0)?;
        Ok(Self { begin, end, is_ascending, limit, skip, filters })
    }

    fn page(&self, simulator: &Simulator, account: &Account, base: &str) -> Value {
        let found = self.found(simulator, account);
        let delay_ms = simulator.config.receipt_delay_ms;
        let shown = found.iter().skip(self.skip).take(self.limit);
        let items: Vec<Value> = shown
            .map(|(_, message, recipient, receipt)| {
                of_mail::event(message, recipient, *receipt, delay_ms)
            })
            .collect();
        let url = |skip: usize| {
            let mut filters = self.filters.clone();
            filters.insert(SKIP.to_owned(), skip.to_string());
            let page = json!(filters).to_string();
            format!("{base}/{}", BASE64_URL_SAFE_NO_PAD.encode(page))
        };
        let last = found.len().saturating_sub(1) / self.limit * self.limit;
        json!({
            "items": items,
            "paging": {
                "first": url(0),
                "previous": url(self.skip.saturating_sub(self.limit)),
                "next": url(self.skip.saturating_add(items.len())),
                "last": url(last),
            },
        })
    }

    /// Every event that fits and has happened, in the order that is asked for.
    fn found(&self, simulator: &Simulator, account: &Account) -> Vec<Found> {
        let now = account.clock.now();
        let delay_ms = simulator.config.receipt_delay_ms;
        let text = |key: &str| self.filters.get(key).filter(|text| !text.is_empty());
        let recipient = text("recipient").or_else(|| text("to"));
        let mut found: Vec<Found> = Vec::new();
        for message in self.mails(simulator, account, recipient) {
            let recipients = message.mail.iter().flat_map(|mail| &mail.recipients);
            let wanted =
                |to: &&String| recipient.is_none_or(|asked| asked.eq_ignore_ascii_case(to));
            for to in recipients.filter(wanted) {
                for receipt in of_mail::history(to) {
                    let at = of_mail::time(&message, receipt, delay_ms);
                    found.push((at, Arc::clone(&message), to.clone(), receipt));
                }
            }
        }
        let event = text("event");
        let (from, until) = match (self.begin, self.end) {
            (Some(begin), Some(end)) => (Some(begin.min(end)), Some(begin.max(end))),
            (Some(begin), None) if !self.is_ascending => (None, Some(begin)),
            (begin, end) => (begin, end),
        };
        found.retain(|(at, _, _, receipt)| {
            let is_named = |names: &String| {
                names.split(" OR ").any(|name| name.trim() == of_mail::name(*receipt))
            };
            *at <= now
                && from.is_none_or(|from| *at >= from)
                && until.is_none_or(|until| *at <= until)
                && event.is_none_or(is_named)
        });
        found.sort_by_key(|(at, ..)| *at);
        if !self.is_ascending {
            found.reverse();
        }
        found
    }

    /// The mails whose events may fit.
    fn mails(
        &self,
        simulator: &Simulator,
        account: &Account,
        recipient: Option<&String>,
    ) -> Vec<Arc<Message>> {
        let is_ours = |message: &Message| message.account == account.domain;
        match self.filters.get("message-id").filter(|id| !id.is_empty()) {
            Some(id) => {
                // A mail that was sent again has its id again, and its recipients.
                let id = id.trim().trim_matches(['<', '>']);
                let Some(last) = simulator.record.find(id) else { return Vec::new() };
                let is_it =
                    |message: &Message| is_ours(message) && message.provider_message_id == id;
                simulator.record.page(Some(&last.to), is_it, 0, MAILS_MAX)
            }
            None => {
                let to = recipient.map(String::as_str);
                simulator.record.page(to, is_ours, 0, MAILS_MAX)
            }
        }
    }
}

/// A time as RFC 2822 has it, or seconds of Unix time.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let written = DateTime::parse_from_rfc2822(text).ok().map(|time| time.to_utc());
    written.or_else(|| {
        let seconds: f64 = text.parse().ok()?;
        // One that is too large becomes the last number, which is no time.
        DateTime::from_timestamp_micros((seconds * 1e6) as i64)
    })
}
