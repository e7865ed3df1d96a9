//! Moments of the log, which clients name by a position or by a time.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use hatch_eventstore::{Log, Position};

use super::{QueryError, ReadModel};
use crate::Error;

/// Messages of a conversation that are folded at most.
pub(crate) const MESSAGES_MAX: usize = 10_000;

/// The time as the log's own database has it: events carry that.
pub(super) const NOW: &str = "SELECT clock_timestamp()";

/// A moment of the log that has been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Right after this event.
    Position(Position),
    /// After the last event that was recorded by then.
    Time(DateTime<Utc>),
}

/// Why there is no answer as of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MomentError {
    /// The text is neither a time nor a position.
    #[error(
        "expected a log position, or a time by RFC 3339 such as 2026-01-31T12:00:00Z (+ is written \
         %2B in a URL)"
    )]
    Malformed,
    /// The position is not there yet.
    #[error("expected a position up to {head}, the log's last one")]
    FuturePosition {
        /// The log's last position.
        head: Position,
    },
    /// The time has not been yet.
    #[error("expected a time that has been, it is {now} now")]
    FutureTime {
        /// The log's time.
        now: DateTime<Utc>,
    },
    /// The conversation had too many messages to be folded for one answer.
    #[error(
        "the conversation had more than {MESSAGES_MAX} messages then, which is too long to be \
         folded: its messages can be read one by one"
    )]
    TooLong,
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        if let Ok(position @ 0..) = text.parse() {
            return Ok(Self::Position(Position(position)));
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| MomentError::Malformed)?;
        Ok(Self::Time(time.to_utc()))
    }
}

impl ReadModel {
    /// The last position at `moment`.
    ///
    /// # Errors
    /// [`QueryError::Moment`] for one that is yet to come; [`QueryError::Database`].
    pub async fn position_at(&self, log: &Log, moment: Moment) -> Result<Position, QueryError> {
        match moment {
            Moment::Position(position) => {
                let head = log.head().await.map_err(Error::from)?;
                if position > head {
                    return Err(MomentError::FuturePosition { head }.into());
                }
                Ok(position)
            }
            Moment::Time(time) => {
                let rows = self.prepared(NOW, &[]).await?;
                let now =
                    rows.first().map(|row| row.try_get(0)).transpose().map_err(Error::from)?;
                match now {
                    Some(now) if time > now => Err(MomentError::FutureTime { now }.into()),
                    _ => Ok(log.position_at(time).await.map_err(Error::from)?),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_position_or_a_time() {
        let noon = DateTime::from_timestamp(1_769_860_800, 0).expect("a time");
        for (text, moment) in [
            ("0", Moment::Position(Position(0))),
            ("42", Moment::Position(Position(42))),
            ("2026-01-31T12:00:00Z", Moment::Time(noon)),
            ("2026-01-31T13:00:00.000+01:00", Moment::Time(noon)),
        ] {
            assert_eq!(text.parse(), Ok(moment), "{text:?}");
        }
    }

    #[test]
    fn garbage_is_no_moment() {
        for text in ["", "-1", "4.2", "yesterday", "2026-01-31", "99999999999999999999"] {
            assert_eq!(text.parse::<Moment>(), Err(MomentError::Malformed), "{text:?}");
        }
    }
}
