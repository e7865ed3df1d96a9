//! `GET /api/v1/events` and `GET /api/events`: Server-Sent Events, one for each event of the log.
//!
//! `id:` is the event's position, `event:` its type and `data:` the CloudEvent. A client that says
//! which position it has (`Last-Event-ID`, or `?from=`) gets everything after it, each once and in
//! order; one that does not gets what happens from now on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderName};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt, stream};
use hatch_domain::envelope::Envelope;
use hatch_eventstore::{Position, RecordedEvent, Subscription};
use tokio::time::timeout;

use super::Live;
use super::filter::{Filter, LAST_EVENT_ID, Parameters, last_seen};
use super::stream_slots::StreamSlot;
use crate::auth::{Caller, Door};
use crate::client_address::ClientAddress;
use crate::connection::Connection;
use crate::connections::Busy;
use crate::extract::QueryParameters;
use crate::problem::{FieldCode, FieldError, Problem};

/// A comment goes out when nothing else did for so long, so that both ends know that the other is
/// there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How often who gets nothing is asked whether he would still be let in.
const ADMITTED_AGAIN: Duration = Duration::from_secs(1);

/// Events that are taken from the log at once, and wait for their client.
const BATCH_EVENTS_MAX: usize = 64;

/// Tells nginx, and those who do as it does, not to hold events back.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// What happens, as it happens
///
/// Server-Sent Events: `id` is the log position, `event` the event type, `data` a CloudEvent as
/// `GET /api/v1/events/{position}` shows it. A client that says which position it has
/// (`Last-Event-ID`, or `?from=`) gets everything after it, each once and in order; another one what
/// happens from now on. A comment comes every 15 seconds. `GET /api/events` is another name.
/// A page that waits for the end of an answer shows nothing of it: try it by `curl -N`.
#[utoipa::path(
    get, path = "/api/v1/events", operation_id = "follow_events", tag = "events",
    security(("bearer" = ["messages:read"])),
    params(Parameters,
        ("Last-Event-ID" = Option<i64>, Header, description = "Counts before `from`.")),
    responses((status = 200, description = "The stream.", content_type = "text/event-stream",
        body = String))
)]
pub(super) async fn handler(
    State(live): State<Arc<Live>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    Extension(client): Extension<ClientAddress>,
    connection: Option<Extension<ConnectInfo<Connection>>>,
    headers: HeaderMap,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<impl IntoResponse, Problem> {
    let filter = Filter::new(caller, &parameters)?;
    let last_seen = last_seen(&headers, &parameters)?;
    let place = live.slots.take(client)?;
    let head = live.log.head().await?;
    if let Some(last_seen) = last_seen.filter(|last_seen| *last_seen > head) {
        let detail = format!("position {last_seen} is after the end of the log, which is {head}");
        let told = if headers.contains_key(LAST_EVENT_ID) { "Last-Event-ID" } else { "?from" };
        let error = FieldError::coded(FieldCode::OutOfRange, told, detail);
        return Err(Problem::invalid(vec![error]));
    }
    let busy = connection.map(|Extension(ConnectInfo(connection))| connection.streams());
    let events = events(&live, filter, last_seen.unwrap_or(head), (place, busy, door));
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    Ok(([UNBUFFERED], Sse::new(events).keep_alive(heartbeat)))
}

/// What a stream has while it is open: its place, its connection, which is not idle though it be silent, and the door that
/// its client came by.
type Held = (StreamSlot, Option<Busy>, Door);

/// What the subscription of one client has brought.
struct Reader {
    subscription: Subscription,
    filter: Filter,
    held: Held,
}

/// The events after `after` that `filter` lets through, until the shutdown. What it holds is held for
/// as long.
fn events(
    live: &Live,
    filter: Filter,
    after: Position,
    held: Held,
) -> impl Stream<Item = Result<Event, Infallible>> + Send + use<> {
    let subscription = Subscription::new(
        live.log.clone(),
        &live.head,
        live.feed.as_ref(),
        after,
        BATCH_EVENTS_MAX,
    )
    .in_turn(live.turns.0.clone());
    let reader = Reader { subscription, filter, held };
    let batches = stream::unfold(reader, |mut reader| async move {
        let batch = reader.next_batch().await?;
        Some((stream::iter(batch), reader))
    });
    let events = batches.flatten().map(|event| Ok(encoded(event)));
    events.take_until(live.shutdown.clone().cancelled_owned())
}

impl Reader {
    /// None ends the stream: the client connects again and hears why, if it lasts.
    async fn next_batch(&mut self) -> Option<Vec<Arc<RecordedEvent>>> {
        let Self { subscription, filter, held: (_, _, door) } = self;
        let batch = {
            let next = subscription.next_batch();
            tokio::pin!(next);
            loop {
                match timeout(ADMITTED_AGAIN, next.as_mut()).await {
                    Ok(batch) => break batch,
                    Err(_) if door.still_admits(&filter.caller) => {}
                    Err(_) => return None,
                }
            }
        };
        match batch {
            Ok(mut batch) => {
                batch.retain(|event| filter.lets_through(event));
                // A key that is revoked meanwhile brings nothing more.
                door.still_admits(&filter.caller).then_some(batch)
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "live feed ended");
                None
            }
        }
    }
}

fn encoded(event: Arc<RecordedEvent>) -> Event {
    // One that is read from the log is this stream's alone, and not copied.
    let event = Envelope::from(Arc::unwrap_or_clone(event));
    Event::default()
        .id(event.position.to_string())
        .event(&event.event_type)
        .data(event.travelling().to_json())
}
