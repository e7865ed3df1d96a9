//! Looks for a mail whose send got no answer among the events of its domain, by our own Message-ID
//! (<https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/events/get-v3--domain-name--events>).
//!
//! One that is found is certain: nobody else's mail has that id. That none is there follows only while Mailgun keeps the
//! events of that time, and not before they have all been written: whoever is told `NotFound` will send again.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use hatch_domain::time;
use url::form_urlencoded;

use super::wire::{self, EventBody, Events};
use crate::adapter::{Candidate, LookUp, LookedUp, bounded};
use crate::http_client::{Exchange, HttpAnswer};

/// Bytes of a page at most; an event is some 3 kibibytes.
pub(super) const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Events of a page: the first one is enough, and there are few of one mail.
const PAGE_EVENTS: &str = "25";

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
        .append_pair("limit", PAGE_EVENTS)
        .finish();
    Some(query)
}

fn mail_id(asked: &LookUp) -> Option<&str> {
    asked.message.email.as_deref()?.mail_id.as_deref()
}

/// What follows from the page.
pub(super) fn conclude(exchange: Exchange, asked: &LookUp, settled_after: Duration) -> LookedUp {
    let answer = match exchange {
        Exchange::NotSent { detail, .. } | Exchange::NoAnswer { detail } => {
            return LookedUp::Inconclusive { detail };
        }
        Exchange::Shortage(lack) => return LookedUp::Shortage(lack),
        Exchange::Answered(answer) => answer,
    };
    let status = answer.status.as_u16();
    let page = serde_json::from_slice(&answer.body).ok().filter(|_| status == 200);
    let Some(Events { items }) = page else {
        return inconclusive(&match wire::error(&answer.body) {
            Some(said) => format!("HTTP {status}: {}", bounded(&said)),
            None => format!("HTTP {status} without an answer of Mailgun's"),
        });
    };
    if items.is_empty() {
        return absent(asked, settled_after);
    }
    let id = mail_id(asked).unwrap_or_default();
    let of_mail: Vec<&EventBody> = items.iter().filter(|event| is_of(event, asked, id)).collect();
    if of_mail.is_empty() {
        return inconclusive("the events are of other mails than the one that was asked for");
    }
    let candidate = Candidate {
        provider_message_id: id.to_owned(),
        certain: true,
        age: age(&of_mail, &answer),
    };
    LookedUp::Found { candidates: vec![candidate] }
}

/// Whether an event is of the mail: it has its id, and names no other message of ours.
fn is_of(event: &EventBody, asked: &LookUp, id: &str) -> bool {
    let named = event.variable("message_id");
    event.mail_id() == Some(id)
        && named.is_none_or(|named| named == asked.message.message_id.to_string())
}

/// How long ago the first of the events was, by Mailgun's clock.
fn age(events: &[&EventBody], answer: &HttpAnswer) -> Option<Duration> {
    let first = events.iter().filter_map(|event| event.at()).reduce(f64::min)?;
    let now = answer.date()?.with_timezone(&Utc).timestamp();
    let now = Duration::from_secs(u64::try_from(now).ok()?);
    Some(now.saturating_sub(Duration::try_from_secs_f64(first).ok()?))
}

/// What follows from there being no event.
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
