//! Parameters that several queries take.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::message::status::Status;
use hatch_eventstore::Position;
use hatch_readmodel::{Definition, Direction, Page, QueryError};
use hatch_telemetry::limit::Reached;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Queries;
use crate::problem::{FieldCode, FieldError, Problem};

/// Seconds that `after` waits when `wait` does not say.
const WAIT_SECONDS_DEFAULT: f64 = 2.0;
/// Seconds that `after` waits at most.
const WAIT_SECONDS_MAX: f64 = 30.0;
/// The last second of the year 9999.
const SECONDS_MAX: i64 = 253_402_300_799;

/// `?after=` and `?wait=`: the answer is to show the log up to that position.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct Freshness {
    after: Option<Position>,
    wait: Option<f64>,
}

/// The parameters of queries that have no others.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct FreshnessParameters {
    /// Shows the log at least up to this position, or answers 503.
    #[param(value_type = Option<i64>, minimum = 0)]
    after: Option<Position>,
    /// Seconds that `after` may wait; 2 when it is left out.
    #[param(minimum = 0, maximum = 30)]
    wait: Option<f64>,
}

impl FreshnessParameters {
    /// The position up to which the log is to be shown.
    pub(crate) const fn after(&self) -> Option<Position> {
        self.after
    }

    /// As [`Freshness::wait`].
    pub(crate) async fn wait(
        &self,
        queries: &Queries,
        reads: &[&Definition],
    ) -> Result<(), Problem> {
        Freshness::new(self.after, self.wait).wait(queries, reads).await
    }
}

/// The parameters of lists that have no filter.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageParameters {
    /// Rows of a page; 50 when it is left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before, of the same list.
    cursor: Option<String>,
    /// Shows the log at least up to this position, or answers 503.
    #[param(value_type = Option<i64>, minimum = 0)]
    after: Option<Position>,
    /// Seconds that `after` may wait; 2 when it is left out.
    #[param(minimum = 0, maximum = 30)]
    wait: Option<f64>,
}

impl PageParameters {
    /// The page that is asked for, once what it `reads` has come to the position.
    pub(crate) async fn page(
        self,
        queries: &Queries,
        reads: &[&Definition],
    ) -> Result<Page, Problem> {
        let page = page(self.limit, self.cursor)?;
        Freshness::new(self.after, self.wait).wait(queries, reads).await?;
        Ok(page)
    }
}

/// The parameters of queries that are not lists.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct OneParameters {
    /// The moment that the answer is to be of, as an RFC 3339 time such as `2026-01-31T12:00:00Z` or a
    /// log position; now, if none.
    pub(super) at: Option<String>,
    /// Shows the log at least up to this position, or answers 503.
    #[param(value_type = Option<i64>, minimum = 0)]
    after: Option<Position>,
    /// Seconds that `after` may wait; 2 when it is left out.
    #[param(minimum = 0, maximum = 30)]
    wait: Option<f64>,
}

impl OneParameters {
    pub(super) fn freshness(&self) -> Freshness {
        Freshness { after: self.after, wait: self.wait }
    }

    /// As [`freshness`](Self::freshness), and no less than what an answer as of `position` needs.
    pub(super) fn freshness_for(&self, position: Position) -> Freshness {
        Freshness { after: self.after.max(Some(position)), wait: self.wait }
    }
}

impl Freshness {
    pub(crate) const fn new(after: Option<Position>, wait: Option<f64>) -> Self {
        Self { after, wait }
    }

    /// Waits until the projections that the answer `reads` have passed the position. What is read from the log, or
    /// is written together with it, needs none.
    ///
    /// # Errors
    /// 503 when they have not in time, 400 for a wait out of range and for a position that the log does not have.
    pub(crate) async fn wait(
        self,
        queries: &Queries,
        reads: &[&Definition],
    ) -> Result<(), Problem> {
        let seconds = self.wait.unwrap_or(WAIT_SECONDS_DEFAULT);
        if !(0.0..=WAIT_SECONDS_MAX).contains(&seconds) {
            let detail = format!("expected 0 to {WAIT_SECONDS_MAX} seconds, got {seconds}");
            return Err(out_of_range("?wait", detail));
        }
        let Some(after) = self.after else { return Ok(()) };
        if after < Position::START {
            let detail = format!("expected a position of 0 or more, got {after}");
            return Err(out_of_range("?after", detail));
        }
        check_head(queries, after).await?;
        if reads.is_empty() {
            return Ok(());
        }
        let wait = Duration::from_secs_f64(seconds);
        let place = queries.waiting.take(1).map_err(|Reached| {
            Problem::unavailable("too many reads wait for a position: try again in a second")
        });
        let _place = place?;
        if queries.read_position.wait_for(reads, after, wait).await? {
            return Ok(());
        }
        let detail = format!("the read models have not reached position {after} yet");
        Err(Problem::unavailable(detail))
    }
}

/// Refuses a position that is yet to come: nobody was told of it. The log itself is asked where it is not known to be
/// so far, since who has just appended is told before anybody else.
async fn check_head(queries: &Queries, after: Position) -> Result<(), Problem> {
    if after <= queries.head.current() {
        return Ok(());
    }
    let head = queries.log.head().await?;
    if after <= head {
        return Ok(());
    }
    let detail = format!("expected a position up to {head}, the log's last one, got {after}");
    Err(out_of_range("?after", detail))
}

fn out_of_range(parameter: &str, detail: String) -> Problem {
    Problem::invalid(vec![FieldError::coded(FieldCode::OutOfRange, parameter, detail)])
}

/// The page that `limit` and `cursor` ask for.
pub(super) fn page(limit: Option<u32>, cursor: Option<String>) -> Result<Page, Problem> {
    Page::new(limit, cursor).map_err(|error| QueryError::from(error).into())
}

/// A filter's address, normalised as stored addresses are, also where none could be written to.
pub(super) fn participant(text: Option<&str>) -> Result<Option<Address>, Problem> {
    text.map(|text| Address::sought(&with_plus(text)))
        .transpose()
        .map_err(|error| Problem::invalid(vec![FieldError::of("?participant", &error)]))
}

/// A phone number whose plus was not escaped: it is a space by now (WHATWG URL, section 5.1).
pub(crate) fn with_plus(text: &str) -> Cow<'_, str> {
    match text.strip_prefix(' ') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => format!("+{rest}").into(),
        _ => text.into(),
    }
}

/// Characters of a filter's text at most.
const FILTER_CHARACTERS_MAX: usize = 200;

/// A filter's text, which is compared as it is.
pub(crate) fn plain(parameter: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    let is_plain = |text: &String| {
        (1..=FILTER_CHARACTERS_MAX).contains(&text.len()) && !text.contains(char::is_control)
    };
    match text {
        Some(text) if !is_plain(&text) => {
            let detail =
                format!("expected 1 to {FILTER_CHARACTERS_MAX} characters that can be shown");
            Err(Problem::invalid(vec![FieldError::new(parameter, detail)]))
        }
        text => Ok(text),
    }
}

/// A filter's moment, from 1970 to 9999.
pub(crate) fn moment(
    parameter: &str,
    text: Option<&str>,
) -> Result<Option<DateTime<Utc>>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    match time.filter(|time| (0..=SECONDS_MAX).contains(&time.timestamp())) {
        Some(time) => Ok(Some(time)),
        None => {
            let detail = "expected a time from 1970 to 9999 such as 2026-01-31T12:00:00Z";
            Err(Problem::invalid(vec![FieldError::new(parameter, detail)]))
        }
    }
}

/// A filter's channel.
pub(super) fn channel(text: Option<&str>) -> Result<Option<Channel>, Problem> {
    one_of("?channel", text, &Channel::ALL, Channel::as_str)
}

/// A filter's direction.
pub(super) fn direction(text: Option<&str>) -> Result<Option<Direction>, Problem> {
    one_of("?direction", text, &[Direction::Outbound, Direction::Inbound], Direction::as_str)
}

/// A filter's status.
pub(super) fn status(text: Option<&str>) -> Result<Option<Status>, Problem> {
    one_of("?status", text, &Status::ALL, Status::as_str)
}

/// The value of `all` that is called `text`.
pub(crate) fn one_of<T: Copy>(
    parameter: &str,
    text: Option<&str>,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Option<T>, Problem> {
    let Some(text) = text else { return Ok(None) };
    match all.iter().copied().find(|one| name(*one) == text) {
        Some(found) => Ok(Some(found)),
        None => {
            let names: Vec<&str> = all.iter().map(|one| name(*one)).collect();
            let detail = format!("expected one of {}, got {text:?}", names.join(", "));
            let error = FieldError::coded(FieldCode::UnknownValue, parameter, detail);
            Err(Problem::invalid(vec![error]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unescaped_plus_stays_a_plus() {
        let found = |text| participant(Some(text)).ok().flatten().map(|a| a.to_string());
        for text in ["+12016661234", " 12016661234", " 1 201 666 1234"] {
            assert_eq!(found(text).as_deref(), Some("+12016661234"), "{text:?}");
        }
        assert_eq!(found("73822").as_deref(), Some("73822"));
        assert_eq!(found(" ann ").as_deref(), Some("ann"));
        assert_eq!(found(" 1201").as_deref(), Some("+1201"), "an unlikely number may have written");
        assert_eq!(found("root@localhost").as_deref(), Some("root@localhost"));
        assert_eq!(found("+1201CALL"), None);
    }
}
