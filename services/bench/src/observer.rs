//! Sees when messages are settled in the read model, at little cost to what it measures.
//!
//! The read model's rows and its checkpoint commit together. So an event is shown as soon as the
//! checkpoint has reached its position: one row that is read by its key, a few hundred times a
//! second, and the positions of the events that settle messages, read by the log's primary key when
//! the checkpoint has moved, tell to a few milliseconds when each message could be read as settled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hatch_domain::ids::TenantId;
use hatch_eventstore::{Connection, Connections, Held};
use hatch_readmodel::messages;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::book::{Book, Settled};
use crate::plan::Goal;

/// Between two looks. A figure errs by this at most, and upwards.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The same where only the end of the work is waited for.
const LOOK_SELDOM: Duration = Duration::from_millis(200);
/// How long one look may take.
const LOOK_MAX: Duration = Duration::from_secs(30);

const DELIVERED: [&str; 2] = ["MessageDelivered", "MessageRead"];
const SETTLED: [&str; 6] = [
    DELIVERED[0],
    DELIVERED[1],
    "MessageUndelivered",
    "MessageFailed",
    "MessageCanceled",
    "SendInDoubt",
];

const CHECKPOINT: &str = "SELECT position FROM es.checkpoints WHERE name = $1 AND version = $2";
const EVENTS: &str = "SELECT stream_id, type = ANY($5) FROM es.events \
     WHERE position > $1 AND position <= $2 AND tenant_id = $3 AND type = ANY($4)";

/// Follows the read model of messages.
pub(crate) struct Observer {
    held: Held,
    /// The events up to here have been seen.
    seen: i64,
}

impl Observer {
    /// Begins with what the read model does not show yet.
    ///
    /// # Errors
    /// PostgreSQL does not answer, or holds no read model.
    pub(crate) async fn open(pool: &Connections) -> anyhow::Result<Self> {
        let held = pool.hold(LOOK_MAX).await.context("failed to reach PostgreSQL")?;
        let mut observer = Self { held, seen: 0 };
        observer.seen = observer.held.within(LOOK_MAX, checkpoint).await?;
        Ok(observer)
    }

    /// Notes in `book` what is settled, until `stop`.
    ///
    /// # Errors
    /// PostgreSQL does not answer in time.
    pub(crate) async fn follow(
        mut self,
        book: Arc<Book>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let pause = match book.plan().goal {
            Goal::Delivered => LOOK_EVERY,
            Goal::Accepted => LOOK_SELDOM,
        };
        while !stop.is_cancelled() {
            let seen = self.seen;
            let look = async |client: &mut Connection| look(client, seen, &book).await;
            self.seen = self.held.within(LOOK_MAX, look).await?;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }
}

/// Notes what the read model shows beyond `seen`, and says how far it is.
async fn look(client: &mut Connection, seen: i64, book: &Book) -> anyhow::Result<i64> {
    let shown = checkpoint(client).await?;
    let at = Instant::now();
    if shown <= seen {
        return Ok(seen);
    }
    let statement = client.prepare_cached(EVENTS).await?;
    let (tenant, settled, delivered) = (TenantId::DEFAULT.0, &SETTLED[..], &DELIVERED[..]);
    let rows = client.query(&statement, &[&seen, &shown, &tenant, &settled, &delivered]).await?;
    for row in rows {
        let (id, delivered): (Uuid, bool) = (row.try_get(0)?, row.try_get(1)?);
        book.settled(id, Settled { at, delivered });
    }
    Ok(shown)
}

async fn checkpoint(client: &mut Connection) -> anyhow::Result<i64> {
    let statement = client.prepare_cached(CHECKPOINT).await?;
    let (name, version) = (messages::DEFINITION.name(), messages::DEFINITION.version());
    let row = client.query_opt(&statement, &[&name, &version]).await?;
    // Before the first event there may be none.
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use hatch_domain::message::event::MessageEvent;
    use hatch_domain::{DecodeError, DomainEvent as _};

    use super::*;

    #[test]
    fn every_event_that_is_looked_for_is_one_that_the_domain_knows() {
        for name in SETTLED {
            let decoded = MessageEvent::decode(name, 1, "{}");
            assert!(!matches!(decoded, Err(DecodeError::Unknown { .. })), "{name}");
        }
    }
}
