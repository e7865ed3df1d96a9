//! How much an account is to be given, as somebody asks for it.

use hatch_domain::account::AccountLimits;
use hatch_providers::Limits;
use serde_json::Value;

use crate::problem::{FieldCode, FieldError};

/// The keys, in the order in which they are read.
const KEYS: [&str; 4] = ["rate_per_s", "rate_per_sender_per_s", "per_day", "concurrency_max"];

/// What is to become of each limit: nothing where nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct LimitChanges {
    rate_per_s: Option<Option<f64>>,
    rate_per_sender_per_s: Option<Option<f64>>,
    per_day: Option<Option<u64>>,
    concurrency_max: Option<Option<u32>>,
}

impl LimitChanges {
    /// Reads what was said of each, in the order of the keys.
    pub(super) fn read(said: [&Option<Value>; 4], errors: &mut Vec<FieldError>) -> Self {
        let [per_s, per_sender, per_day, calls] = said;
        let mut whole = |key, said: &Option<Value>| {
            one(said, key, errors, |value| {
                value.as_u64().filter(|number| Limits::is_count(*number))
            })
        };
        let (per_day, calls) = (whole(KEYS[2], per_day), whole(KEYS[3], calls));
        let mut rate = |key, said: &Option<Value>| {
            one(said, key, errors, |value| value.as_f64().filter(|rate| Limits::is_rate(*rate)))
        };
        Self {
            rate_per_s: rate(KEYS[0], per_s),
            rate_per_sender_per_s: rate(KEYS[1], per_sender),
            per_day,
            concurrency_max: calls
                .map(|calls| calls.map(|number| u32::try_from(number).unwrap_or(u32::MAX))),
        }
    }

    /// The limits after the change.
    pub(super) fn of(self, before: AccountLimits) -> AccountLimits {
        AccountLimits {
            rate_per_s: self.rate_per_s.unwrap_or(before.rate_per_s),
            rate_per_sender_per_s: self
                .rate_per_sender_per_s
                .unwrap_or(before.rate_per_sender_per_s),
            per_day: self.per_day.unwrap_or(before.per_day),
            concurrency_max: self.concurrency_max.unwrap_or(before.concurrency_max),
        }
    }
}

/// One limit: a number above 0, or `null`.
fn one<T>(
    said: &Option<Value>,
    key: &str,
    errors: &mut Vec<FieldError>,
    read: impl Fn(&Value) -> Option<T>,
) -> Option<Option<T>> {
    let value = said.as_ref()?;
    if value.is_null() {
        return Some(None);
    }
    let found = read(value);
    if found.is_none() {
        let is_number = value.is_number();
        let code = if is_number { FieldCode::OutOfRange } else { FieldCode::WrongType };
        let expected = match KEYS.iter().position(|known| *known == key) {
            Some(0 | 1) => Limits::RATE_EXPECTED,
            _ => Limits::COUNT_EXPECTED,
        };
        errors.push(FieldError::coded(code, format!("/{key}"), format!("expected {expected}")));
    }
    found.map(Some)
}
