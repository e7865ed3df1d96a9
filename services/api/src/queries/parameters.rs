//! Parameters that several queries take.

use std::time::Duration;

use hatch_domain::address::Address;
use hatch_domain::message::event::Channel;
use hatch_eventstore::Position;
use hatch_readmodel::{Direction, Page, Projection, QueryError};
use serde::Deserialize;

use super::Queries;
use crate::Problem;
use crate::problem::FieldError;

/// Seconds that `after` waits when `wait` does not say.
const WAIT_SECONDS_DEFAULT: f64 = 2.0;
/// Seconds that `after` waits at most.
const WAIT_SECONDS_MAX: f64 = 30.0;

/// `?after=` and `?wait=`: the answer is to show the log up to that position.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Freshness {
    after: Option<Position>,
    wait: Option<f64>,
}

/// The parameters of queries that are not lists.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OneParameters {
    after: Option<Position>,
    wait: Option<f64>,
}

impl OneParameters {
    pub(super) fn freshness(&self) -> Freshness {
        Freshness { after: self.after, wait: self.wait }
    }
}

impl Freshness {
    pub(super) const fn new(after: Option<Position>, wait: Option<f64>) -> Self {
        Self { after, wait }
    }

    /// Waits until the projections have passed the position.
    ///
    /// # Errors
    /// 503 when they have not in time, 400 for a wait out of range.
    pub(super) async fn wait(self, queries: &Queries) -> Result<(), Problem> {
        let Some(after) = self.after else { return Ok(()) };
        let seconds = self.wait.unwrap_or(WAIT_SECONDS_DEFAULT);
        if !(0.0..=WAIT_SECONDS_MAX).contains(&seconds) {
            let detail = format!("expected 0 to {WAIT_SECONDS_MAX} seconds, got {seconds}");
            return Err(Problem::invalid(vec![FieldError::new("?wait", detail)]));
        }
        let wait = Duration::from_secs_f64(seconds);
        if queries.read_position.wait_for(&Projection::ALL, after, wait).await? {
            return Ok(());
        }
        let detail = format!("the read models have not reached position {after} yet");
        Err(Problem::unavailable(detail))
    }
}

/// The page that `limit` and `cursor` ask for.
pub(super) fn page(limit: Option<u32>, cursor: Option<String>) -> Result<Page, Problem> {
    Page::new(limit, cursor).map_err(|error| QueryError::from(error).into())
}

/// A filter's address, normalised as stored addresses are.
pub(super) fn participant(text: Option<&str>) -> Result<Option<Address>, Problem> {
    text.map(Address::phone)
        .transpose()
        .map_err(|error| Problem::invalid(vec![FieldError::new("?participant", error.to_string())]))
}

/// A filter's channel.
pub(super) fn channel(text: Option<&str>) -> Result<Option<Channel>, Problem> {
    match text {
        None => Ok(None),
        Some("sms") => Ok(Some(Channel::Sms)),
        Some(other) => {
            let detail = format!("expected \"sms\", got {other:?}");
            Err(Problem::invalid(vec![FieldError::new("?channel", detail)]))
        }
    }
}

/// A filter's direction.
pub(super) fn direction(text: Option<&str>) -> Result<Option<Direction>, Problem> {
    let all = [Direction::Outbound, Direction::Inbound];
    match text {
        None => Ok(None),
        Some(text) => {
            all.into_iter().find(|direction| direction.as_str() == text).map(Some).ok_or_else(
                || {
                    let detail = format!("expected \"outbound\" or \"inbound\", got {text:?}");
                    Problem::invalid(vec![FieldError::new("?direction", detail)])
                },
            )
        }
    }
}
