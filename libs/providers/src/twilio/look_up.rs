//! Looks for the messages of an attempt in doubt in the list of those to its recipient.
//!
//! The list is read without a filter by date, because a message that is still queued has no date of
//! sending. That nothing is there follows only from a list that was read to its end and holds
//! nothing doubtful: whoever is told `NotFound` will send again.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::address::SenderKind;
use hatch_domain::time;
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use super::wire::ErrorBody;
use crate::adapter::{Candidate, LookUp, LookedUp, Outbound, bounded};
use crate::http_client;

/// Twilio's own maximum.
const PAGE_SIZE: &str = "1000";

/// A longer list is not read to its end, and nothing follows from it.
const PAGES_MAX: usize = 20;

/// Bytes of a page at most; a message is some 1.5 kibibytes and up to 6 more of text.
const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A message may seem older than its attempt by so much, and by as long as the list's answer took:
/// `date_created` and `Date` are cut to the second.
const OLDER_MAX: TimeDelta = TimeDelta::seconds(2);

/// What is like the message in every other way, and older by up to so much, may be it all the same:
/// somebody may have set a clock since, by a day at the worst.
const CLOCK_STEP_MAX: TimeDelta = TimeDelta::hours(25);

/// With more doubtful messages than this nothing follows from the list.
const DOUBTFUL_MAX: usize = 100;

/// The list of an account's messages.
pub(super) struct MessageList<'a> {
    /// Where it is.
    pub(super) path: &'a str,
    /// The request for a page of it: `path` and a query, on behalf of a message.
    pub(super) request: &'a (dyn Fn(&str, &Outbound) -> RequestBuilder + Send + Sync),
}

/// What the list is asked for.
fn query(message: &Outbound, to: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("To", to);
    // Which number a service has chosen is not known.
    if !is_from_service(message) {
        query.append_pair("From", message.from.as_str());
    }
    query.append_pair("PageSize", PAGE_SIZE).finish()
}

/// Reads the whole list of messages from the sender to the recipient.
pub(super) async fn look_up(list: &MessageList<'_>, asked: &LookUp, to: &str) -> LookedUp {
    let mut path = format!("{}?{}", list.path, query(&asked.message, to));
    let (mut found, mut doubtful, mut since) = (Vec::new(), Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let requested = Instant::now();
        let (page, listed_at) = match read_page(list, &path, &asked.message).await {
            Ok(read) => read,
            Err(nothing) => return nothing,
        };
        let since = *since.get_or_insert_with(|| Since::of(asked, listed_at, requested.elapsed()));
        for listed in page.messages {
            let (certain, created) = match listed.compare(asked, to, &since) {
                Likeness::Other => continue,
                Likeness::Same { created } => (true, Some(created)),
                Likeness::Doubtful { created } => (false, created),
            };
            let age = listed_at.zip(created).map(|(at, created)| at - created);
            let age = age.map(|age| age.to_std().unwrap_or_default());
            let candidate = Candidate { provider_message_id: listed.sid, certain, age };
            match certain {
                true => found.push((created, candidate)),
                false if doubtful.len() == DOUBTFUL_MAX => {
                    return inconclusive("too many messages may be the one");
                }
                false => doubtful.push(candidate),
            }
        }
        match page.next_page_uri {
            Value::Null => return conclude(found, doubtful),
            Value::String(next) if next.starts_with(list.path) => path = next,
            _ => return inconclusive("the list goes on elsewhere"),
        }
    }
    inconclusive("the list of messages to the recipient is too long")
}

fn is_from_service(message: &Outbound) -> bool {
    SenderKind::of(&message.from) == Some(SenderKind::Service)
}

fn conclude(
    mut found: Vec<(Option<DateTime<Utc>>, Candidate)>,
    doubtful: Vec<Candidate>,
) -> LookedUp {
    if found.is_empty() && doubtful.is_empty() {
        return LookedUp::NotFound;
    }
    // Newest first is how Twilio lists them; within a second that order is all there is.
    found.reverse();
    found.sort_by_key(|(created, _)| *created);
    let found = found.into_iter().map(|(_, candidate)| candidate);
    LookedUp::Found { candidates: found.chain(doubtful).collect() }
}

fn inconclusive(detail: &str) -> LookedUp {
    LookedUp::Inconclusive { detail: detail.to_owned() }
}

/// One page and Twilio's time when it answered, or what follows from what was seen instead.
async fn read_page(
    list: &MessageList<'_>,
    path: &str,
    message: &Outbound,
) -> Result<(Page, Option<DateTime<Utc>>), LookedUp> {
    let request = (list.request)(path, message);
    let answer = http_client::exchange(request, PAGE_BYTES_MAX).await.answered_look_up()?;
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
    messaging_service_sid: Option<String>,
    body: Option<String>,
    num_media: Option<String>,
    date_created: Option<String>,
}

/// From when on Twilio can have a message of the attempt, by its own clock.
#[derive(Clone, Copy)]
struct Since {
    /// What is as old as this can be of the attempt.
    certain: DateTime<Utc>,
    /// What is as old as this can be, if somebody has set a clock since.
    doubtful: DateTime<Utc>,
}

impl Since {
    /// `listed_at` is what Twilio said the time was, in an answer that took `round_trip`. Without it our
    /// clock and Twilio's are taken to be one.
    fn of(asked: &LookUp, listed_at: Option<DateTime<Utc>>, round_trip: Duration) -> Self {
        let ahead = listed_at.map_or(TimeDelta::zero(), |listed| listed - asked.asked_at);
        let attempted_at = asked.attempted_at + ahead;
        let round_trip = time::delta(round_trip);
        let doubtful = attempted_at.min(asked.attempted_at) - CLOCK_STEP_MAX;
        Self { certain: attempted_at - OLDER_MAX - round_trip, doubtful }
    }
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
    /// It may be the one in doubt, changed on its way, not shown whole or of another time.
    Doubtful {
        /// When Twilio took it, if it says so.
        created: Option<DateTime<Utc>>,
    },
}

impl Listed {
    fn compare(&self, asked: &LookUp, to: &str, since: &Since) -> Likeness {
        let message = &asked.message;
        let sender = match is_from_service(message) {
            // One of no service says so by none.
            true => self.messaging_service_sid.as_deref().or(Some("")),
            false => self.from.as_deref(),
        };
        let ends = self.to.as_deref().zip(sender);
        if ends.is_some_and(|ends| ends != (to, message.from.as_str())) {
            return Likeness::Other;
        }
        let created = self.date_created.as_deref().and_then(|date| {
            DateTime::parse_from_rfc2822(date).ok().map(|date| date.with_timezone(&Utc))
        });
        if created.is_some_and(|created| created < since.doubtful) {
            return Likeness::Other;
        }
        let (theirs, ours) = (self.body.as_deref(), message.body.as_deref().unwrap_or_default());
        let media = self.num_media.as_deref().and_then(|number| number.parse().ok());
        match (theirs, created) {
            (Some(theirs), Some(created))
                if created >= since.certain
                    && theirs == ours
                    && media == Some(message.attachments.len()) =>
            {
                Likeness::Same { created }
            }
            (Some(theirs), _) if !may_be(theirs, ours) => Likeness::Other,
            _ => Likeness::Doubtful { created },
        }
    }
}

/// Whether a text may have been ours: it was redacted, trimmed, or given the prefix of a trial
/// account.
fn may_be(theirs: &str, ours: &str) -> bool {
    let ours = ours.trim();
    theirs.is_empty() || (!ours.is_empty() && theirs.trim_end().ends_with(ours))
}
