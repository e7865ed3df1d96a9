//! The end of the bus, which the log is compared with before anything is sent.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hatch_bus::{Bus, Last, StreamState};
use hatch_eventstore::{AskBus, BusEnd, Position};

/// How long the bus may take to be connected and to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Has `bus` believe by the given secrets, and asks it. Without an answer nothing is known, and dispatch
/// goes on without the bus.
pub(crate) fn of(bus: Bus) -> AskBus {
    Arc::new(move |secrets, head| {
        bus.trust(hatch_relay::keys(&secrets));
        let bus = bus.clone();
        async move {
            let asked = async {
                bus.connected().await;
                end(&bus, head).await
            };
            tokio::time::timeout(ANSWER_MAX, asked).await.ok()?.ok()?
        }
        .boxed()
    })
}

/// None as well for a stream with a foreign end, which the relay replaces; unless it has an event of
/// hatch's own just beyond the log's `head`, which whoever wrote the end may want to hide.
async fn end(bus: &Bus, head: Position) -> Result<Option<BusEnd>, hatch_bus::Error> {
    let StreamState::Present { generation, last_sequence, last, .. } = bus.stream_state().await?
    else {
        return Ok(None);
    };
    let (position, event_id) = match last {
        Last::Event { position, event_id } if position == last_sequence => {
            (last_sequence, Some(event_id))
        }
        Last::Empty => (last_sequence, None),
        Last::Event { .. } | Last::Foreign(_) => match bus.event_at(head.0 + 1).await? {
            Some(event_id) => (head.0 + 1, Some(event_id)),
            None => return Ok(None),
        },
    };
    Ok(Some(BusEnd { generation, position: Position(position), event_id }))
}
