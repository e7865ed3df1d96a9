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
    Arc::new(move |secrets| {
        bus.trust(hatch_relay::keys(&secrets));
        let bus = bus.clone();
        async move {
            let asked = async {
                bus.connected().await;
                bus.stream_state().await
            };
            end(tokio::time::timeout(ANSWER_MAX, asked).await.ok()?.ok()?)
        }
        .boxed()
    })
}

/// None as well for a stream with a foreign end: the relay replaces it.
fn end(stream: StreamState) -> Option<BusEnd> {
    let StreamState::Present { generation, last_sequence, last, .. } = stream else { return None };
    let event_id = match last {
        Last::Event { position, event_id } if position == last_sequence => Some(event_id),
        Last::Empty => None,
        Last::Event { .. } | Last::Foreign(_) => return None,
    };
    Some(BusEnd { generation, position: Position(last_sequence), event_id })
}
