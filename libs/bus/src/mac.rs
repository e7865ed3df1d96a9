//! The proof that hatch wrote a message: a MAC over everything that a reader uses of it.
//!
//! HMAC-SHA256 over seven fields, each as its length in eight bytes, most significant first, and its
//! bytes: [`DOMAIN`], the stream's name, the subject, the headers `Hatch-Position`, `Hatch-Event-Id` and
//! `traceparent` (empty where there is none), and the payload. The stream's sequence is not among them,
//! because it has to be the position. The tag travels in base64 in the header `Hatch-Mac`.
//! `docs/events.md` says the same to those who write a consumer of their own.

use async_nats::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use uuid::Uuid;

/// Header with the event's position.
pub(crate) const POSITION: &str = "Hatch-Position";

/// Header with the event's id.
pub(crate) const EVENT_ID: &str = "Hatch-Event-Id";

/// Header with the trace that the event belongs to.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Header with the MAC.
pub(crate) const MAC: &str = "Hatch-Mac";

/// No other use of the same secret signs what begins with it.
const DOMAIN: &[u8] = b"hatch.mac.v1";

/// Fields of what is signed, each with its length before it.
const FIELDS: usize = 7;

/// The secret of an epoch, ready to sign and verify by. It is never shown.
#[derive(Debug, Clone)]
pub struct Key(hmac::Key);

impl Key {
    /// The key of an epoch's secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The tag of a message that is to be stored in `stream` under `subject`, as the header carries it.
    pub(crate) fn sign(
        &self,
        stream: &str,
        subject: &str,
        headers: &HeaderMap,
        payload: &[u8],
    ) -> String {
        STANDARD.encode(hmac::sign(&self.0, &input(stream, subject, headers, payload)))
    }
}

/// Why a message of the stream is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// It bears no MAC.
    NoMac,
    /// Its MAC is not the one of this message in this stream by the secret of its epoch.
    WrongMac,
    /// Its place in the stream is not the position that it names: it was moved or repeated.
    OutOfPlace,
    /// It was handed out as work that it is not: somebody has changed the consumer.
    OtherWork,
    /// The stream's state says that it is there, and it is not.
    Missing,
    /// The stream is not as hatch made it: somebody has changed its configuration.
    Changed,
}

impl Foreign {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::NoMac,
        Self::WrongMac,
        Self::OutOfPlace,
        Self::OtherWork,
        Self::Missing,
        Self::Changed,
    ];

    /// The reason as metrics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoMac => "no_mac",
            Self::WrongMac => "wrong_mac",
            Self::OutOfPlace => "out_of_place",
            Self::OtherWork => "other_work",
            Self::Missing => "missing",
            Self::Changed => "changed",
        }
    }
}

/// A message whose MAC proves that hatch wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) position: i64,
    pub(crate) event_id: Uuid,
}

/// A message of the stream as the bus brought it; none of it is believed yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    /// The name of the stream that is read.
    pub(crate) stream: &'a str,
    /// The sequence that it is said to have there.
    pub(crate) sequence: i64,
    pub(crate) subject: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) payload: &'a [u8],
}

impl Claim<'_> {
    /// Verifies it by the key of the stream's epoch.
    pub(crate) fn verify(&self, key: Option<&Key>) -> Result<Verified, Foreign> {
        let tag = only(self.headers, MAC).ok_or(Foreign::NoMac)?;
        let position: Option<i64> = only(self.headers, POSITION).and_then(|text| text.parse().ok());
        if position != Some(self.sequence) {
            return Err(Foreign::OutOfPlace);
        }
        let event_id = only(self.headers, EVENT_ID).and_then(|text| text.parse().ok());
        let (Some(event_id), Some(key)) = (event_id, key) else { return Err(Foreign::WrongMac) };
        if self.headers.get_all(TRACEPARENT).count() > 1 {
            return Err(Foreign::WrongMac);
        }
        let tag = STANDARD.decode(tag).map_err(|_| Foreign::WrongMac)?;
        let input = input(self.stream, self.subject, self.headers, self.payload);
        match hmac::verify(&key.0, &input, &tag) {
            Ok(()) => Ok(Verified { position: self.sequence, event_id }),
            Err(_) => Err(Foreign::WrongMac),
        }
    }
}

/// A header that is there once: of two, readers might believe the one that was not signed.
fn only<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let value = values.next()?;
    values.next().is_none().then_some(value.as_str())
}

fn input(stream: &str, subject: &str, headers: &HeaderMap, payload: &[u8]) -> Vec<u8> {
    let header = |name| headers.get(name).map_or(&b""[..], |value| value.as_str().as_bytes());
    let fields: [&[u8]; FIELDS] = [
        DOMAIN,
        stream.as_bytes(),
        subject.as_bytes(),
        header(POSITION),
        header(EVENT_ID),
        header(TRACEPARENT),
        payload,
    ];
    let bytes = fields.iter().map(|field| size_of::<u64>() + field.len()).sum();
    let mut input = Vec::with_capacity(bytes);
    for field in fields {
        input.extend_from_slice(&(field.len() as u64).to_be_bytes());
        input.extend_from_slice(field);
    }
    input
}

#[cfg(test)]
mod tests;
