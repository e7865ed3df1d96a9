//! Reading bodies: in time, within their limit, and within what a process has for all bodies that are being read or
//! worked on.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use axum::http::request::Parts;
use bytes::{Buf as _, Bytes};
use hatch_telemetry::limit::{Limit, Limits, Reached, Share};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::problem::{FieldError, Problem};
use crate::trail::Noted;

/// Bytes of a command's or a webhook's body at most.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a mail that comes in, with its files.
pub(crate) const MAIL_BYTES_MAX: usize = 25 * 1024 * 1024;

/// Bytes of all bodies at a time, of a process and a kind: many whole ones, and memory that every machine has.
const COMMANDS_BYTES: u64 = 64 * 1024 * 1024;
const WEBHOOKS_BYTES: u64 = 64 * 1024 * 1024;
const MAILS_BYTES: u64 = 128 * 1024 * 1024;

/// How long a body may take to come.
const TIME_MAX: Duration = Duration::from_secs(60);

/// How long it may take before its speed is looked at.
const HEAD_START: Duration = Duration::from_secs(10);

/// The least speed of a body after that, over all of it, in bytes a second.
const SPEED_MIN: u32 = 4 * 1024;

/// The first bytes that are made room for; a body that turns out to be longer gets twice as much each time.
const ROOM_MIN: usize = 4 * 1024;

/// How long the beginning of a body is waited for that is refused whatever it says.
const BEGINNING_TIME: Duration = Duration::from_millis(250);

/// The kind of a request, which decides the limit of its body and the memory that it shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What a client asks for.
    Command,
    /// What a provider posts.
    Webhook,
    /// The same, of a mail.
    Mail,
}

impl Kind {
    const fn bytes_max(self) -> usize {
        match self {
            Self::Command | Self::Webhook => BODY_BYTES_MAX,
            Self::Mail => MAIL_BYTES_MAX,
        }
    }
}

/// What a process has for bodies, by their kind; an extension of every request.
#[derive(Debug, Clone)]
pub struct Bodies(Arc<[Arc<Limit>; 3]>);

impl Bodies {
    /// With the limits of a process.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self(Arc::new([
            limits.limit("command_body_bytes", COMMANDS_BYTES),
            limits.limit("webhook_body_bytes", WEBHOOKS_BYTES),
            limits.limit("mail_body_bytes", MAILS_BYTES),
        ]))
    }

    fn limit(&self, kind: Kind) -> &Arc<Limit> {
        let [commands, webhooks, mails] = &*self.0;
        match kind {
            Kind::Command => commands,
            Kind::Webhook => webhooks,
            Kind::Mail => mails,
        }
    }
}

/// The whole body, within the limits of its kind. What it takes of them is given back with the last copy of it.
pub(crate) async fn read(request: Request, kind: Kind) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    read_of(&parts, body, kind).await
}

/// As [`read`], of a request whose head is needed afterwards.
pub(crate) async fn read_of(parts: &Parts, mut body: Body, kind: Kind) -> Result<Bytes, Problem> {
    let said = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let said: Option<usize> = said.and_then(|length| length.parse().ok());
    // What is too long is not waited for.
    if said.is_some_and(|said| said > kind.bytes_max()) {
        return Err(Problem::too_large(kind.bytes_max()));
    }
    let bodies = parts.extensions.get::<Bodies>().cloned();
    let bodies = bodies.unwrap_or_else(|| Bodies::new(&Limits::default()));
    let mut buffer = Buffer::new(bodies.limit(kind), said.unwrap_or_default(), kind.bytes_max())?;
    let began = Instant::now();
    loop {
        let earned = Duration::from_secs((buffer.bytes.len() / SPEED_MIN as usize) as u64);
        let end = began + (HEAD_START + earned).min(TIME_MAX);
        let frame = match timeout_at(end, body.frame()).await {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                let body = buffer.whole();
                if let Some(noted) = parts.extensions.get::<Noted>() {
                    noted.body(&body);
                }
                return Ok(body);
            }
            Err(_) => return Err(Problem::too_slow(end - began)),
        };
        let frame = frame.map_err(|_| {
            Problem::invalid(vec![FieldError::new("", "the body ended before it was whole")])
        })?;
        if let Ok(data) = frame.into_data() {
            buffer.add(&data)?;
        }
    }
}

/// The beginning of a body that is not going to be believed: at most so many bytes, and what comes soon.
pub(crate) async fn beginning(mut body: Body, bytes_max: usize) -> Bytes {
    let mut bytes = Vec::new();
    let end = Instant::now() + BEGINNING_TIME;
    while bytes.len() < bytes_max
        && let Ok(Some(Ok(frame))) = timeout_at(end, body.frame()).await
    {
        if let Ok(mut data) = frame.into_data() {
            let room = bytes_max - bytes.len();
            data.truncate(room);
            bytes.extend_from_slice(&data);
            data.advance(data.len());
        }
    }
    bytes.into()
}

/// One piece of memory, however small the pieces are that a body comes in.
struct Buffer {
    bytes: Vec<u8>,
    share: Share,
    bytes_max: usize,
}

impl Buffer {
    /// Makes room for a body that says to have `said` bytes, and no more than for its beginning: saying costs
    /// nothing.
    fn new(limit: &Arc<Limit>, said: usize, bytes_max: usize) -> Result<Self, Problem> {
        let room = said.min(ROOM_MIN);
        let share = limit.take(room as u64).map_err(|Reached| busy())?;
        Ok(Self { bytes: Vec::with_capacity(room), share, bytes_max })
    }

    fn add(&mut self, data: &[u8]) -> Result<(), Problem> {
        let needed = self.bytes.len() + data.len();
        if needed > self.bytes_max {
            return Err(Problem::too_large(self.bytes_max));
        }
        let room = self.share.amount() as usize;
        if needed > room {
            let more = needed.max(2 * room).max(ROOM_MIN).min(self.bytes_max) - room;
            self.share.grow(more as u64).map_err(|Reached| busy())?;
            self.bytes.reserve_exact(room + more - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    fn whole(self) -> Bytes {
        if self.bytes.is_empty() { Bytes::new() } else { Bytes::from_owner(self) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn busy() -> Problem {
    Problem::unavailable("too many bodies are being read: try again in a second")
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn request(bodies: &Bodies, body: Body) -> Request {
        let mut request = Request::new(body);
        request.extensions_mut().insert(bodies.clone());
        request
    }

    #[tokio::test]
    async fn one_byte_a_chunk_costs_what_the_body_has_and_it_is_given_back() {
        let limits = Limits::default();
        let bodies = Bodies::new(&limits);
        let chunks = stream::iter((0..100_000).map(|_| Ok::<_, std::io::Error>("x")));
        let body = read(request(&bodies, Body::from_stream(chunks)), Kind::Webhook).await;
        let body = body.expect("within the limit");
        let limit = limits.limit("webhook_body_bytes", 0);
        assert_eq!(body.len(), 100_000);
        assert!((100_000..=262_144).contains(&limit.used()), "{}", limit.used());
        let copy = body.clone();
        drop(body);
        assert!(limit.used() > 0, "somebody works on it");
        drop(copy);
        assert_eq!(limit.used(), 0);
    }

    #[tokio::test]
    async fn what_there_is_no_memory_for_is_unavailable_and_what_is_too_long_is_too_large() {
        let limits = Limits::default();
        let limit = limits.limit("webhook_body_bytes", 10_000);
        let bodies = Bodies::new(&limits);
        let long = || Body::from(vec![b'x'; 20_000]);
        let refused = read(request(&bodies, long()), Kind::Webhook).await.expect_err("no room");
        assert_eq!(refused.render(None).status(), 503);
        assert_eq!((limit.used(), limit.refused()), (0, 1));
        read(request(&bodies, long()), Kind::Command).await.expect("another kind has room");
        let body = Body::from(vec![b'x'; BODY_BYTES_MAX + 1]);
        let refused = read(request(&bodies, body), Kind::Command).await.expect_err("too long");
        assert_eq!(refused.render(None).status(), 413);
    }

    #[tokio::test]
    async fn of_a_body_that_never_ends_the_beginning_is_there_soon() {
        let endless = stream::unfold((), async |()| {
            tokio::task::yield_now().await;
            Some((Ok::<_, std::io::Error>(vec![b'x'; 1_000]), ()))
        });
        let bytes = beginning(Body::from_stream(endless), 4_096).await;
        assert_eq!(bytes.len(), 4_096);
        let silent = Body::from_stream(stream::pending::<std::io::Result<Vec<u8>>>());
        assert!(beginning(silent, 4_096).await.is_empty());
    }
}
