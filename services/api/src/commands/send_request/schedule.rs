//! `send_at`: later, but not too late and not long ago.

use chrono::{DateTime, Months, TimeDelta, Utc};
use hatch_domain::Channel;

use super::errors::Errors;
use crate::problem::{FieldCode, FieldError};

/// A `send_at` that was up to now when the client wrote it may be this old when it comes here.
const PAST_MAX: TimeDelta = TimeDelta::minutes(1);
/// How far ahead it may be.
const AHEAD_MAX: Months = Months::new(12);

/// The time that the client wrote.
pub(super) fn read(
    send_at: Option<&str>,
    channel: Channel,
    errors: &mut Errors,
) -> Option<DateTime<Utc>> {
    let send_at = send_at?;
    if !channel.has_provider() {
        let detail = "a chat message is there at once; leave it out";
        errors.add_coded(FieldCode::NotAllowed, "/send_at", detail);
        return None;
    }
    let parsed = DateTime::parse_from_rfc3339(send_at)
        .map_err(|_| "expected a time of RFC 3339, such as 2030-01-31T12:00:00Z");
    errors.take("/send_at", parsed).map(|time| recorded(time.to_utc()))
}

/// The time as PostgreSQL keeps it, so that it reads the same before and after: in microseconds, and a leap second
/// is the second after it.
fn recorded(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

/// When the message is to be sent, seen from `now`; none for at once.
pub(in crate::commands) fn time_to_send(
    send_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, FieldError> {
    let refuse = |detail| Err(FieldError::coded(FieldCode::OutOfRange, "/send_at", detail));
    match send_at {
        Some(at) if at < now - PAST_MAX => refuse("is more than a minute in the past"),
        Some(at) if now.checked_add_months(AHEAD_MAX).is_some_and(|last| at > last) => {
            refuse("is more than a year ahead")
        }
        at => Ok(at.filter(|at| *at > now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_second_is_read_as_the_next_second_and_a_time_has_microseconds() {
        let read = |text| read(Some(text), Channel::Sms, &mut Errors::default()).expect("a time");
        let leap = read("2030-12-31T23:59:60Z");
        assert_eq!(leap.to_rfc3339(), "2031-01-01T00:00:00+00:00");
        assert_eq!(leap, read("2031-01-01T00:00:00Z"));
        let exact = read("2030-12-31T23:59:59.123456789+01:00");
        assert_eq!(exact.to_rfc3339(), "2030-12-31T22:59:59.123456+00:00");
    }

    #[test]
    fn the_minute_past_is_now_and_the_year_ahead_is_the_last() {
        let now: DateTime<Utc> = "2028-02-29T12:00:00Z".parse().expect("a time");
        let year: DateTime<Utc> = "2029-02-28T12:00:00Z".parse().expect("a time");
        let millisecond = TimeDelta::milliseconds(1);
        assert_eq!(time_to_send(None, now), Ok(None));
        assert_eq!(time_to_send(Some(now - PAST_MAX), now), Ok(None));
        assert_eq!(time_to_send(Some(now), now), Ok(None));
        assert_eq!(time_to_send(Some(now + millisecond), now), Ok(Some(now + millisecond)));
        assert_eq!(time_to_send(Some(year), now), Ok(Some(year)));
        for out in [now - PAST_MAX - millisecond, year + millisecond] {
            assert_eq!(time_to_send(Some(out), now).map_err(|e| e.pointer), Err("/send_at".into()));
        }
    }
}
