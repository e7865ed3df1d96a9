//! Looks for the messages of an attempt in doubt in the list of those to its recipient.
//!
//! The list is read without a filter by date, because a message that is still queued has no date of
//! sending. That nothing is there follows only from a list that was read to its end and holds
//! nothing doubtful: whoever is told `NotFound` will send again.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use super::adapter::TwilioAdapter;
use super::wire::ErrorBody;
use crate::adapter::{Candidate, LookUp, LookedUp, Outbound, bounded};
use crate::http_client::{self, Exchange};

/// Twilio's own maximum.
const PAGE_SIZE: &str = "1000";

/// A longer list is not read to its end, and nothing follows from it.
const PAGES_MAX: usize = 20;

/// Bytes of a page at most; a message is some 1.5 kibibytes and up to 6 more of text.
const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A message may seem older than its attempt by so much: `date_created` is cut to the second, and
/// our clock and Twilio's may be a second apart.
const OLDER_MAX: TimeDelta = TimeDelta::seconds(2);

/// Reads the whole list of messages from the sender to the recipient.
pub(super) async fn look_up(adapter: &TwilioAdapter, asked: &LookUp, to: &str) -> LookedUp {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("To", to)
        .append_pair("From", asked.message.from.as_str())
        .append_pair("PageSize", PAGE_SIZE)
        .finish();
    let mut path = format!("{}?{query}", adapter.messages_path());
    let mut found = Vec::new();
    let mut doubtful = None;
    for _ in 0..PAGES_MAX {
        let (page, listed_at) = match read_page(adapter, &path, &asked.message).await {
            Ok(read) => read,
            Err(nothing) => return nothing,
        };
        for listed in page.messages {
            match listed.compare(asked, to) {
                Likeness::Other => {}
                Likeness::Same { created } => {
                    let age = listed_at.map(|at| (at - created).to_std().unwrap_or_default());
                    found.push((created, Candidate { provider_message_id: listed.sid, age }));
                }
                Likeness::Doubtful => doubtful = Some(listed.sid),
            }
        }
        match page.next_page_uri {
            Value::Null => return conclude(found, doubtful),
            Value::String(next) if next.starts_with(adapter.messages_path()) => path = next,
            _ => return inconclusive("the list goes on elsewhere"),
        }
    }
    inconclusive("the list of messages to the recipient is too long")
}

fn conclude(mut found: Vec<(DateTime<Utc>, Candidate)>, doubtful: Option<String>) -> LookedUp {
    if found.is_empty() {
        return match doubtful {
            None => LookedUp::NotFound,
            Some(sid) => LookedUp::Inconclusive { detail: format!("{sid} may be the message") },
        };
    }
    // Newest first is how Twilio lists them; within a second that order is all there is.
    found.reverse();
    found.sort_by_key(|(created, _)| *created);
    LookedUp::Found { candidates: found.into_iter().map(|(_, candidate)| candidate).collect() }
}

fn inconclusive(detail: &str) -> LookedUp {
    LookedUp::Inconclusive { detail: detail.to_owned() }
}

/// One page and Twilio's time when it answered, or what follows from what was seen instead.
async fn read_page(
    adapter: &TwilioAdapter,
    path: &str,
    message: &Outbound,
) -> Result<(Page, Option<DateTime<Utc>>), LookedUp> {
    let request = adapter.list_request(path, message);
    let answer = match http_client::exchange(request, PAGE_BYTES_MAX).await {
        Exchange::NotSent { detail, .. } | Exchange::NoAnswer { detail } => {
            return Err(LookedUp::Inconclusive { detail });
        }
        Exchange::Shortage(lack) => return Err(LookedUp::Shortage(lack)),
        Exchange::Answered(answer) => answer,
    };
    let status = answer.status.as_u16();
    if status == 200 {
        let listed_at = answer.date().map(|date| date.with_timezone(&Utc));
        return serde_json::from_slice(&answer.body)
            .map(|page| (page, listed_at))
            .map_err(|_| inconclusive("HTTP 200 without a list of messages"));
    }
    Err(inconclusive(&match ErrorBody::read(&answer.body) {
        Some(error) => format!("HTTP {status}: {}", bounded(&error.message)),
        None => format!("HTTP {status} without an answer of Twilio's"),
    }))
}

/// A page of the list. Both fields have to be there: what lacks one is no list.
#[derive(Deserialize)]
struct Page {
    messages: Vec<Listed>,
    #[serde(deserialize_with = "Value::deserialize")]
    next_page_uri: Value,
}

/// A message as it is listed.
#[derive(Deserialize)]
struct Listed {
    sid: String,
    to: Option<String>,
    from: Option<String>,
    body: Option<String>,
    num_media: Option<String>,
    date_created: Option<String>,
}

/// How a listed message compares to the one in doubt.
enum Likeness {
    /// It is another one.
    Other,
    /// It cannot be told from the one in doubt.
    Same {
        /// When Twilio took it.
        created: DateTime<Utc>,
    },
    /// It may be the one in doubt, changed on its way or not shown whole.
    Doubtful,
}

impl Listed {
    fn compare(&self, asked: &LookUp, to: &str) -> Likeness {
        let message = &asked.message;
        let ends = self.to.as_deref().zip(self.from.as_deref());
        if ends.is_some_and(|ends| ends != (to, message.from.as_str())) {
            return Likeness::Other;
        }
        let created = self.date_created.as_deref().and_then(|date| {
            DateTime::parse_from_rfc2822(date).ok().map(|date| date.with_timezone(&Utc))
        });
        if created.is_some_and(|created| created < asked.attempted_at - OLDER_MAX) {
            return Likeness::Other;
        }
        let (theirs, ours) = (self.body.as_deref(), message.body.as_deref().unwrap_or_default());
        let media = self.num_media.as_deref().and_then(|number| number.parse().ok());
        match (theirs, created) {
            (Some(theirs), Some(created))
                if theirs == ours && media == Some(message.attachments.len()) =>
            {
                Likeness::Same { created }
            }
            (Some(theirs), _) if !may_be(theirs, ours) => Likeness::Other,
            _ => Likeness::Doubtful,
        }
    }
}

/// Whether a text may have been ours: it was redacted, trimmed, or given the prefix of a trial
/// account.
fn may_be(theirs: &str, ours: &str) -> bool {
    let ours = ours.trim();
    theirs.is_empty() || (!ours.is_empty() && theirs.trim_end().ends_with(ours))
}
