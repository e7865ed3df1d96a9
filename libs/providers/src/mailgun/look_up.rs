//! Looks for a mail whose send got no answer among the events of its domain, by our own Message-ID
//! (<https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/events/get-v3--domain-name--events>).
//!
//! One that is found is certain: nobody else's mail has that id. A message that is sent again has it again, so that the
//! events of its other attempts say nothing of the one that is asked about. That none is there follows only while
//! Mailgun keeps the events of that time, and not before they have all been written: whoever is told `NotFound` will
//! send again.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use hatch_domain::time;
use url::form_urlencoded;

use super::wire::{self, EventBody, Events};
use crate::adapter::{Candidate, LookUp, LookedUp, bounded};
use crate::http_client::{Exchange, HttpAnswer};

/// Bytes of a page at most; an event is some 3 kibibytes.
pub(super) const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Events of a page. A mail to many has several of each recipient, and one that was sent again has those of both
/// attempts.
const PAGE_EVENTS: usize = 100;

/// Mailgun keeps events for a day at least. Later than this, that none is there says nothing.
pub(super) const KEPT: Duration = Duration::from_hours(23);

/// Mailgun's clock, and ours at the attempt, may be apart by so much.
const CLOCKS_APART_MAX: TimeDelta = TimeDelta::hours(1);

/// What is asked for; nothing for a mail without a Message-ID of ours.
pub(super) fn query(asked: &LookUp) -> Option<String> {
    let id = mail_id(asked)?;
    let begin = (asked.attempted_at - CLOCKS_APART_MAX).timestamp();
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("message-id", id)
        .append_pair("begin", &begin.to_string())
        .append_pair("ascending", "yes")
        .append_pair("limit", &PAGE_EVENTS.to_string())
        .finish();
    Some(query)
}

fn mail_id(asked: &LookUp) -> Option<&str> {
    asked.message.email.as_deref()?.mail_id.as_deref()
}

/// What follows from the page.
pub(super) fn conclude(exchange: Exchange, asked: &LookUp, settled_after: Duration) -> LookedUp {
    let answer = match exchange.answered_look_up() {
        Ok(answer) => answer,
        Err(without) => return without,
    };
    let status = answer.status.as_u16();
    let page = serde_json::from_slice(&answer.body).ok().filter(|_| status == 200);
    let Some(Events { items }) = page else {
        return inconclusive(&match wire::error(&answer.body) {
            Some(said) => format!("HTTP {status}: {}", bounded(&said)),
            None => format!("HTTP {status} without an answer of Mailgun's"),
        });
    };
    let id = mail_id(asked).unwrap_or_default();
    let of_mail: Vec<&EventBody> = items.iter().filter(|event| is_of(event, asked, id)).collect();
    let of_attempt = of_mail.iter().copied().filter(|event| is_of_attempt(event, asked));
    let of_attempt: Vec<&EventBody> = of_attempt.collect();
    if !of_attempt.is_empty() {
        let provider_message_id = id.to_owned();
        let age = age(&of_attempt, &answer);
        let candidate = Candidate { provider_message_id, certain: true, age };
        return LookedUp::Found { candidates: vec![candidate] };
    }
    if of_mail.len() < items.len() {
        return inconclusive("the events are of other mails than the one that was asked for");
    }
    if items.len() >= PAGE_EVENTS {
        return inconclusive("Mailgun has more events of other attempts than it tells at once");
    }
    absent(asked, settled_after)
}

/// Whether an event is of the mail: it has its id, and names no other message of ours.
fn is_of(event: &EventBody, asked: &LookUp, id: &str) -> bool {
    let named = event.variable("message_id");
    event.mail_id() == Some(id)
        && named.is_none_or(|named| named == asked.message.message_id.to_string())
}

/// Whether an event names no other attempt than the one that is asked about.
fn is_of_attempt(event: &EventBody, asked: &LookUp) -> bool {
    let named = event.variable("attempt");
    named.is_none_or(|named| named == asked.message.attempt.to_string())
}

/// How long ago the first of the events was, by Mailgun's clock.
fn age(events: &[&EventBody], answer: &HttpAnswer) -> Option<Duration> {
    let first = events.iter().filter_map(|event| event.at()).reduce(f64::min)?;
    let now = answer.date()?.with_timezone(&Utc).timestamp();
    let now = Duration::from_secs(u64::try_from(now).ok()?);
    Some(now.saturating_sub(Duration::try_from_secs_f64(first).ok()?))
}

/// What follows from there being no event of the attempt.
fn absent(asked: &LookUp, settled_after: Duration) -> LookedUp {
    let since = asked.asked_at - asked.attempted_at;
    if since < time::delta(settled_after) {
        return inconclusive("Mailgun has no event of it, and may not have written it yet");
    }
    if since > time::delta(KEPT) {
        return inconclusive("Mailgun has no event of it, and may not keep them for so long");
    }
    LookedUp::NotFound
}

fn inconclusive(detail: &str) -> LookedUp {
    LookedUp::Inconclusive { detail: detail.to_owned() }
}
