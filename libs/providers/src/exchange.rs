//! What was said to a provider in one call and what it answered, with its times and without secrets.
//!
//! A call that is made within [`recording`] is noted, and no other is. The notes change nothing about the call.

mod redact;
mod timed;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Request;
use serde::Serialize;

use self::redact::Secrets;
pub(crate) use self::timed::TimedConnections;
use crate::http_client::HttpAnswer;

tokio::task_local! {
    static RECORDED: RefCell<Exchange>;
}

/// One exchange with a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Milliseconds that a new connection took: name, TCP and TLS. None where an idle one was used, and where none
    /// came.
    pub connect_ms: Option<u32>,
    /// Milliseconds until the head of the answer was there; none where none came.
    pub first_byte_ms: Option<u32>,
    /// Milliseconds until the answer was read, or nobody waited any more; none where no request was made.
    pub total_ms: Option<u32>,
    /// The status of the answer.
    pub http_status: Option<u16>,
    /// What was sent.
    pub request: Option<SentRequest>,
    /// What came back.
    pub response: Option<GivenAnswer>,
}

/// A request, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentRequest {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Those headers that hold no secrets.
    pub headers: BTreeMap<String, String>,
    /// The first 4 KiB of the body, as text; none of one that is streamed.
    pub body: Option<String>,
}

/// An answer, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GivenAnswer {
    /// The status.
    pub status: u16,
    /// Those headers that hold no secrets.
    pub headers: BTreeMap<String, String>,
    /// The first 4 KiB of the body, as text.
    pub body: Option<String>,
}

/// Makes `call`, and tells what was exchanged in it: of several requests, the last.
pub async fn recording<F: Future>(call: F) -> (F::Output, Exchange) {
    let recorded = RefCell::new(Exchange::default());
    let told = async {
        let output = call.await;
        (output, RECORDED.with(RefCell::take))
    };
    RECORDED.scope(recorded, told).await
}

/// One exchange that is being noted.
pub(crate) struct Noted {
    begun: Instant,
    /// None where nobody wants to know.
    secrets: Option<Secrets>,
}

impl Noted {
    /// Notes what is about to be sent, if anybody wants to know.
    pub(crate) fn begin(request: &Request) -> Self {
        let secrets = note(|recorded| {
            let secrets = Secrets::of(request.headers());
            let body = request.body().and_then(reqwest::Body::as_bytes);
            let sent = SentRequest {
                method: request.method().as_str().to_owned(),
                url: secrets.url(request.url()),
                headers: redact::headers(request.headers()),
                body: body.map(|bytes| secrets.text(bytes)),
            };
            *recorded = Exchange { request: Some(sent), ..Exchange::default() };
            secrets
        });
        Self { begun: Instant::now(), secrets }
    }

    /// The head of the answer is there.
    pub(crate) fn answered(&self) {
        note(|recorded| recorded.first_byte_ms = Some(ms(self.begun.elapsed())));
    }

    /// It is over, with an answer if one came.
    pub(crate) fn end(self, answer: Option<&HttpAnswer>) {
        let Some(secrets) = self.secrets else { return };
        let total = ms(self.begun.elapsed());
        note(|recorded| {
            recorded.total_ms = Some(total);
            recorded.http_status = answer.map(|answer| answer.status.as_u16());
            recorded.response = answer.map(|answer| GivenAnswer {
                status: answer.status.as_u16(),
                headers: redact::headers(&answer.headers),
                body: Some(secrets.text(&answer.body)),
            });
        });
    }
}

/// A new connection took this long.
fn connected(took: Duration) {
    note(|recorded| recorded.connect_ms = Some(ms(took)));
}

fn note<T>(note: impl FnOnce(&mut Exchange) -> T) -> Option<T> {
    let noted =
        RECORDED.try_with(|recorded| recorded.try_borrow_mut().ok().map(|mut it| note(&mut it)));
    noted.ok().flatten()
}

fn ms(took: Duration) -> u32 {
    u32::try_from(took.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
