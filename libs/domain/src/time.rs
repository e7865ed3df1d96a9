//! Times. [`text`] says how one is written: RFC 3339 in UTC with six digits of a second, which is what PostgreSQL keeps. Always
//! six, so that texts compare as the times do.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serializer;

/// A time as text.
#[must_use]
pub fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A wait as a difference of times; the longest one for what is longer.
#[must_use]
pub fn delta(wait: Duration) -> TimeDelta {
    TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX)
}

/// For `serialize_with`.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text(*time))
}

/// For `serialize_with` of a time that there may not be.
///
/// # Errors
/// The serializer's.
pub fn serialize_option<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => to.serialize_some(&text(*time)),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_six_digits_whatever_they_are() {
        for (micros, expected) in [
            (0, "2027-01-15T08:00:00.000000Z"),
            (500_000, "2027-01-15T08:00:00.500000Z"),
            (123_456, "2027-01-15T08:00:00.123456Z"),
        ] {
            let time = DateTime::from_timestamp_micros(1_800_000_000_000_000 + micros);
            assert_eq!(text(time.expect("in range")), expected);
        }
    }
}
