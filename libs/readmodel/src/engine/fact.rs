//! An event that a fold reads, decoded.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use hatch_domain::Decider;
use hatch_eventstore::{Position, RecordedEvent};
use uuid::Uuid;

use crate::Error;

/// The version of a stream's first event.
const FIRST_VERSION: i64 = 1;

/// An event of a stream, decoded.
pub(crate) struct Fact<E> {
    /// The stream.
    pub(crate) id: Uuid,
    pub(crate) tenant_id: Uuid,
    version: i64,
    pub(crate) position: Position,
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) event: E,
}

impl<E> Fact<E> {
    /// The stream, if it has a row from before this event.
    pub(crate) fn begun_before(&self) -> Option<Uuid> {
        (self.version != FIRST_VERSION).then_some(self.id)
    }
}

/// The events of `page` of streams of this kind, in log order.
///
/// # Errors
/// [`Error::Undecodable`] for one that this build does not know: it is never skipped.
pub(crate) fn facts<D: Decider>(page: &[Arc<RecordedEvent>]) -> Result<Vec<Fact<D::Event>>, Error> {
    let ours = page.iter().filter(|recorded| recorded.aggregate == D::KIND);
    ours.map(|recorded| {
        let event = recorded.decode().map_err(|source| Error::Undecodable {
            position: recorded.position,
            event_type: recorded.event_type.clone(),
            source,
        })?;
        Ok(Fact {
            id: recorded.stream_id,
            tenant_id: recorded.tenant_id,
            version: recorded.version,
            position: recorded.position,
            recorded_at: recorded.recorded_at,
            event,
        })
    })
    .collect()
}

/// The streams of `facts` that have rows already.
pub(crate) fn begun_before<E>(facts: &[Fact<E>]) -> Vec<Uuid> {
    facts.iter().filter_map(Fact::begun_before).collect()
}
