//! Looking at the log for events of a few kinds of streams, and passing over all others.
//!
//! Who keeps something small of the log in memory needs few of its events. The others are passed over by PostgreSQL:
//! they are neither sent nor read here. The event at which a look ended is looked at again by the next one, so that
//! a log that is not the same any more is noticed.

use std::pin::pin;

use futures::TryStreamExt;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::log::head;
use crate::rows::{LogError, event, select_events, unavailable};
use crate::{Log, Position, RecordedEvent};

/// Positions that one look passes at most.
pub const LOOK_POSITIONS_MAX: i64 = 20_000;

/// Events that one look finds at most.
const LOOK_EVENTS_MAX: i64 = 1_000;

const LOOK: &str = select_events!(
    "WHERE position BETWEEN $1 AND $2 AND (aggregate = ANY($3) OR position IN ($1, $2)) \
     ORDER BY position LIMIT $4"
);

/// Where a look ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Up to here.
    pub position: Position,
    /// The event there; none where nobody has seen it.
    pub event_id: Option<Uuid>,
}

impl Mark {
    /// A place of which nobody has seen the event.
    #[must_use]
    pub const fn unseen(position: Position) -> Self {
        Self { position, event_id: None }
    }
}

/// What was found.
#[derive(Debug)]
pub struct Look {
    /// The events of those kinds, in order.
    pub events: Vec<RecordedEvent>,
    /// Where the next look begins.
    pub mark: Mark,
}

impl Log {
    /// The events of `kinds` after `after` and up to `head_seen`, in one statement. A look that ends earlier has
    /// had enough: the next one goes on from its mark. `head_seen` is a position that the log has reached.
    ///
    /// Archives are not asked. A log that lacks the event of `after`, because that is in an archive by now, counts as
    /// one with a gap.
    ///
    /// # Errors
    /// [`LogError::Gap`] where an event is missing that should be there, [`LogError::Regressed`] where the log has
    /// another event at `after` or ends before it, and what every read can fail of.
    pub async fn look(
        &self,
        kinds: &[&str],
        after: Mark,
        head_seen: Position,
    ) -> Result<Look, LogError> {
        let upto = Position(head_seen.0.min(after.position.0.saturating_add(LOOK_POSITIONS_MAX)));
        if upto <= after.position {
            return Ok(Look { events: Vec::new(), mark: after });
        }
        // One more, for the event of `after`.
        let limit = LOOK_EVENTS_MAX + 1;
        self.ask(async |client| {
            let statement = client.prepare_cached(LOOK).await.map_err(unavailable)?;
            let values: [&(dyn ToSql + Sync); 4] = [&after.position.0, &upto.0, &kinds, &limit];
            let rows = client.query_raw(&statement, values.iter().copied());
            let mut rows = pin!(rows.await.map_err(unavailable)?);
            let (mut events, mut count) = (Vec::new(), 0);
            let (mut begin, mut seen) = (None, Mark::unseen(Position::START));
            while let Some(row) = rows.try_next().await.map_err(unavailable)? {
                let position = Position(row.try_get(0).map_err(LogError::Malformed)?);
                let event_id: Uuid = row.try_get(4).map_err(LogError::Malformed)?;
                let kind: &str = row.try_get(9).map_err(LogError::Malformed)?;
                seen = Mark { position, event_id: Some(event_id) };
                count += 1;
                if position == after.position {
                    begin = Some(event_id);
                } else if kinds.contains(&kind) {
                    events.push(event(&row).map_err(LogError::Malformed)?);
                }
            }
            let is_same = after.event_id.is_none() || after.event_id == begin;
            if is_same && (seen.position == upto || count == limit) {
                return Ok(Look { events, mark: seen });
            }
            let head = head(client).await?;
            let is_gone = begin.is_none() && after.event_id.is_some();
            Err(match (is_same, is_gone) {
                _ if head < upto => LogError::Regressed { seen: upto, head },
                // Another event than the one that was seen there.
                (false, false) => LogError::Regressed { seen: after.position, head },
                (false, true) => LogError::Gap { expected: after.position, found: seen.position },
                (true, _) => LogError::Gap { expected: upto, found: seen.position },
            })
        })
        .await
    }
}
