//! Events of a message, for unit tests.

use chrono::{DateTime, Utc};

use hatch_domain::message::event::{MessageEvent, MessageRequested, SendAttempted};

use uuid::Uuid;

/// A second of the test's time.
pub(crate) fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("in range")
}

/// A message is requested at second 0.
pub(crate) fn requested() -> MessageEvent {
    request(None)
}

/// A message is requested at second 0, to be sent later.
pub(crate) fn scheduled(second: i64) -> MessageEvent {
    request(Some(at(second)))
}

fn request(send_at: Option<DateTime<Utc>>) -> MessageEvent {
    MessageRequested { send_at, ..hatch_domain::testing::request(at(0)) }.into()
}

/// An attempt is claimed at second 1; its lease ends at second 10.
pub(crate) fn attempted(attempt: u32) -> MessageEvent {
    SendAttempted {
        attempt,
        provider: "twilio".to_owned(),
        account: "AC0".to_owned(),
        choice: None,
        token: Some(Uuid::nil()),
        call_before: at(5),
        lease_until: at(10),
        at: at(1),
    }
    .into()
}
